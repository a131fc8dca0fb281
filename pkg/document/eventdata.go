package document

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/googleapis/google-cloudevents-go/cloud/firestoredata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Change is what happened to one document, as Eventarc tells it.
type Change struct {
	Path string
	Old  *Document // nil: it was created
	New  *Document // nil: it was deleted
}

// DecodeChange reads google.events.cloud.firestore.v1.DocumentEventData in the cloud's raw protobuf form.
func DecodeChange(body []byte) (Change, error) {
	var data firestoredata.DocumentEventData
	if err := proto.Unmarshal(body, &data); err != nil {
		return Change{}, fmt.Errorf("body is not a DocumentEventData protobuf: %w", err)
	}
	var c Change
	var err error
	if c.Old, err = fromProto(data.OldValue); err != nil {
		return Change{}, fmt.Errorf("old_value: %w", err)
	}
	if c.New, err = fromProto(data.Value); err != nil {
		return Change{}, fmt.Errorf("value: %w", err)
	}
	switch {
	case c.Old == nil && c.New == nil:
		return Change{}, fmt.Errorf("DocumentEventData holds neither value nor old_value")
	case c.New == nil:
		c.Path = c.Old.Path
	case c.Old != nil && c.Old.Path != c.New.Path:
		return Change{}, fmt.Errorf("old_value is of %.100q, value of %.100q", c.Old.Path, c.New.Path)
	default:
		c.Path = c.New.Path
	}
	return c, nil
}

// Encode turns a document into Firestore's own protobuf form; database is "projects/p/databases/(default)".
func Encode(database string, d Document) ([]byte, error) {
	if err := CheckFields(d.Fields); err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Path, err)
	}
	fields, err := toMap(d.Fields)
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Path, err)
	}
	b, err := proto.Marshal(&firestoredata.Document{
		Name:       database + "/documents/" + d.Path,
		Fields:     fields,
		CreateTime: timestamppb.New(d.CreateTime),
		UpdateTime: timestamppb.New(d.UpdateTime),
	})
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Path, err)
	}
	return b, nil
}

// Decode is the reverse of Encode.
func Decode(b []byte) (Document, error) {
	var p firestoredata.Document
	if err := proto.Unmarshal(b, &p); err != nil {
		return Document{}, err
	}
	d, err := fromProto(&p)
	if err != nil {
		return Document{}, err
	}
	return *d, nil
}

func fromProto(p *firestoredata.Document) (*Document, error) {
	if p == nil {
		return nil, nil
	}
	_, path, ok := strings.Cut(p.Name, "/documents/")
	if !ok || path == "" {
		return nil, fmt.Errorf("document name %.100q: want projects/…/databases/…/documents/…", p.Name)
	}
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	fields, err := fromMap(p.Fields, -1)
	if err != nil {
		return nil, fmt.Errorf("document %.100s: %w", path, err)
	}
	created, err := fromTimestamp(p.CreateTime)
	if err != nil {
		return nil, fmt.Errorf("document %.100s: create_time: %w", path, err)
	}
	updated, err := fromTimestamp(p.UpdateTime)
	if err != nil {
		return nil, fmt.Errorf("document %.100s: update_time: %w", path, err)
	}
	return &Document{Path: path, Fields: fields, CreateTime: created, UpdateTime: updated}, nil
}

// fromTimestamp leaves a missing time zero; AsTime would make it 1970.
func fromTimestamp(p *timestamppb.Timestamp) (time.Time, error) {
	if p == nil {
		return time.Time{}, nil
	}
	return p.AsTime(), p.CheckValid()
}

func toMap(f Fields) (map[string]*firestoredata.Value, error) {
	m := make(map[string]*firestoredata.Value, len(f))
	for k, v := range f {
		p, err := toValue(v)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", k, err)
		}
		m[k] = p
	}
	return m, nil
}

