package gcp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func startFake(t *testing.T) (*pstest.Server, *pubsub.Client) {
	t.Helper()
	srv := pstest.NewServerWithAddress("127.0.0.1:0")
	t.Cleanup(func() { _ = srv.Close() })
	conn, err := grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client, err := pubsub.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: "projects/p/topics/t"}); err != nil {
		t.Fatal(err)
	}
	return srv, client
}

func newEvent(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("test")
	e.SetType("a.b")
	return e
}

func TestMessage(t *testing.T) {
	bare := newEvent("1")
	full := newEvent("2")
	full.SetSubject("users/u")
	full.SetTime(time.Date(2026, 3, 2, 15, 4, 5, 6000, time.FixedZone("", 3600)))
	full.SetExtension("tick", "now")
	full.SetExtension("shard", 7)
	if err := full.SetData(event.TextPlain, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	untyped := newEvent("3")
	untyped.DataEncoded = []byte(`{}`)
	base := func(id string, more ...string) map[string]string {
		m := map[string]string{"ce-specversion": "1.0", "ce-id": id, "ce-source": "test", "ce-type": "a.b"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for _, tc := range []struct {
		name string
		in   event.Event
		want *pubsub.Message
	}{
		{"bare", bare, &pubsub.Message{Attributes: base("1")}},
		{"full", full, &pubsub.Message{Data: []byte("hi"), Attributes: base("2", "ce-subject", "users/u",
			"ce-time", "2026-03-02T14:04:05.000006Z", "ce-tick", "now", "ce-shard", "7", "Content-Type", "text/plain")}},
		{"data without a type", untyped, &pubsub.Message{Data: []byte(`{}`), Attributes: base("3", "Content-Type", "application/json")}},
	} {
		got := Message(tc.in)
		if diff := cmp.Diff(tc.want.Attributes, got.Attributes); diff != "" {
			t.Errorf("%s: attributes (-want +got):\n%s", tc.name, diff)
		}
		if string(got.Data) != string(tc.want.Data) {
			t.Errorf("%s: data %q, want %q", tc.name, got.Data, tc.want.Data)
		}
	}
}

func TestPublishWaitsForTheServer(t *testing.T) {
	srv, client := startFake(t)
	p := NewPublisher(client, "t")
	defer p.Stop()
	events := make([]event.Event, 1200)
	for i := range events {
		events[i] = newEvent(fmt.Sprint(i))
	}
	if err := p.Publish(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range srv.Messages() {
		seen[m.Attributes["ce-id"]] = true
	}
	if len(seen) != len(events) {
		t.Errorf("the server has %d of %d when Publish returns", len(seen), len(events))
	}
}

func TestPublishBoundsItsError(t *testing.T) {
	_, client := startFake(t)
	p := NewPublisher(client, "missing")
	defer p.Stop()
	events := make([]event.Event, 100)
	for i := range events {
		events[i] = newEvent(fmt.Sprintf("event-%02d", i))
	}
	err := p.Publish(context.Background(), events...)
	if err == nil {
		t.Fatal("publishing to a missing topic went well")
	}
	told := strings.Count(err.Error(), "event-")
	if told == 0 || told > 10 || !strings.Contains(err.Error(), fmt.Sprintf("and %d more", len(events)-told)) {
		t.Errorf("the error names %d events and does not count the rest:\n%v", told, err)
	}
}
