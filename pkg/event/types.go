package event

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// The types of the platform's events.
const (
	TypeTick        = "com.agenttrader.tick.v1"
	TypeTickShard   = "com.agenttrader.tick.shard.v1"
	TypeSyncRequest = "com.agenttrader.sync.requested.v1"
	TypeUnreadable  = "com.agenttrader.unreadable.v1" // a dead letter that was no CloudEvent
	TypeDocument    = "google.cloud.firestore.document.v1.written"
	TypeMessage     = "google.cloud.pubsub.topic.v1.messagePublished" // Eventarc's, of a topic: Secret Manager's notifications
)

// New makes an event of ours.
func New(id, typ, service, subject string) Event {
	e := event.New()
	e.SetID(id)
	e.SetType(typ)
	e.SetSource("//agenttrader/" + service)
	if subject != "" {
		e.SetSubject(subject)
	}
	return e
}

// tickShard is the data of TypeTickShard: publish one shard of the roster for one tick.
type tickShard struct {
	Tick  string `json:"tick"` // tick.Layout
	Shard string `json:"shard"`
}

// NewTickShard hands out one shard of a tick, as an event with the id {tick}/shards/{shard}.
func NewTickShard(t tick.Tick, shard string) (Event, error) {
	e := New(t.String()+"/shards/"+shard, TypeTickShard, "fanout", "rosters/"+shard)
	return e, e.SetData(event.ApplicationJSON, tickShard{t.String(), shard})
}

// ParseTickShard reads what NewTickShard made; its error is a Reject.
func ParseTickShard(e Event) (t tick.Tick, shard string, err error) {
	var s tickShard
	if err := json.Unmarshal(e.Data(), &s); err != nil {
		return 0, "", Reject(fmt.Errorf("shard of a tick is no JSON object like its documentation's: %w", err))
	}
	if t, err = tick.Parse(s.Tick); err != nil {
		return 0, "", Reject(fmt.Errorf("shard of a tick: %w", err))
	}
	if err := document.CheckID(s.Shard); err != nil {
		return 0, "", Reject(fmt.Errorf("shard of tick %s: %w", t, err))
	}
	return t, s.Shard, nil
}

// SyncRequest asks the syncer to sync one user's account for one tick. It carries what the syncer would otherwise
// have to read of the user.
type SyncRequest struct {
	UserID         string `json:"user_id"`
	Tick           string `json:"tick"` // tick.Layout
	CadenceMinutes int    `json:"cadence_minutes"`
	BrokerEnv      string `json:"broker_env"`
	KeyVersion     string `json:"key_version,omitempty"`
	TenantID       string `json:"tenant_id,omitempty"` // as the user's document says, whatever it says
	TraceParent    string `json:"-"`                   // W3C trace context, from the event's traceparent extension

	// Health is the user's state before this sync; absent where it is well, so that a sync that goes well reads and
	// writes no health.
	Health health.State `json:"health,omitempty"`

	// SlotMinutes meets each slot and bar's close of the user's enabled strategies; account.NoSlots if there are none, and
	// absent where it is not known. The snapshot carries it on, so that the signaler need not look.
	SlotMinutes int `json:"slot_minutes,omitempty"`
}

// NewSyncRequest is the request for a user at a tick, of whom no more is known, as an event.
func NewSyncRequest(t tick.Tick, u user.User, h health.Health) (Event, error) {
	r := SyncRequest{UserID: u.ID, Tick: t.String(), CadenceMinutes: u.CadenceMinutes, BrokerEnv: u.BrokerEnv, KeyVersion: u.KeyVersion, TenantID: u.TenantID}
	if h.Failing() {
		r.Health = h.State
	}
	return r.Event()
}

// Event is the request as an event with the id {tick}/{uid}.
func (r SyncRequest) Event() (Event, error) {
	e := New(r.Tick+"/"+r.UserID, TypeSyncRequest, "fanout", "users/"+r.UserID)
	return e, e.SetData(event.ApplicationJSON, r)
}

// ParseSyncRequest reads a request; its error is a Reject.
func ParseSyncRequest(e Event) (SyncRequest, tick.Tick, error) {
	var r SyncRequest
	if e.Type() != TypeSyncRequest {
		return r, 0, Reject(fmt.Errorf("event type %.100q: this endpoint takes %s", e.Type(), TypeSyncRequest))
	}
	if t := e.DataMediaType(); t != event.ApplicationJSON && t != "" {
		return r, 0, Reject(fmt.Errorf("content type %.100q: this endpoint takes %s", t, event.ApplicationJSON))
	}
	if err := json.Unmarshal(e.Data(), &r); err != nil {
		return r, 0, Reject(fmt.Errorf("sync request is no JSON object like its documentation's: %w", err))
	}
	if err := user.CheckID(r.UserID); err != nil {
		return r, 0, Reject(fmt.Errorf("sync request: %w", err))
	}
	t, err := tick.Parse(r.Tick)
	if err != nil {
		return r, 0, Reject(fmt.Errorf("sync request of user %s: %w", r.UserID, err))
	}
	if r.BrokerEnv != "paper" && r.BrokerEnv != "live" {
		return r, 0, Reject(fmt.Errorf("sync request of user %s: broker_env %.20q: want paper or live", r.UserID, r.BrokerEnv))
	}
	r.CadenceMinutes = min(max(1, r.CadenceMinutes), 24*60)
	r.TraceParent, _ = e.Extensions()["traceparent"].(string)
	return r, t, nil
}

// CheckAge says with a Drop if what is due at a tick is older than limit, with a Reject if it lies in the future:
// the past is never replayed. A minute of clock skew between machines is allowed for.
func CheckAge(t tick.Tick, now time.Time, limit time.Duration) error {
	switch age := now.Sub(t.Time()); {
	case age > limit:
		return Drop(fmt.Errorf("tick %s is %s old: older than %s is not replayed", t, age.Round(time.Second), limit))
	case age < -time.Minute:
		return Reject(fmt.Errorf("tick %s lies in the future (now %s)", t, now.UTC().Format(tick.Layout)))
	}
	return nil
}
