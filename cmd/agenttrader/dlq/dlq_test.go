package dlq

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/agenttrader/agenttrader/pkg/deadletter"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// world is a project with Pub/Sub, users, and a service that buries what it can't understand.
type world struct {
	t      *testing.T
	pubsub *mem.PubSub
	store  *store.Store
	lost   bool // acknowledgements fail, as if the program died before them
}

func newWorld(t *testing.T) *world {
	t.Helper()
	p, err := mem.StartPubSub(t.Context(), mem.PubSubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	w := &world{t: t, pubsub: p, store: store.New(mem.NewDB(time.Now))}
	for _, topic := range []string{"dead-letters", "sync-requests"} {
		if err := p.CreateTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Collect(t.Context(), "sync-requests", "seen", 100); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Client().SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: "projects/local/subscriptions/review", Topic: "projects/local/topics/dead-letters", AckDeadlineSeconds: 60,
	}); err != nil {
		t.Fatal(err)
	}
	for id, status := range map[string]user.Status{"alice": user.Active, "bob": user.Paused} {
		if err := w.store.PutUser(t.Context(), user.User{ID: id, Status: status, CadenceMinutes: 1, BrokerEnv: "paper"}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// bury sends a request that no syncer understands to one.
func (w *world) bury(header http.Header, body string) {
	w.t.Helper()
	dead := gcp.NewPublisher(w.pubsub.Client(), "dead-letters")
	defer dead.Stop()
	r := &event.Receiver{
		Service: "syncer", DeadLetters: dead, Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, e event.Event) error {
			_, _, err := event.ParseSyncRequest(e)
			return err
		},
	}
	req := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/", strings.NewReader(body))
	req.Header = header
	answer := httptest.NewRecorder()
	if r.ServeHTTP(answer, req); answer.Code != http.StatusNoContent {
		w.t.Fatalf("burying: HTTP %d", answer.Code)
	}
}

// exhausted publishes what Pub/Sub itself gives up.
func (w *world) exhausted(id, typ, body string) {
	w.t.Helper()
	topic := w.pubsub.Client().Publisher("dead-letters")
	defer topic.Stop()
	_, err := topic.Publish(w.t.Context(), &pubsub.Message{Data: []byte(body), Attributes: map[string]string{
		"ce-id": id, "ce-specversion": "1.0", "ce-source": "//agenttrader/fanout", "ce-type": typ, "Content-Type": "application/json",
		mem.AttrDeadLetterSubscription: "sync-requests-syncer", mem.AttrDeadLetterDeliveryCount: "10",
	}}).Get(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
}

// run is one run of the program.
func (w *world) run(args ...string) (out string, err error) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	c := command(func(context.Context, string) (*desk, error) {
		box := gcp.NewLetters(w.pubsub.Client(), "review")
		d := &desk{
			where: "the test", box: box, requests: "sync-requests", now: time.Now, close: box.Close,
			users: func(context.Context) (user.Finder, error) { return w.store, nil },
			topic: func(_ context.Context, name string) (deadletter.Sender, error) {
				p := gcp.NewPublisher(w.pubsub.Client(), name)
				w.t.Cleanup(p.Stop)
				return p, nil
			},
		}
		if w.lost {
			d.box = &deafBox{box}
		}
		return d, nil
	}, func(any) bool { return false })
	c.SetArgs(args)
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(w.t.Context())
	if i := strings.IndexFunc(stdout.String()+stderr.String(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		w.t.Errorf("dlq %v printed a control character: %q", args, stdout.String())
	}
	return stdout.String(), err
}

// deafBox loses acknowledgements.
type deafBox struct{ deadletter.Box }

func (*deafBox) Ack(context.Context, ...string) error { return errors.New("connection lost") }

func (w *world) listed() int {
	w.t.Helper()
	out, err := w.run("list", "--json")
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Count(out, "\n")
}

// sent are the ids of the sync requests that were published.
func (w *world) sent() (ids []string) {
	for range 100 { // they are collected in the background
		if ids = ids[:0]; w.pubsub.Pending() > 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for _, m := range w.pubsub.Messages("sync-requests") {
			ids = append(ids, m.Attributes["ce-id"])
		}
		break
	}
	return ids
}

func header(id string) http.Header {
	return http.Header{
		"Ce-Id": {id}, "Ce-Specversion": {"1.0"}, "Ce-Source": {"//me"}, "Ce-Type": {event.TypeSyncRequest}, "Content-Type": {"application/json"},
		mem.HeaderMessageID: {"77"},
	}
}

func TestReview(t *testing.T) {
	w := newWorld(t)
	w.bury(header("bad"), `{"user_id":"alice","tick":"yesterday"}`)
	w.bury(http.Header{"Content-Type": {"text/plain"}, mem.HeaderMessageID: {"78"}}, "\x1b[2Jhello")
	w.exhausted("20200101T0000Z/bob", event.TypeSyncRequest, `{"user_id":"bob","tick":"20200101T0000Z","cadence_minutes":1,"broker_env":"paper"}`)
	w.exhausted("tick/20200101T0000Z", event.TypeTick, "")

	out, err := w.run("list")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"alice", "yesterday", "bob", "exhausted", "tick", "unreadable"} {
		if !strings.Contains(out, want) {
			t.Errorf("list lacks %q:\n%s", want, out)
		}
	}
	if out, err = w.run("list", "--user", "alice", "--class", "poison", "--reason", "YESTERDAY"); err != nil || strings.Count(out, "\n") != 2 {
		t.Errorf("filtered: %v\n%s", err, out)
	}
	if out, err = w.run("show", "bad"); err != nil || !strings.Contains(out, "77") || !strings.Contains(out, "syncer") {
		t.Errorf("show tells neither the message nor the service: %v\n%s", err, out)
	}
	if _, err := w.run("replay"); err == nil {
		t.Error("replay of everything was taken without --all")
	}
	if _, err := w.run("replay", "--all", "--dry-run"); err != nil || w.listed() != 4 || len(w.sent()) != 0 {
		t.Errorf("a dry run: %v, %d letters, %v sent; want 4 and none", err, w.listed(), w.sent())
	}

	// A stale request is replayed as a fresh one; a user who is not active, a tick of the past and what nobody understands are not.
	before := tick.Of(time.Now())
	if out, err = w.run("replay", "--all"); err != nil {
		t.Errorf("replay: %v\n%s", err, out)
	}
	sent := w.sent()
	if len(sent) != 1 || (sent[0] != before.String()+"/alice" && sent[0] != (before+1).String()+"/alice") {
		t.Errorf("sent %v, want one request of this minute for alice", sent)
	}
	if n := w.listed(); n != 3 {
		t.Errorf("%d letters are left, want 3", n)
	}

	if _, err := w.run("drop", "--type", "tick"); err == nil || w.listed() != 3 {
		t.Errorf("drop without a word of consent: %v, %d letters left", err, w.listed())
	}
	if _, err := w.run("drop", "--type", "tick", "--yes"); err != nil || w.listed() != 2 {
		t.Errorf("drop: %v, %d letters left, want 2", err, w.listed())
	}
	if _, err := w.run("drop", "--all", "--yes"); err != nil || w.listed() != 0 {
		t.Errorf("drop of all: %v, %d letters left", err, w.listed())
	}
}

// A crash between publishing and acknowledging replays twice, and loses nothing.
func TestCrashBeforeAck(t *testing.T) {
	w := newWorld(t)
	w.bury(header("bad"), `{"user_id":"alice","tick":"yesterday"}`)
	w.lost = true
	if _, err := w.run("replay", "--user", "alice"); err == nil {
		t.Error("a letter that could not be acknowledged was no failure")
	}
	w.lost = false
	if n := w.listed(); n != 1 {
		t.Fatalf("%d letters are left, want the one", n)
	}
	if _, err := w.run("replay", "--user", "alice"); err != nil {
		t.Error(err)
	}
	if n, sent := w.listed(), w.sent(); n != 0 || len(sent) != 2 {
		t.Errorf("%d letters left, sent %v; want none, and the request twice", n, sent)
	}
}
