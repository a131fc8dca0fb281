package gcp_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/store"
)

func TestMain(m *testing.M) { emulator.Main(m) }

func openFirestore(t *testing.T) document.DB {
	t.Helper()
	e, project := emulator.For(t)
	client, err := e.Client(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return gcp.NewFirestore(client)
}

func TestFirestoreContract(t *testing.T) { porttest.DB(t, openFirestore) }

// The emulator's clock is the machine's.
func TestClock(t *testing.T) {
	before := time.Now().Add(-time.Second)
	at, err := openFirestore(t).(*gcp.Firestore).Clock(t.Context())
	if err != nil || at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("%s, %v; want about %s", at, err, before)
	}
}

func TestCopiesOnFirestore(t *testing.T) { porttest.Copies(t, openFirestore) }

func TestStoreOnFirestore(t *testing.T) {
	t.Parallel()
	porttest.Store(t, func(t *testing.T) (porttest.Stores, func(string) []map[string]any) {
		db := openFirestore(t)
		return store.New(db), func(uid string) (all []map[string]any) {
			docs, err := db.Query(t.Context(), document.Query{Collection: store.UserPath(uid) + "/" + store.Signals})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				all = append(all, d.Fields)
			}
			return all
		}
	})
}

// emulated is the emulator's clock, which is the machine's: a minute of the platform's takes 20 ms.
type emulated struct{}

func (emulated) Now() time.Time                      { return time.Now().UTC().Truncate(time.Microsecond) }
func (emulated) Scale(d time.Duration) time.Duration { return d / 3000 }
func (e emulated) Advance(d time.Duration)           { time.Sleep(e.Scale(d)) }

func TestReservationsInAnyInterleavingOnFirestore(t *testing.T) {
	porttest.Interleavings(t, 10, func(t *testing.T) (porttest.Stores, porttest.Clock) { return store.New(openFirestore(t)), emulated{} })
}

// Two deliveries for one user, each of a strategy that wants all the buying power: two hundred times, since the emulator
// takes a quarter of a second and more to find out that two transactions wait for each other.
func TestAllBuyingPowerOnceOnFirestore(t *testing.T) {
	t.Parallel()
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	porttest.AllPowerOften(t, rounds, 16, openFirestore(t))
}

// refusing is a Firestore that answers every write with one status.
type refusing struct {
	firestorepb.UnimplementedFirestoreServer
	code codes.Code
}

func (r *refusing) Commit(context.Context, *firestorepb.CommitRequest) (*firestorepb.CommitResponse, error) {
	return nil, status.Error(r.code, "refused")
}

func (r *refusing) BeginTransaction(context.Context, *firestorepb.BeginTransactionRequest) (*firestorepb.BeginTransactionResponse, error) {
	return &firestorepb.BeginTransactionResponse{Transaction: []byte("t")}, nil
}

func (r *refusing) Rollback(context.Context, *firestorepb.RollbackRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (r *refusing) BatchGetDocuments(*firestorepb.BatchGetDocumentsRequest, firestorepb.Firestore_BatchGetDocumentsServer) error {
	return status.Error(codes.NotFound, "The database (default) does not exist for project p")
}

func TestFirestoreFaults(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fake, srv := &refusing{}, grpc.NewServer()
	firestorepb.RegisterFirestoreServer(srv, fake)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client, err := firestore.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	db := gcp.NewFirestore(client)
	for code, want := range map[codes.Code]error{
		codes.PermissionDenied: document.ErrDenied, codes.Unauthenticated: document.ErrDenied,
		codes.Unavailable: document.ErrUnavailable, codes.DeadlineExceeded: document.ErrUnavailable,
		codes.ResourceExhausted: document.ErrUnavailable, codes.Internal: document.ErrUnavailable,
		codes.Aborted: document.ErrConflict, codes.FailedPrecondition: document.ErrConflict,
		codes.NotFound: document.ErrNotFound, codes.AlreadyExists: document.ErrExists,
	} {
		fake.code = code
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the client retries some of them
		_, err := db.Update(ctx, "users/a", document.Fields{"n": 1}, time.Time{})
		cancel()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
	}
	fake.code = codes.InvalidArgument
	if err := db.Set(t.Context(), "users/a", document.Fields{"n": 1}); err == nil || errors.Is(err, document.ErrUnavailable) {
		t.Errorf("a fault of ours: %v, want an error without a class", err)
	}
	// A database that isn't there must not look like users who aren't.
	if _, err := db.Get(t.Context(), "users/a"); !errors.Is(err, document.ErrUnavailable) || errors.Is(err, document.ErrNotFound) {
		t.Errorf("a missing database: %v, want ErrUnavailable", err)
	}
	err = db.Transact(t.Context(), func(ctx context.Context, tx document.Tx) error {
		_, err := tx.Get(ctx, "users/a")
		return err
	})
	if !errors.Is(err, document.ErrUnavailable) || errors.Is(err, document.ErrNotFound) {
		t.Errorf("a missing database in a transaction: %v, want ErrUnavailable", err)
	}
}
