package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Sender publishes messages to one topic.
type Sender interface {
	// Send returns an error for each message, in their order; nil: the topic has taken it.
	Send(ctx context.Context, messages ...Message) []error
}

const (
	batch      = 100 // steps that a crash may repeat
	lookups    = 16  // users read at a time
	ackTimeout = 15 * time.Second
)

// Replayer carries out the steps of a plan. A letter is acknowledged only after its replacement was published: a crash
// in between replays it twice, which is harmless, as every delivery may be a second one.
type Replayer struct {
	Box      Box
	Users    user.Finder
	Requests Sender
	Changes  Sender // nil if no plan has change events
	Now      func() time.Time
	DryRun   bool // finds out what would become of the letters, and publishes and acknowledges nothing
}

// Outcome is what became of one letter.
type Outcome struct {
	Letter Letter
	Action Action
	Why    string
	Err    error // the replay failed, and the letter stays
}

// Run tells done the outcome of each letter. Its error is ctx's: the letters left are as they were.
func (r *Replayer) Run(ctx context.Context, steps []Step, done func(Outcome)) error {
	for len(steps) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(batch, len(steps))
		r.run(ctx, steps[:n], done)
		steps = steps[n:]
	}
	return nil
}

// work is a step under way.
type work struct {
	Step
	message Message
	err     error
}

func (r *Replayer) run(ctx context.Context, steps []Step, done func(Outcome)) {
	works := make([]*work, len(steps))
	var g errgroup.Group
	g.SetLimit(lookups)
	for i, s := range steps {
		works[i] = &work{Step: s}
		g.Go(func() error { r.prepare(ctx, works[i]); return nil })
	}
	_ = g.Wait() // its errors are the works'
	if !r.DryRun {
		r.send(ctx, r.Requests, works, func(w *work) bool { return w.Letters[0].Kind == Request })
		r.send(ctx, r.Changes, works, func(w *work) bool { return w.Letters[0].Kind == Change })
		r.ack(ctx, works)
	}
	for _, w := range works {
		for _, l := range w.Letters {
			done(Outcome{Letter: l, Action: w.Action, Why: w.Why, Err: w.err})
		}
	}
}

// prepare makes the message to send; it may find that there is none.
func (r *Replayer) prepare(ctx context.Context, w *work) {
	l := w.Letters[0]
	switch w.Action {
	case AsItIs:
		w.message = Message{Attributes: maps.Clone(l.Attributes), Data: l.Data}
	case Fresh:
		e, refusal, err := r.fresh(ctx, w.UserID)
		if refusal != "" {
			w.Action, w.Why = Skip, refusal
		}
		if w.err = err; err != nil || refusal != "" {
			return
		}
		w.message = Message{Attributes: event.Attributes(e), Data: e.Data()}
	case Skip:
		return
	}
	w.message.Attributes["ce-"+ReplayOf] = printable(l.ID)
}

// fresh is a request for the user at the current tick; a refusal says why there can be none.
func (r *Replayer) fresh(ctx context.Context, id string) (e event.Event, refusal string, err error) {
	u, err := r.Users.User(ctx, id)
	switch {
	case errors.Is(err, user.ErrNotFound):
		return e, fmt.Sprintf("user %s is gone: drop the letter", id), nil
	case err != nil:
		return e, "", fmt.Errorf("read user %s: %w", id, err)
	case u.Status != user.Active:
		return e, fmt.Sprintf("user %s is not active (status %.40q): drop the letter, or make the user active first", id, u.Status), nil
	}
	if e, err = event.NewSyncRequest(tick.Of(r.Now()), u, health.Health{}); err != nil {
		return e, "", fmt.Errorf("sync request of user %s: %w", id, err)
	}
	if _, _, err := event.ParseSyncRequest(e); err != nil { // it would come back here
		return e, fmt.Sprintf("the document of user %s makes no request: mend it first: %v", id, err), nil
	}
	return e, "", nil
}

func (r *Replayer) send(ctx context.Context, to Sender, works []*work, here func(*work) bool) {
	var sent []*work
	var messages []Message
	for _, w := range works {
		if w.err == nil && w.Action != Skip && here(w) {
			sent, messages = append(sent, w), append(messages, w.message)
		}
	}
	if len(messages) == 0 {
		return
	}
	for i, err := range to.Send(ctx, messages...) {
		sent[i].err = err
	}
}

// ack takes the letters whose replacement was published, be it that the caller gave up meanwhile.
func (r *Replayer) ack(ctx context.Context, works []*work) {
	var ids []string
	var acked []*work
	for _, w := range works {
		if w.err == nil && w.Action != Skip {
			acked = append(acked, w)
			for _, l := range w.Letters {
				ids = append(ids, l.ID)
			}
		}
	}
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	if err := r.Box.Ack(ctx, ids...); err != nil {
		for _, w := range acked {
			w.err = fmt.Errorf("it was replayed, but it is still among the dead letters (a second replay is harmless): %w", err)
		}
	}
}

// printable is text that can be an attribute of an event.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}
