package deadletter_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/deadletter"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

var noon = time.Date(2026, 11, 24, 12, 0, 5, 0, time.UTC)

type attributes = map[string]string

// of is an event's attributes with others.
func of(e event.Event, more attributes) attributes {
	a := event.Attributes(e)
	maps.Copy(a, more)
	return a
}

func requestAt(at time.Time, id string) event.Event {
	e, err := event.NewSyncRequest(tick.Of(at), user.User{ID: id, CadenceMinutes: 1, BrokerEnv: "paper"}, health.Health{})
	if err != nil {
		panic(err)
	}
	return e
}

// ours is what a service's receiver adds.
func ours(reason string) attributes {
	return attributes{
		"ce-deadletterclass": "poison", "ce-deadletterreason": reason, "ce-deadletterservice": "syncer", "ce-deadlettermessage": "77",
		"ce-deadlettersub": "projects/p/subscriptions/s", "ce-publishtime": "2026-11-24T11:00:00.5Z", "ce-deadletterattributes": `{"Team":"a"}`,
	}
}

func googles() attributes {
	return attributes{
		"CloudPubSubDeadLetterSourceSubscription": "s", "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
		"CloudPubSubDeadLetterSourceDeliveryCount": "10", "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-11-24T11:00:00.5Z",
	}
}

