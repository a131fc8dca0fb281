package deadletter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/deadletter"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// letter is a dead letter of an event.
func letter(id string, e event.Event) deadletter.Letter {
	return deadletter.Parse(deadletter.Message{ID: id, PublishTime: noon, Attributes: of(e, ours("no")), Data: e.Data()})
}

func TestPlan(t *testing.T) {
	slow := requestAt(noon.Add(-4*time.Minute), "alice")
	slow.DataEncoded = []byte(strings.Replace(string(slow.Data()), `"cadence_minutes":1`, `"cadence_minutes":5`, 1))
	cut := requestAt(noon, "alice")
	cut.DataEncoded = cut.Data()[:20]
	nameless := requestAt(noon, "alice")
	nameless.DataEncoded = []byte("{}")
	nameless.SetSubject("")
	change := event.New("c1", event.TypeDocument, "x", "documents/users/alice/alpacaAccounts/snapshot")
	unreadable := event.New("unreadable/77", event.TypeUnreadable, "receiver", "")
	torn := letter("1", change)
	torn.Attributes["ce-subject"] = "a\nb"
	for name, c := range map[string]struct {
		letter  deadletter.Letter
		changes bool
		want    deadletter.Action
		says    string
	}{
		"a request of this minute":          {letter("1", requestAt(noon, "alice")), false, deadletter.AsItIs, "young enough"},
		"of the minute before":              {letter("1", requestAt(noon.Add(-time.Minute), "alice")), false, deadletter.Fresh, "is not replayed"},
		"at a slower cadence":               {letter("1", slow), false, deadletter.AsItIs, "young enough"},
		"of the future":                     {letter("1", requestAt(noon.Add(time.Hour), "alice")), false, deadletter.Fresh, "lies in the future"},
		"cut, its subject names the user":   {letter("1", cut), false, deadletter.Fresh, "no JSON object"},
		"of nobody":                         {letter("1", nameless), false, deadletter.Skip, "names no user"},
		"a tick":                            {letter("1", event.New("t", event.TypeTick, "scheduler", "")), true, deadletter.Skip, "the next tick comes by itself"},
		"a change":                          {letter("1", change), true, deadletter.AsItIs, ""},
		"a change, its topic unknown":       {letter("1", change), false, deadletter.Skip, "--changes-topic"},
		"a change that no push could carry": {torn, true, deadletter.Skip, "control character"},
		"unreadable":                        {letter("1", unreadable), true, deadletter.Skip, "can't be understood"},
		"a stranger":                        {letter("1", event.New("x", "com.example.x", "x", "")), true, deadletter.Skip, "com.example.x"},
		"nothing":                           {deadletter.Parse(deadletter.Message{}), true, deadletter.Skip, "can't be understood"},
	} {
		steps := deadletter.Plan([]deadletter.Letter{c.letter}, noon, c.changes)
		if len(steps) != 1 || len(steps[0].Letters) != 1 {
			t.Errorf("%s: steps %+v, want one for one letter", name, steps)
			continue
		}
		if s := steps[0]; s.Action != c.want || !strings.Contains(s.Why, c.says) || (s.UserID == "alice") != (c.want == deadletter.Fresh) {
			t.Errorf("%s: %s for %q, since %q; want %s, since %q", name, s.Action, s.UserID, s.Why, c.want, c.says)
		}
	}
}

// A hundred stale letters of a user are one fresh request.
func TestPlanAsksOnceForEachUser(t *testing.T) {
	var letters []deadletter.Letter
	for i := range 300 {
		letters = append(letters, letter(fmt.Sprint(i), requestAt(noon.Add(-time.Duration(i+2)*time.Minute), []string{"alice", "bob", "carol"}[i%3])))
	}
	letters = append(letters, letter("young", requestAt(noon, "alice")))
	steps := deadletter.Plan(letters, noon, false)
	if len(steps) != 4 || len(steps[0].Letters) != 100 || len(steps[1].Letters) != 100 || len(steps[2].Letters) != 100 || steps[3].Action != deadletter.AsItIs {
		t.Errorf("%d steps, want one for each of three users, and the young one", len(steps))
	}
}

// Whatever lies there: it is a letter, each letter is in one step, and what goes out again is what a receiver would
// take, without a word of the letter's own.
func FuzzParse(f *testing.F) {
	r := requestAt(noon, "alice")
	f.Add("ce-type", event.TypeSyncRequest, "ce-id", "1", "ce-subject", "users/alice", r.Data(), true)
	f.Add("ce-deadletterclass", "poison", "ce-deadletterattributes", `{"a":"b"}`, "CE-Type", event.TypeDocument, []byte{0x0a, 0xff}, true)
	f.Add("CloudPubSubDeadLetterSourceSubscription", "s", "CloudPubSubDeadLetterSourceDeliveryCount", "x", "ce-originalid", "\xff\x00", []byte(`{"user_id":"__x__"}`), false)
	f.Add("ce-", "", "", "ce-", "Content-Type", "application/cloudevents+json", []byte(nil), false)
	f.Add("ce-document", "users/u1/alpacaAccounts/snapshot", "ce-replayof", "\x1b", "ce-publishtime", "2026-11-24T09:30:00Z", []byte("x"), true)
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string, data []byte, event1 bool) {
		a := attributes{}
		if event1 {
			a = of(r, nil)
		}
		a[k1], a[k2], a[k3] = v1, v2, v3
		l := deadletter.Parse(deadletter.Message{ID: "1", PublishTime: noon, Attributes: a, Data: data})
		if l.UserID != "" && user.CheckID(l.UserID) != nil {
			t.Errorf("user %q", l.UserID)
		}
		if l.Class == "" || l.Kind == "" {
			t.Errorf("letter %+v: want a class and a kind", l)
		}
		for k := range l.Attributes {
			if strings.HasPrefix(k, "CloudPubSubDeadLetterSource") || strings.HasPrefix(strings.ToLower(k), "ce-deadletter") {
				t.Errorf("attribute %q would be sent again", k)
			}
		}
		steps := deadletter.Plan([]deadletter.Letter{l}, noon, true)
		if len(steps) != 1 || len(steps[0].Letters) != 1 || steps[0].Why == "" {
			t.Fatalf("steps %+v", steps)
		}
		switch s := steps[0]; s.Action {
		case deadletter.AsItIs:
			if _, err := event.FromMessage(l.Attributes, l.Data); err != nil {
				t.Errorf("no receiver would take it: %v", err)
			}
		case deadletter.Fresh:
			if user.CheckID(s.UserID) != nil {
				t.Errorf("a request for user %q", s.UserID)
			}
		case deadletter.Skip:
		}
	})
}
