package smoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// report is what came of it, for programs.
type report struct {
	Where  string `json:"where"`
	UserID string `json:"user_id"`
	OK     bool   `json:"ok"`
	Denial string `json:"denial_code,omitempty"` // in place of a signal
	Steps  []step `json:"steps"`
	Left   string `json:"left,omitempty"` // what could not be removed
}

type step struct {
	Name    string  `json:"step"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Found   string  `json:"found,omitempty"`
	Error   string  `json:"error,omitempty"`
	Remedy  string  `json:"remedy,omitempty"`
}

// run is one check.
type run struct {
	*desk
	options
	out, notes io.Writer
	report     report
	snapshot   account.Snapshot
}

// shown is how many bytes of a text people are shown.
const shown = 600

// failure is a step's error with what to do.
type failure struct {
	error
	remedy string
}

func (f *failure) Unwrap() error { return f.error }

func remedy(err error, format string, args ...any) error {
	return &failure{err, fmt.Sprintf(format, args...)}
}

// all goes the way, and takes back what it made.
func (r *run) all(ctx context.Context, creds secret.Credentials) (err error) {
	tty.Note(r.notes, "%s: user %s; it is removed at the end, after Ctrl-C too (a second one leaves it)", tty.Escape(r.Where(), shown), r.report.UserID)
	made := true
	for _, s := range []struct {
		name string
		do   func(ctx context.Context) (found string, err error)
	}{
		{"user", r.addUser},
		{"keys", func(ctx context.Context) (string, error) { return r.setKeys(ctx, creds) }},
		{"strategy", r.putStrategy},
		{"snapshot", r.awaitSnapshot},
		{"signal", r.awaitSignal},
	} {
		if err = r.step(ctx, s.name, s.do); err != nil {
			made = !errors.Is(err, user.ErrExists)
			break
		}
	}
	if made { // a write that failed may have taken effect all the same
		clean, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), r.cleanUp, errors.New("the clean-up took too long"))
		defer cancel()
		err = errors.Join(err, r.step(clean, "clean-up", r.remove))
	}
	r.report.OK = err == nil
	if err == nil {
		tty.Note(r.out, "smoke: ok: %s takes a user from the keys to %s", tty.Escape(r.Where(), shown), r.outcome())
	}
	return err
}

// Where is for people.
func (r *run) Where() string { return r.report.Where }

func (r *run) outcome() string {
	if r.report.Denial != "" {
		return "a decision; it was a denial, " + r.report.Denial + ", and no trade"
	}
	return "a signal"
}

// step does one, and says what came of it.
func (r *run) step(ctx context.Context, name string, do func(ctx context.Context) (string, error)) error {
	began := r.now()
	s := step{Name: name}
	var err error
	if s.Found, err = do(ctx); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			err = remedy(fmt.Errorf("interrupted: %w", context.Cause(ctx)), "run it again")
		}
		s.Error = err.Error()
		if f := (*failure)(nil); errors.As(err, &f) {
			s.Remedy = f.remedy
		}
	}
	s.OK, s.Seconds = err == nil, r.now().Sub(began).Seconds()
	r.report.Steps = append(r.report.Steps, s)
	if err == nil {
		tty.Note(r.out, "%6.1f s  %-9s %s", s.Seconds, name, tty.Escape(s.Found, shown))
		return nil
	}
	tty.Note(r.out, "%6.1f s  %-9s FAILED: %s\n%20swhat to do: %s", s.Seconds, name, tty.Escape(s.Error, shown), "", tty.Escape(s.Remedy, shown))
	return fmt.Errorf("%s: %w: %s", name, err, s.Remedy)
}

func (r *run) addUser(ctx context.Context) (string, error) {
	id := r.report.UserID
	err := r.store.Add(ctx, user.Profile{User: user.User{ID: id, CadenceMinutes: 1}, DisplayName: "agenttrader smoke"})
	if err != nil {
		return "", remedy(err, "'agenttrader doctor' looks at the database, and at your permissions there")
	}
	return id + " is added, and pending", nil
}

func (r *run) setKeys(ctx context.Context, creds secret.Credentials) (string, error) {
	got, err := r.keys.Set(ctx, r.report.UserID, creds, onboard.Change{Env: broker.Paper})
	switch {
	case errors.Is(err, onboard.ErrRefused):
		return "", remedy(err, "give keys of an Alpaca paper account that are in force; those of a live one are not taken here")
	case errors.Is(err, onboard.ErrUnanswered):
		return "", remedy(err, "see https://status.alpaca.markets, ALPACA_PAPER_URL, and this machine's way out")
	case err != nil:
		return "", remedy(err, "'agenttrader doctor' looks at the vaults; KEY_CUSTODY and KMS_KEY are to be the syncer's, and you need the role that stores keys (terraform/ACCESS.md)")
	}
	return fmt.Sprintf("Alpaca takes them (account %s, %s); stored as version %s in %s", got.AccountID, got.Status, got.Version, got.Path), nil
}

const strategyID = "smoke"

func (r *run) putStrategy(ctx context.Context) (string, error) {
	err := r.store.PutStrategy(ctx, strategy.Definition{
		ID: strategyID, UserID: r.report.UserID, Kind: strategy.KindRebalance, Enabled: true,
		Params: map[string]any{"weights": map[string]any{r.symbol: 0.01}, "drift_band": 0.0},
	})
	if err != nil {
		return "", remedy(err, "'agenttrader doctor' looks at the database, and at your permissions there")
	}
	return fmt.Sprintf("%s, 1 %% of equity in %s", strategy.KindRebalance, r.symbol), nil
}

func (r *run) awaitSnapshot(ctx context.Context) (string, error) {
	err := r.await(ctx, func(ctx context.Context) (bool, error) {
		var err error
		if r.snapshot, err = r.store.Snapshot(ctx, r.report.UserID); !errors.Is(err, account.ErrNotFound) {
			return err == nil, err
		}
		h, err := r.store.Health(ctx, r.report.UserID)
		if err == nil && h.State == health.NeedsReauth {
			err = errors.New("syncing fails, and more tries help nobody")
		}
		return false, err
	})
	if err != nil {
		return "", remedy(fmt.Errorf("no snapshot: %w", err), "%s", r.whyNotSynced(context.WithoutCancel(ctx)))
	}
	s := r.snapshot
	return fmt.Sprintf("tick %s, account %s, equity %s, read with version %s of the keys", s.Tick, s.Account.Status, s.Account.Equity.Decimal, s.KeyVersion), nil
}

// whyNotSynced asks the user's documents.
func (r *run) whyNotSynced(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if h, err := r.store.Health(ctx, r.report.UserID); err == nil && h.Cause != "" {
		p, err := r.store.Profile(ctx, r.report.UserID)
		if err == nil {
			return fmt.Sprintf("the syncer tried, and says %s: %s", h.Cause, health.Find(p, nil, nil, h, r.now()).Advice)
		}
	}
	return "no sync was tried: do ticks come (docs/playbooks/missed-ticks.md), does the syncer take its requests (docs/playbooks/backlog.md, service-errors.md)? " +
		"In a platform that is minutes old, triggers take up to ten minutes"
}

func (r *run) awaitSignal(ctx context.Context) (string, error) {
	var s signal.Signal
	err := r.await(ctx, func(ctx context.Context) (bool, error) {
		docs, err := r.db.Query(ctx, document.Query{Collection: store.UserPath(r.report.UserID) + "/" + store.Signals, Select: []string{"status"}, Limit: 1})
		if err != nil || len(docs) == 0 {
			return false, err
		}
		s, err = r.store.Signal(ctx, r.report.UserID, docs[0].ID())
		return err == nil, err
	})
	switch {
	case err != nil:
		return "", remedy(fmt.Errorf("no signal, and no denial: %w", err), "%s", r.whyNoSignal())
	case slices.Contains(ours(), s.DenialCode):
		return "", remedy(fmt.Errorf("denial %s: %s", s.DenialCode, s.Reason), "a fault of the platform: the signaler's log names signal %s", s.ID)
	case s.DenialCode != "":
		r.report.Denial = s.DenialCode
		return fmt.Sprintf("a denial, %s, and no trade: %s", s.DenialCode, s.Reason), nil
	}
	return fmt.Sprintf("%s %s for $%s, %s, until %s: %s", s.Action, s.Symbol, account.Cents(s.Notional), s.Status, s.ExpiresAt.UTC().Format(time.TimeOnly), s.Reason), nil
}

func (r *run) whyNoSignal() string {
	for _, o := range r.snapshot.OpenOrders {
		if o.Symbol == r.symbol {
			return fmt.Sprintf("the account has an open order of %s, and the strategy waits for its end: name another --symbol", r.symbol)
		}
	}
	return "the signaler did not hear of the snapshot, or could not run: look for 'agenttrader dlq list', and at docs/playbooks/service-errors.md and backlog.md. " +
		"In a platform that is minutes old, triggers take up to ten minutes"
}

// ours are the denials that no account and no market explains.
func ours() []string {
	return []string{"ENGINE_FAULT", "STRATEGY_FAILED", "STRATEGY_INVALID", "INTENT_INVALID", "SYMBOL_FOREIGN", "SNAPSHOT_STALE", "SNAPSHOT_INCOMPLETE"}
}

// await looks until there is something, for so long as the flag says.
func (r *run) await(ctx context.Context, look func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.wait, fmt.Errorf("nothing came in %s", r.wait))
	defer cancel()
	again := time.NewTicker(r.pause)
	defer again.Stop()
	for {
		there, err := look(ctx)
		if there {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again.C:
		}
	}
}

// remove takes the user out, and looks again until there is nothing of theirs: who was at work for them comes too late, or is
// swept up.
func (r *run) remove(ctx context.Context) (string, error) {
	id, documents, vaults := r.report.UserID, 0, 0
	again := time.NewTicker(r.pause)
	defer again.Stop()
	for {
		done, err := r.remover.Remove(ctx, id)
		documents, vaults = documents+done.Total(), vaults+done.Vaults
		if errors.Is(err, user.ErrNotFound) {
			return fmt.Sprintf("%d documents are deleted, keys are taken out of %d vaults, and nothing is left", documents, vaults), nil
		}
		select {
		case <-ctx.Done():
			if err == nil || errors.Is(err, ctx.Err()) {
				err = errors.Join(err, context.Cause(ctx))
			}
			r.report.Left = fmt.Sprintf("user %s: %d documents are deleted and keys are taken out of %d vaults; what else was made is still there", id, documents, vaults)
			return "", remedy(fmt.Errorf("%s: %w", r.report.Left, err), "with the same environment: agenttrader users remove %s --yes", id)
		case <-again.C:
		}
	}
}
