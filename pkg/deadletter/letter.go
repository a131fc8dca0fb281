// Package deadletter is what the platform could not understand or not deliver, and what an operator can do about it.
//
//	a service's receiver: poison, with its reason ─┐
//	                                               ├─▶ dead-letters ─▶ the review subscription ─▶ Scan ─▶ Filter ─▶ Plan
//	Pub/Sub: out of attempts, without a reason ────┘                                              ─▶ Replayer.Run, or Ack
package deadletter

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// The classes of letters.
const (
	Poison    = string(event.Poison) // a service could not understand it, and says why
	Exhausted = "exhausted"          // Pub/Sub delivered it in vain as often as it may
	Stray     = "stray"              // neither of them put it there
)

// The kinds of events.
const (
	Request    = "request"    // a sync request
	Tick       = "tick"       // a tick of the scheduler
	Change     = "change"     // a document's change
	Unreadable = "unreadable" // no event that any topic would take
	Other      = "other"      // an event that is none of ours
)

// The attributes that Pub/Sub adds to what it dead-letters. https://cloud.google.com/pubsub/docs/dead-letter-topics
const (
	attrPrefix       = "CloudPubSubDeadLetterSource"
	attrSubscription = attrPrefix + "Subscription"
	attrAttempts     = attrPrefix + "DeliveryCount"
	attrPublished    = attrPrefix + "TopicPublishTime"
)

// ReplayOf is the extension of what was sent again: the id of the letter.
const ReplayOf = "replayof"

// changePrefix begins the types of Firestore's change events: created, updated, deleted, written.
const changePrefix = "google.cloud.firestore.document.v1."

// Message is a message as Pub/Sub has it.
type Message struct {
	ID          string // the server's; unique within the topic
	PublishTime time.Time
	Attributes  map[string]string
	Data        []byte
}

// Letter is one dead letter. What is unknown is empty. Every text in it is a stranger's: bound and escape it.
type Letter struct {
	ID           string    // Pub/Sub's id of the letter itself
	Buried       time.Time // when
	By           string    // who: the service, or "Pub/Sub"
	Class        string
	Reason       string
	Subscription string // that the original came by
	Attempts     int    // that Pub/Sub made
	MessageID    string // Pub/Sub's id of the original
	Published    time.Time
	Kind         string
	EventID      string
	Type         string
	Source       string
	Subject      string
	UserID       string            // whose account it is about
	ReplayOf     string            // the letter of which it was a replay
	Attributes   map[string]string // the original's, as far as they are whole: those of an event can be sent again
	Others       map[string]string // what else is known of the original's attributes, cut to size
	Data         []byte
}

// Parse reads a message of the dead letters' topic. Whatever it is, it is a letter.
func Parse(m Message) Letter {
	l := Letter{ID: m.ID, Buried: m.PublishTime, Data: m.Data, Attributes: original(m.Attributes)}
	get := func(name string) string { return attribute(m.Attributes, "ce-"+name) }
	l.Type, l.Source, l.Subject, l.ReplayOf = get("type"), get("source"), get("subject"), get(ReplayOf)
	l.EventID = get("id")
	switch {
	case m.Attributes[attrSubscription] != "":
		l.Class, l.By, l.Subscription = Exhausted, "Pub/Sub", m.Attributes[attrSubscription]
		l.Attempts, _ = strconv.Atoi(m.Attributes[attrAttempts])
		l.Published = moment(m.Attributes[attrPublished])
		l.Reason = fmt.Sprintf("delivered %d times in vain to subscription %s: the log of its service before %s says why",
			l.Attempts, l.Subscription, l.Buried.UTC().Format(time.RFC3339))
	case get(event.LetterClass) != "":
		l.Class, l.Reason, l.By = get(event.LetterClass), get(event.LetterReason), get(event.LetterService)
		l.MessageID, l.Subscription, l.Published = get(event.LetterMessage), get(event.LetterSubscription), moment(get(event.LetterPublished))
		_ = json.Unmarshal([]byte(get(event.LetterAttributes)), &l.Others)
		if id := get(event.LetterOriginalID); id != "" {
			l.EventID = id
		}
	default:
		l.Class, l.Reason = Stray, "neither a service nor Pub/Sub put it there: it was published to the topic by somebody else"
	}
	l.Kind = kindOf(l.Type)
	l.UserID = l.owner()
	return l
}

func kindOf(typ string) string {
	switch {
	case typ == event.TypeSyncRequest:
		return Request
	case typ == event.TypeTick:
		return Tick
	case typ == event.TypeUnreadable, typ == "":
		return Unreadable
	case strings.HasPrefix(typ, changePrefix):
		return Change
	}
	return Other
}

// original is the attributes without those that the letter added.
func original(attributes map[string]string) map[string]string {
	a := maps.Clone(attributes)
	maps.DeleteFunc(a, func(k, _ string) bool {
		name, ok := strings.CutPrefix(strings.ToLower(k), "ce-")
		return strings.HasPrefix(k, attrPrefix) || (ok && added(name))
	})
	return a
}

// added says that a service puts this extension into its letters.
func added(name string) bool {
	switch name {
	case event.LetterClass, event.LetterReason, event.LetterService, event.LetterMessage, event.LetterSubscription,
		event.LetterAttributes, event.LetterPublished, event.LetterOriginalID, event.LetterOriginalType:
		return true
	}
	return false
}

// attribute finds a name in whatever spelling; ours first.
func attribute(attributes map[string]string, name string) string {
	if v, ok := attributes[name]; ok {
		return v
	}
	for k, v := range attributes {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// owner is the user whom the event names, if it is a user's name.
func (l Letter) owner() string {
	var candidates []string
	switch l.Kind {
	case Request, Unreadable:
		var r struct {
			UserID string `json:"user_id"`
		}
		_ = json.Unmarshal(l.Data, &r)
		candidates = []string{r.UserID, segment(l.Subject)}
	case Change:
		candidates = []string{segment(attribute(l.Attributes, "ce-document")), segment(strings.TrimPrefix(l.Subject, "documents/"))}
	}
	for _, id := range candidates {
		if user.CheckID(id) == nil {
			return id
		}
	}
	return ""
}

// segment is the uid in users/{uid}/….
func segment(path string) string {
	rest, ok := strings.CutPrefix(path, "users/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// moment is a time in Pub/Sub's form; the zero time if it is none.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
