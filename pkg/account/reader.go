package account

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/user"
)

// The predecessor's texts, on which its callers match.
const (
	TextStale       = "Warm-cache buying power unavailable/zero or snapshot stale; refusing to generate trade."
	TextUnavailable = "Warm-cache buying power unavailable/zero; refusing to trade."
	textMissing     = "Missing warm-cache snapshot at Firestore doc %s"
	textExceeds     = "Refusing to trade: requested notional $%s exceeds buying power $%s."
)

// TextExceeds is the predecessor's for a notional over buying power, USD to the cent.
func TextExceeds(notional, buyingPower decimal.Decimal) string {
	return fmt.Sprintf(textExceeds, Cents(notional), Cents(buyingPower))
}

// The reasons of a Refusal, told apart with errors.Is; ErrNotFound is the third.
var (
	ErrStale       = errors.New("snapshot is too old, or does not say how old it is")
	ErrUnavailable = errors.New("buying power is missing, can't be read or is not above 0")
	ErrExceeded    = errors.New("notional is over buying power")
)

// Refusal says that nothing may be traded. Its text is the predecessor's, word for word.
type Refusal struct {
	Text  string
	Path  string // of the document; "" of an Afford
	Why   error  // ErrNotFound, ErrStale, ErrUnavailable, ErrExceeded
	Cause error  // what can't be read of it, if that is it
}

func (r *Refusal) Error() string { return r.Text }

// Unwrap has errors.Is find the reason.
func (r *Refusal) Unwrap() []error {
	return slices.DeleteFunc([]error{r.Why, r.Cause}, func(err error) bool { return err == nil })
}

// Missing is the refusal for want of a document.
func Missing(path string) *Refusal {
	return &Refusal{Text: fmt.Sprintf(textMissing, path), Path: path, Why: ErrNotFound}
}

// Source finds snapshots by their paths.
type Source interface {
	// SnapshotAt returns the snapshot that is stored at a path, ours or in either of the predecessor's shapes: of the user
	// whom the document names, or of "". ErrNotFound; ErrUnreadable if the document can't be understood.
	SnapshotAt(ctx context.Context, path string) (Snapshot, error)
}

// ErrUnreadable says that a document is there, and is no snapshot.
var ErrUnreadable = errors.New("no snapshot can be made of it")

// ReaderConfig is what a Reader takes from the environment, by its env tags.
type ReaderConfig struct {
	Legacy
	MaxAge Seconds `env:"ALPACA_SNAPSHOT_MAX_AGE_S"` // an older snapshot is not traded on
}

// DefaultReaderConfig reads the users' paths alone, and takes the predecessor's 300 s.
func DefaultReaderConfig() ReaderConfig {
	return ReaderConfig{Legacy: Legacy{Phase: Off}, MaxAge: Seconds(300 * time.Second)}
}

// Validate names every fault.
func (c *ReaderConfig) Validate() error {
	var age error
	if c.MaxAge <= 0 {
		age = fmt.Errorf("ALPACA_SNAPSHOT_MAX_AGE_S is %s: want more than 0", time.Duration(c.MaxAge))
	}
	return errors.Join(c.Legacy.Validate(), age)
}

// Owner is whose account is asked for: a user, or as the predecessor's callers did, a tenant or nobody by name.
type Owner struct {
	UserID   string
	TenantID string // as the user's document says; never made up
}

// Reader is the predecessor's warm cache for callers in Go: it reads the user's path and the predecessor's in the order of
// the phase, and trusts neither without a time. It is safe for concurrent use.
type Reader struct {
	Source Source
	Config ReaderConfig // valid
	Now    func() time.Time
}

// Snapshot is what is stored of the account, however old, and where it was found. The next path is read only if there is
// no document at the one before, or another user's. It returns a *Refusal, or an error that means that nothing is known.
func (r *Reader) Snapshot(ctx context.Context, o Owner) (s Snapshot, path string, err error) {
	paths, err := r.paths(o)
	if err != nil {
		return Snapshot{}, "", err
	}
	for _, path := range paths {
		s, err := r.Source.SnapshotAt(ctx, path)
		switch {
		case errors.Is(err, ErrNotFound), err == nil && o.UserID != "" && s.UserID != "" && s.UserID != o.UserID:
			continue
		case errors.Is(err, ErrUnreadable):
			return Snapshot{}, path, &Refusal{Text: TextUnavailable, Path: path, Why: ErrUnavailable, Cause: err}
		case err != nil:
			return Snapshot{}, path, fmt.Errorf("read the snapshot at %s: %w", path, err)
		}
		return s, path, nil
	}
	return Snapshot{}, paths[0], Missing(paths[0])
}

// BuyingPower is what may be spent by a snapshot that is fresh: above 0, or it is 0 with a *Refusal or another error.
func (r *Reader) BuyingPower(ctx context.Context, o Owner) (decimal.Decimal, error) {
	s, path, err := r.Snapshot(ctx, o)
	if err != nil {
		return decimal.Zero, err
	}
	if s.Stale(r.Now(), time.Duration(r.Config.MaxAge)) {
		return decimal.Zero, &Refusal{Text: TextStale, Path: path, Why: ErrStale}
	}
	if p := s.Account.BuyingPower; p.Valid && p.Decimal.IsPositive() {
		return p.Decimal, nil
	}
	return decimal.Zero, &Refusal{Text: TextUnavailable, Path: path, Why: ErrUnavailable}
}

// Afford refuses a notional over buying power, USD; one that equals it passes. It never resizes. What is no notional, 0 or
// less, the predecessor let pass.
func Afford(buyingPower, notional decimal.Decimal) error {
	switch {
	case !notional.IsPositive():
		return fmt.Errorf("notional is %s: want more than 0", notional)
	case !buyingPower.IsPositive():
		return &Refusal{Text: TextUnavailable, Why: ErrUnavailable}
	case notional.GreaterThan(buyingPower):
		return &Refusal{Text: TextExceeds(notional, buyingPower), Why: ErrExceeded}
	}
	return nil
}

// paths are those of an owner, in the order of the phase: at least one.
func (r *Reader) paths(o Owner) (paths []string, err error) {
	var own, old []string
	if o.UserID != "" {
		if err := user.CheckID(o.UserID); err != nil {
			return nil, fmt.Errorf("read a snapshot: %w", err)
		}
		own = []string{Path(o.UserID)}
	}
	copies, err := r.Config.Copies(o.UserID, o.TenantID)
	if err != nil {
		return nil, fmt.Errorf("read a snapshot: %w", err)
	}
	for _, c := range copies {
		old = append(old, c.Path)
	}
	if o == (Owner{}) && r.Config.Writes() {
		old = []string{GlobalPath}
	}
	if r.Config.Phase == Both {
		own, old = old, own
	}
	if paths = slices.Concat(own, old); len(paths) == 0 {
		return nil, errors.New("read a snapshot: of no user, and LEGACY_PHASE is off: name the user, or go back to user-first (docs/migration.md)")
	}
	return paths, nil
}

// Seconds is a duration that is written as a number of seconds.
type Seconds time.Duration

// UnmarshalText reads a number of seconds, fractions allowed.
func (s *Seconds) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(math.Abs(f) < 1e9) {
		return errors.New("want a number of seconds, like 300")
	}
	*s = Seconds(f * float64(time.Second))
	return nil
}