func TestParse(t *testing.T) {
	r := requestAt(noon, "alice")
	change := event.New("c1", event.TypeDocument, "x", "documents/users/alice/alpacaAccounts/snapshot")
	unreadable := event.New("unreadable/77", event.TypeUnreadable, "receiver", "")
	published := time.Date(2026, 11, 24, 11, 0, 0, 5e8, time.UTC)
	both := of(r, ours("forged"))
	maps.Copy(both, googles())
	for name, c := range map[string]struct {
		attributes attributes
		data       string
		want       deadletter.Letter // but for what every letter has
	}{
		"a service's": {of(r, ours("no")), string(r.Data()), deadletter.Letter{
			Class: deadletter.Poison, Reason: "no", By: "syncer", MessageID: "77", Subscription: "projects/p/subscriptions/s", Published: published,
			Kind: deadletter.Request, EventID: r.ID(), Type: r.Type(), Source: r.Source(), Subject: r.Subject(), UserID: "alice",
			Attributes: event.Attributes(r), Others: attributes{"Team": "a"},
		}},
		"a service's, unreadable": {of(unreadable, ours("no")), "{", deadletter.Letter{
			Class: deadletter.Poison, Reason: "no", By: "syncer", MessageID: "77", Subscription: "projects/p/subscriptions/s", Published: published,
			Kind: deadletter.Unreadable, EventID: "unreadable/77", Type: event.TypeUnreadable, Source: unreadable.Source(),
			Attributes: event.Attributes(unreadable), Others: attributes{"Team": "a"},
		}},
		"a service's, of an event that no topic takes": {of(unreadable, attributes{"ce-deadletterclass": "poison", "ce-originalid": "x…", "ce-originaltype": "t"}), `{"user_id":"bob"}`, deadletter.Letter{
			Class: deadletter.Poison, Kind: deadletter.Unreadable, EventID: "x…", Type: event.TypeUnreadable, Source: unreadable.Source(), UserID: "bob",
			Attributes: event.Attributes(unreadable),
		}},
		"Pub/Sub's": {of(r, googles()), string(r.Data()), deadletter.Letter{
			Class: deadletter.Exhausted, By: "Pub/Sub", Subscription: "s", Attempts: 10, Published: published,
			Reason: "delivered 10 times in vain to subscription s: the log of its service before 2026-11-24T12:00:05Z says why",
			Kind:   deadletter.Request, EventID: r.ID(), Type: r.Type(), Source: r.Source(), Subject: r.Subject(), UserID: "alice", Attributes: event.Attributes(r),
		}},
		"Pub/Sub's, of one that claims to be a service's": {both, "{}", deadletter.Letter{
			Class: deadletter.Exhausted, By: "Pub/Sub", Subscription: "s", Attempts: 10, Published: published,
			Reason: "delivered 10 times in vain to subscription s: the log of its service before 2026-11-24T12:00:05Z says why",
			Kind:   deadletter.Request, EventID: r.ID(), Type: r.Type(), Source: r.Source(), Subject: r.Subject(), UserID: "alice", Attributes: event.Attributes(r),
		}},
		"a change": {of(change, nil), "", deadletter.Letter{
			Class: deadletter.Stray, Reason: "neither a service nor Pub/Sub put it there: it was published to the topic by somebody else",
			Kind: deadletter.Change, EventID: "c1", Type: change.Type(), Source: change.Source(), Subject: change.Subject(), UserID: "alice", Attributes: event.Attributes(change),
		}},
		"nothing at all": {nil, "", deadletter.Letter{
			Class: deadletter.Stray, Reason: "neither a service nor Pub/Sub put it there: it was published to the topic by somebody else", Kind: deadletter.Unreadable,
		}},
		"hostile": {attributes{
			"CE-TYPE": event.TypeSyncRequest, "ce-subject": "users/../x", "ce-deadletterclass": "\x1b[31m\xff", "ce-deadletterreason": strings.Repeat("x", 1e6),
			"ce-publishtime": "now", "ce-deadletterattributes": `{"a":{}}`, "CloudPubSubDeadLetterSourceDeliveryCount": "-1e9",
		}, `{"user_id":"a/b"}`, deadletter.Letter{
			Class: "\x1b[31m\xff", Reason: strings.Repeat("x", 1e6), Kind: deadletter.Request, Type: event.TypeSyncRequest, Subject: "users/../x",
			Attributes: attributes{"CE-TYPE": event.TypeSyncRequest, "ce-subject": "users/../x"}, Others: attributes{"a": ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := maps.Clone(c.attributes)
			got := deadletter.Parse(deadletter.Message{ID: "1", PublishTime: noon, Attributes: c.attributes, Data: []byte(c.data)})
			c.want.ID, c.want.Buried, c.want.Data = "1", noon, []byte(c.data)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, c.attributes); d != "" {
				t.Errorf("the message was changed (-before +after):\n%s", d)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	l := deadletter.Letter{ID: "1", EventID: "e", Class: deadletter.Poison, Kind: deadletter.Request, Type: event.TypeSyncRequest, UserID: "alice", Reason: "want paper or LIVE", Buried: noon}
	for name, c := range map[string]struct {
		filter deadletter.Filter
		want   bool
	}{
		"nothing set":         {deadletter.Filter{}, true},
		"the letter's id":     {deadletter.Filter{IDs: []string{"x", "1"}}, true},
		"the event's id":      {deadletter.Filter{IDs: []string{"e"}}, true},
		"other ids":           {deadletter.Filter{IDs: []string{"x", ""}}, false},
		"class":               {deadletter.Filter{Class: deadletter.Poison}, true},
		"other class":         {deadletter.Filter{Class: deadletter.Exhausted}, false},
		"kind":                {deadletter.Filter{Type: deadletter.Request}, true},
		"type":                {deadletter.Filter{Type: event.TypeSyncRequest}, true},
		"other type":          {deadletter.Filter{Type: event.TypeTick}, false},
		"user":                {deadletter.Filter{User: "alice"}, true},
		"other user":          {deadletter.Filter{User: "ali"}, false},
		"reason":              {deadletter.Filter{Reason: "PAPER or live"}, true},
		"other reason":        {deadletter.Filter{Reason: "x"}, false},
		"older":               {deadletter.Filter{Older: 59 * time.Minute}, true},
		"not older":           {deadletter.Filter{Older: time.Hour}, false},
		"all of it":           {deadletter.Filter{IDs: []string{"1"}, Class: deadletter.Poison, Type: deadletter.Request, User: "alice", Reason: "paper", Older: time.Minute}, true},
		"all of it, but one":  {deadletter.Filter{IDs: []string{"1"}, Class: deadletter.Poison, Type: deadletter.Request, User: "bob", Reason: "paper", Older: time.Minute}, false},
		"an id and one thing": {deadletter.Filter{IDs: []string{"1"}, Type: deadletter.Tick}, false},
	} {
		if got := c.filter.Match(l, noon.Add(time.Hour)); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
		if c.filter.Empty() != (name == "nothing set") {
			t.Errorf("%s: empty is %t", name, c.filter.Empty())
		}
	}
	if got := (deadletter.Filter{IDs: []string{"e", "x", "1"}}).Unmatched([]deadletter.Letter{l}); !cmp.Equal(got, []string{"x"}) {
		t.Errorf("unmatched ids %q, want x", got)
	}
}
