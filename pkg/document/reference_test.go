package document_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/googleapis/google-cloudevents-go/cloud/firestoredata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// The generated types read what Encode wrote, and what is in it is what they say.
func TestReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := documents.Draw(t, "document")
		b, err := document.Encode(database, d)
		if err != nil {
			t.Fatal(err)
		}
		var p firestoredata.Document
		if err := proto.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
		if len(p.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("unknown fields: %x", p.ProtoReflect().GetUnknown())
		}
		if diff := cmp.Diff(d, reference(&p), same); diff != "" {
			t.Fatalf("the generated types read it otherwise (-want +got):\n%s", diff)
		}
		if b, err = proto.Marshal(&p); err != nil {
			t.Fatal(err)
		}
		got, err := document.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got, same); diff != "" {
			t.Fatalf("what the generated types wrote is read otherwise (-want +got):\n%s", diff)
		}
	})
}

func reference(p *firestoredata.Document) document.Document {
	_, path, _ := strings.Cut(p.Name, "/documents/")
	return document.Document{Path: path, Fields: referenceMap(p.Fields), CreateTime: referenceTime(p.CreateTime), UpdateTime: referenceTime(p.UpdateTime)}
}

func referenceMap(m map[string]*firestoredata.Value) document.Fields {
	f := document.Fields{}
	for k, v := range m {
		f[k] = referenceValue(v)
	}
	return f
}

func referenceTime(p *timestamppb.Timestamp) time.Time {
	if p == nil {
		return time.Time{} // AsTime would make it 1970
	}
	return p.AsTime()
}

func referenceValue(p *firestoredata.Value) any {
	switch v := p.GetValueType().(type) {
	case *firestoredata.Value_BooleanValue:
		return v.BooleanValue
	case *firestoredata.Value_IntegerValue:
		return v.IntegerValue
	case *firestoredata.Value_DoubleValue:
		return v.DoubleValue
	case *firestoredata.Value_StringValue:
		return v.StringValue
	case *firestoredata.Value_ReferenceValue:
		return v.ReferenceValue
	case *firestoredata.Value_BytesValue:
		return append([]byte{}, v.BytesValue...)
	case *firestoredata.Value_TimestampValue:
		return referenceTime(v.TimestampValue).Truncate(time.Microsecond)
	case *firestoredata.Value_GeoPointValue:
		return map[string]any{"latitude": v.GeoPointValue.GetLatitude(), "longitude": v.GeoPointValue.GetLongitude()}
	case *firestoredata.Value_ArrayValue:
		list := []any{}
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, referenceValue(e))
		}
		return list
	case *firestoredata.Value_MapValue:
		return referenceMap(v.MapValue.GetFields())
	}
	return nil
}

// FuzzReference holds the two readers against each other on any bytes.
func FuzzReference(f *testing.F) {
	for _, name := range []string{"created", "updated", "deleted", "snapshot"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := document.DecodeChange(b)
		if err != nil {
			return // it is stricter, about paths, times and depth
		}
		var p firestoredata.DocumentEventData
		if err := proto.Unmarshal(b, &p); err != nil {
			if strings.Contains(err.Error(), "UTF-8") {
				return // of a name that nobody reads
			}
			t.Fatalf("taken, but the generated types refuse it: %v", err)
		}
		again, err := proto.Marshal(&p) // without fields that come twice, which they merge
		if err != nil {
			t.Fatal(err)
		}
		if len(again) != len(b) {
			return
		}
		for _, d := range []struct {
			got  *document.Document
			want *firestoredata.Document
		}{{c.Old, p.OldValue}, {c.New, p.Value}} {
			if (d.got == nil) != (d.want == nil) {
				t.Fatalf("got %v, want %v", d.got, d.want)
			}
			if d.got != nil {
				if diff := cmp.Diff(reference(d.want), *d.got, same); diff != "" {
					t.Fatalf("(-reference +got):\n%s", diff)
				}
			}
		}
	})
}
