package gcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/document"
)

const (
	callLimit     = 10 * time.Second // for one call, the client's own retries included
	queryLimit    = 30 * time.Second // for all pages that the client reads of one query
	transactLimit = 30 * time.Second
	attempts      = 5 // of a transaction that others get in between
)

// Firestore implements document.DB. It is safe for concurrent use; the client pools its connections.
type Firestore struct {
	client *firestore.Client
}

// NewFirestore works on the client's database; closing the client is the caller's.
func NewFirestore(client *firestore.Client) *Firestore { return &Firestore{client: client} }

// Get implements document.DB.
func (f *Firestore) Get(ctx context.Context, path string) (document.Document, error) {
	ref, err := f.ref(path)
	if err != nil {
		return document.Document{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	snap, err := ref.Get(ctx)
	if err != nil {
		return document.Document{}, readFault(path, snap, err)
	}
	return fromSnapshot(path, snap), nil
}

// Clock is the database's time, by a read of a document that need not be there.
func (f *Firestore) Clock(ctx context.Context) (time.Time, error) {
	ref, err := f.ref("platform/clock")
	if err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	snap, err := ref.Get(ctx)
	if snap == nil {
		return time.Time{}, readFault(ref.Path, snap, err)
	}
	return snap.ReadTime, nil
}

// Create implements document.DB.
func (f *Firestore) Create(ctx context.Context, path string, fields document.Fields) (time.Time, error) {
	return f.write(ctx, "create", path, fields, func(ctx context.Context, ref *firestore.DocumentRef) (*firestore.WriteResult, error) {
		return ref.Create(ctx, native(fields))
	})
}

// Set implements document.DB.
func (f *Firestore) Set(ctx context.Context, path string, fields document.Fields) error {
	_, err := f.write(ctx, "set", path, fields, func(ctx context.Context, ref *firestore.DocumentRef) (*firestore.WriteResult, error) {
		return ref.Set(ctx, native(fields))
	})
	return err
}

// Update implements document.DB.
func (f *Firestore) Update(ctx context.Context, path string, fields document.Fields, at time.Time) (time.Time, error) {
	return f.write(ctx, "update", path, fields, func(ctx context.Context, ref *firestore.DocumentRef) (*firestore.WriteResult, error) {
		if at.IsZero() {
			return ref.Update(ctx, updates(fields))
		}
		return ref.Update(ctx, updates(fields), firestore.LastUpdateTime(at))
	})
}

// Delete implements document.DB.
func (f *Firestore) Delete(ctx context.Context, path string, at time.Time) error {
	_, err := f.write(ctx, "delete", path, nil, func(ctx context.Context, ref *firestore.DocumentRef) (*firestore.WriteResult, error) {
		if at.IsZero() {
			return ref.Delete(ctx)
		}
		return ref.Delete(ctx, firestore.LastUpdateTime(at))
	})
	return err
}

// UpdateAll implements document.DB, as a transaction without a read.
func (f *Firestore) UpdateAll(ctx context.Context, list []document.Patch) (time.Time, error) {
	refs, paths := make([]*firestore.DocumentRef, len(list)), make([]string, len(list))
	for i, p := range list {
		ref, err := f.checked(p.Path, p.Fields)
		if err != nil {
			return time.Time{}, err
		}
		refs[i], paths[i] = ref, p.Path
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var committed firestore.CommitResponse
	err := f.client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		for i, p := range list {
			var at []firestore.Precondition
			if !p.At.IsZero() {
				at = append(at, firestore.LastUpdateTime(p.At))
			}
			if err := tx.Update(refs[i], updates(p.Fields), at...); err != nil {
				return err
			}
		}
		return nil
	}, firestore.MaxAttempts(attempts), firestore.WithCommitResponseTo(&committed))
	if err != nil {
		return time.Time{}, fault("update", strings.Join(paths, ", "), err)
	}
	return committed.CommitTime(), nil
}

func (f *Firestore) write(ctx context.Context, op, path string, fields document.Fields,
	do func(context.Context, *firestore.DocumentRef) (*firestore.WriteResult, error),
) (updated time.Time, err error) {
	ref, err := f.checked(path, fields)
	if err != nil {
		return updated, err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	result, err := do(ctx, ref)
	if result != nil {
		updated = result.UpdateTime
	}
	return updated, fault(op, path, err)
}

// Query implements document.DB.
func (f *Firestore) Query(ctx context.Context, q document.Query) ([]document.Document, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	query := f.source(q).OrderBy(firestore.DocumentID, firestore.Asc)
	for _, k := range slices.Sorted(maps.Keys(q.Where)) {
		query = query.WherePath(firestore.FieldPath{k}, "==", q.Where[k])
	}
	switch {
	case q.After != "" && q.Group:
		query = query.StartAfter(f.client.Doc(q.After))
	case q.After != "":
		query = query.StartAfter(q.After)
	}
	if q.Limit > 0 {
		query = query.Limit(q.Limit)
	}
	if q.Select != nil {
		fields := make([]firestore.FieldPath, len(q.Select))
		for i, k := range q.Select {
			fields[i] = firestore.FieldPath{k}
		}
		query = query.SelectPaths(fields...)
	}
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	snaps, err := query.Documents(ctx).GetAll()
	if err != nil {
		return nil, fault("query", q.Collection, err)
	}
	docs := make([]document.Document, len(snaps))
	for i, snap := range snaps {
		_, path, _ := strings.Cut(snap.Ref.Path, "/documents/")
		docs[i] = fromSnapshot(path, snap)
	}
	return docs, nil
}

func (f *Firestore) source(q document.Query) firestore.Query {
	if q.Group {
		return f.client.CollectionGroup(q.Collection).Query
	}
	return f.client.Collection(q.Collection).Query
}

// Transact implements document.DB.
func (f *Firestore) Transact(ctx context.Context, fn func(ctx context.Context, tx document.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, transactLimit)
	defer cancel()
	var mine error // fn's own word comes back as it is
	err := f.client.RunTransaction(ctx, func(ctx context.Context, t *firestore.Transaction) error {
		tx := &transaction{db: f, tx: t, written: map[string]bool{}}
		mine = fn(ctx, tx)
		if mine != nil && tx.lost != nil {
			return tx.lost // what the client knows to be worth another attempt
		}
		return mine
	}, firestore.MaxAttempts(attempts))
	if err == nil || (mine != nil && !errors.Is(mine, document.ErrConflict)) {
		return err
	}
	return fault("transaction", "", err)
}

type transaction struct {
	db      *Firestore
	tx      *firestore.Transaction
	lost    error           // the read that somebody else got in between of
	written map[string]bool // what is there then, by path
}

func (t *transaction) Get(_ context.Context, path string) (document.Document, error) {
	ref, err := t.db.ref(path)
	if err != nil {
		return document.Document{}, err
	}
	snap, err := t.tx.Get(ref)
	if err != nil {
		if status.Code(err) == codes.Aborted {
			t.lost = err
		}
		return document.Document{}, readFault(path, snap, err)
	}
	return fromSnapshot(path, snap), nil
}

// Create finds out itself what this transaction has written: Firestore refuses the request then, as malformed.
func (t *transaction) Create(path string, fields document.Fields) error {
	ref, err := t.db.checked(path, fields)
	if err != nil {
		return err
	}
	if t.written[path] {
		return fmt.Errorf("create %s: %w", path, document.ErrExists)
	}
	return t.tx.Create(ref, native(fields))
}

func (t *transaction) Set(path string, fields document.Fields) error {
	ref, err := t.db.checked(path, fields)
	if err != nil {
		return err
	}
	t.written[path] = true
	return t.tx.Set(ref, native(fields))
}

func (t *transaction) Update(path string, fields document.Fields) error {
	ref, err := t.db.checked(path, fields)
	if err != nil {
		return err
	}
	t.written[path] = true
	return t.tx.Update(ref, updates(fields))
}

func (t *transaction) Delete(path string) error {
	ref, err := t.db.ref(path)
	if err != nil {
		return err
	}
	delete(t.written, path)
	return t.tx.Delete(ref)
}

func (f *Firestore) ref(path string) (*firestore.DocumentRef, error) {
	if err := document.CheckPath(path); err != nil {
		return nil, err
	}
	return f.client.Doc(path), nil
}

// checked also refuses values that the client would take, but nobody could read back as they were.
func (f *Firestore) checked(path string, fields document.Fields) (*firestore.DocumentRef, error) {
	if err := document.CheckFields(fields); err != nil {
		return nil, fmt.Errorf("document %s: %w", path, err)
	}
	return f.ref(path)
}

// native puts the client's sentinels in place of ours.
func native(fields document.Fields) map[string]any {
	m := make(map[string]any, len(fields))
	for k, v := range fields {
		m[k] = nativeValue(v)
	}
	return m
}

func nativeValue(v any) any {
	switch v {
	case document.Delete:
		return firestore.Delete
	case document.ServerTime:
		return firestore.ServerTimestamp
	}
	return v
}

func updates(fields document.Fields) []firestore.Update {
	list := make([]firestore.Update, 0, len(fields))
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, firestore.Update{FieldPath: firestore.FieldPath{k}, Value: nativeValue(fields[k])})
	}
	return list
}

