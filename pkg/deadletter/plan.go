package deadletter

import (
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Action is what a replay does with letters.
type Action string

// The actions.
const (
	AsItIs Action = "as it was"     // the original is published once more
	Fresh  Action = "fresh request" // a sync request for the user, of the current tick, in place of the original
	Skip   Action = "not replayed"
)

// Step is one thing that a replay does: most are for one letter, a fresh request is for all stale ones of its user.
type Step struct {
	Action  Action
	Letters []Letter
	UserID  string // of a fresh request
	Why     string
}

// Plan says what becomes of each letter, in their order. changes: it is known where change events go.
func Plan(letters []Letter, now time.Time, changes bool) []Step {
	var steps []Step
	fresh := map[string]int{} // the step of each user
	for _, l := range letters {
		s := plan(l, now, changes)
		if s.Action == Fresh {
			if i, ok := fresh[s.UserID]; ok {
				steps[i].Letters = append(steps[i].Letters, l)
				continue
			}
			fresh[s.UserID] = len(steps)
		}
		s.Letters = []Letter{l}
		steps = append(steps, s)
	}
	return steps
}

func plan(l Letter, now time.Time, changes bool) Step {
	skip := func(format string, args ...any) Step { return Step{Action: Skip, Why: fmt.Sprintf(format, args...)} }
	switch l.Kind {
	case Request:
		return planRequest(l, now)
	case Tick:
		// A tick is the minute in which its message is published: sent again, it would be another one.
		return skip("the past is never replayed: the next tick comes by itself; drop the letter")
	case Change:
		if _, err := event.FromMessage(l.Attributes, l.Data); err != nil {
			return skip("no trigger would take it as it is: %v", err)
		}
		if !changes {
			return skip("name the transport topic of the trigger it came by with --changes-topic (gcloud eventarc triggers describe shows it)")
		}
		return Step{Action: AsItIs, Why: "a stale change does no harm: the signaler reads the account again"}
	case Unreadable:
		return skip("it can't be understood: mend its sender, then drop the letter")
	}
	return skip("no topic of ours takes type %.100q: find its sender, then drop the letter", l.Type)
}

func planRequest(l Letter, now time.Time) Step {
	r, t, err := read(l)
	if err == nil {
		err = young(r, t, now)
	}
	switch {
	case err == nil:
		return Step{Action: AsItIs, Why: fmt.Sprintf("its tick %s is young enough", t)}
	case l.UserID == "":
		return Step{Action: Skip, Why: "it names no user: " + err.Error()}
	}
	return Step{Action: Fresh, UserID: l.UserID, Why: err.Error()}
}

// young leaves a request a minute to arrive: the syncer drops those that are a minute older than their cadence.
func young(r event.SyncRequest, t tick.Tick, now time.Time) error {
	return event.CheckAge(t, now, time.Duration(r.CadenceMinutes)*time.Minute)
}

func read(l Letter) (event.SyncRequest, tick.Tick, error) {
	e, err := event.FromMessage(l.Attributes, l.Data)
	if err != nil {
		return event.SyncRequest{}, 0, err
	}
	return event.ParseSyncRequest(e)
}