func toValue(v any) (*firestoredata.Value, error) {
	switch v := v.(type) {
	case nil:
		return &firestoredata.Value{ValueType: &firestoredata.Value_NullValue{NullValue: structpb.NullValue_NULL_VALUE}}, nil
	case bool:
		return &firestoredata.Value{ValueType: &firestoredata.Value_BooleanValue{BooleanValue: v}}, nil
	case int:
		return &firestoredata.Value{ValueType: &firestoredata.Value_IntegerValue{IntegerValue: int64(v)}}, nil
	case int64:
		return &firestoredata.Value{ValueType: &firestoredata.Value_IntegerValue{IntegerValue: v}}, nil
	case float64:
		return &firestoredata.Value{ValueType: &firestoredata.Value_DoubleValue{DoubleValue: v}}, nil
	case string:
		return &firestoredata.Value{ValueType: &firestoredata.Value_StringValue{StringValue: v}}, nil
	case []byte:
		return &firestoredata.Value{ValueType: &firestoredata.Value_BytesValue{BytesValue: slices.Clone(v)}}, nil
	case time.Time:
		at := timestamppb.New(v.Truncate(time.Microsecond)) // what Firestore keeps
		return &firestoredata.Value{ValueType: &firestoredata.Value_TimestampValue{TimestampValue: at}}, nil
	case []any:
		vs := make([]*firestoredata.Value, len(v))
		for i, e := range v {
			if _, nested := e.([]any); nested {
				return nil, fmt.Errorf("index %d: %w", i, errNested)
			}
			p, err := toValue(e)
			if err != nil {
				return nil, fmt.Errorf("index %d: %w", i, err)
			}
			vs[i] = p
		}
		return &firestoredata.Value{ValueType: &firestoredata.Value_ArrayValue{ArrayValue: &firestoredata.ArrayValue{Values: vs}}}, nil
	case map[string]any:
		m, err := toMap(v)
		if err != nil {
			return nil, err
		}
		return &firestoredata.Value{ValueType: &firestoredata.Value_MapValue{MapValue: &firestoredata.MapValue{Fields: m}}}, nil
	default:
		return nil, fmt.Errorf("a document can't hold a %T", v)
	}
}

func fromMap(m map[string]*firestoredata.Value, depth int) (Fields, error) {
	f := make(Fields, len(m))
	for k, p := range m {
		v, err := fromValue(p, depth+1)
		if err != nil {
			return nil, fmt.Errorf("field %.100s: %w", k, err)
		}
		f[k] = v
	}
	return f, nil
}

func fromValue(p *firestoredata.Value, depth int) (any, error) {
	switch v := p.GetValueType().(type) {
	case *firestoredata.Value_NullValue:
		return nil, nil
	case *firestoredata.Value_BooleanValue:
		return v.BooleanValue, nil
	case *firestoredata.Value_IntegerValue:
		return v.IntegerValue, nil
	case *firestoredata.Value_DoubleValue:
		return v.DoubleValue, nil
	case *firestoredata.Value_StringValue:
		return v.StringValue, nil
	case *firestoredata.Value_BytesValue:
		return v.BytesValue, nil
	case *firestoredata.Value_TimestampValue:
		at, err := fromTimestamp(v.TimestampValue)
		return at.Truncate(time.Microsecond), err
	case *firestoredata.Value_ReferenceValue:
		return v.ReferenceValue, nil
	case *firestoredata.Value_GeoPointValue:
		return map[string]any{"latitude": v.GeoPointValue.GetLatitude(), "longitude": v.GeoPointValue.GetLongitude()}, nil
	case *firestoredata.Value_ArrayValue:
		if depth == maxDepth {
			return nil, errDeep
		}
		vs := make([]any, len(v.ArrayValue.GetValues()))
		for i, e := range v.ArrayValue.GetValues() {
			if _, nested := e.GetValueType().(*firestoredata.Value_ArrayValue); nested {
				return nil, fmt.Errorf("index %d: %w", i, errNested)
			}
			x, err := fromValue(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("index %d: %w", i, err)
			}
			vs[i] = x
		}
		return vs, nil
	case *firestoredata.Value_MapValue:
		if depth == maxDepth {
			return nil, errDeep
		}
		return fromMap(v.MapValue.GetFields(), depth)
	default:
		return nil, fmt.Errorf("value of unknown type %T", v)
	}
}

// EncodeChange builds a DocumentEventData from two encoded documents (Encode), nil for one that is not there.
func EncodeChange(old, now []byte) []byte {
	b := make([]byte, 0, len(old)+len(now)+16)
	if now != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), now)
	}
	if old != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), old)
	}
	return b
}