func fromSnapshot(path string, snap *firestore.DocumentSnapshot) document.Document {
	return document.Document{Path: path, Fields: snap.Data(), CreateTime: snap.CreateTime, UpdateTime: snap.UpdateTime}
}

// readFault: a document that isn't there comes with a snapshot that says so. Without one it is the database that is
// missing, and nobody must take its users for removed.
func readFault(path string, snap *firestore.DocumentSnapshot, err error) error {
	if snap == nil && status.Code(err) == codes.NotFound {
		return fmt.Errorf("firestore: get %s: %w: is there such a database? %w", path, document.ErrUnavailable, err)
	}
	return fault("get", path, err)
}

// fault gives a call's error the class that callers tell apart; the client's own words stay with it.
func fault(op, path string, err error) error {
	if err == nil {
		return nil
	}
	code := status.Code(err)
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.DeadlineExceeded // the client gave up between two attempts
	}
	var class error
	switch code {
	case codes.NotFound:
		class = document.ErrNotFound
	case codes.AlreadyExists:
		class = document.ErrExists
	case codes.Aborted:
		class = document.ErrConflict
	case codes.FailedPrecondition:
		if op != "query" { // there it is a missing index
			class = document.ErrConflict
		}
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal:
		class = document.ErrUnavailable
	case codes.PermissionDenied, codes.Unauthenticated:
		class = document.ErrDenied
	}
	where := strings.TrimSpace("firestore: " + op + " " + path)
	if class == nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return fmt.Errorf("%s: %w: %w", where, class, err)
}
