package risk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Control is what people set for the platform or for one user. The zero Control allows everything.
type Control struct {
	Limits     Limits
	Trading    Trading
	Strategies map[string]Trading // of a user's: by strategy id
}

// Controls keeps what people set.
type Controls interface {
	// PlatformControl is what holds for all users.
	PlatformControl(ctx context.Context) (Control, error)
	// UserControl is what holds for one user. Nothing set is no error in either.
	UserControl(ctx context.Context, userID string) (Control, error)
	// SetTrading writes a word for the platform (userID ""), a user or one of a user's strategies, and leaves all
	// other settings as they are.
	SetTrading(ctx context.Context, userID, strategyID string, t Trading) error
	// SetLimits replaces the limits of the platform (userID "") or of a user.
	SetLimits(ctx context.Context, userID string, l Limits) error
	// ChangeLimits is SetLimits with what change makes of the limits as they are: nobody else's setting in between is lost.
	// change may run more than once; its error is returned, and nothing is set.
	ChangeLimits(ctx context.Context, userID string, change func(Limits) (Limits, error)) error
}

// ParseControl reads a document of controls as people write it. What can't be understood, an unknown field included, is
// listed in Limits.Invalid and never ignored.
func ParseControl(f map[string]any) Control {
	var c Control
	limits, ok := f["limits"].(map[string]any)
	c.Limits = ParseLimits(limits)
	if f["limits"] != nil && !ok {
		c.invalid("limits")
	}
	if c.Trading, ok = parseTrading(f); !ok {
		c.invalid("trading_state")
	}
	strategies, ok := f["strategies"].(map[string]any)
	if f["strategies"] != nil && !ok {
		c.invalid("strategies")
	}
	for _, id := range slices.Sorted(maps.Keys(strategies)) {
		m, isMap := strategies[id].(map[string]any)
		t, ok := parseTrading(m)
		for name := range m {
			ok = ok && (name == "trading_state" || name == "reason" || name == "author" || name == "set_at")
		}
		if !isMap || !ok {
			c.invalid("strategies." + id)
			continue
		}
		if c.Strategies == nil {
			c.Strategies = map[string]Trading{}
		}
		c.Strategies[id] = t
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		switch name {
		case "limits", "trading_state", "strategies", "reason", "author", "set_at", "updated_at":
		default:
			c.invalid(name)
		}
	}
	return c
}

func (c *Control) invalid(name string) {
	c.Limits.Invalid = append(c.Limits.Invalid, fmt.Sprintf("%.40q", name))
}

func parseTrading(f map[string]any) (t Trading, ok bool) {
	s, isText := f["trading_state"].(string)
	state, err := ParseTradingState(s)
	if err != nil || (f["trading_state"] != nil && !isText) {
		return Trading{}, false
	}
	t.State = state
	t.Reason, _ = f["reason"].(string)
	t.Author, _ = f["author"].(string)
	t.At, _ = f["set_at"].(time.Time)
	return t, true
}

// Fields is the word as it is stored.
func (t Trading) Fields() map[string]any {
	return map[string]any{"trading_state": string(t.State), "reason": t.Reason, "author": t.Author, "set_at": t.At.UTC()}
}

// Level is one voice on what is allowed. What all levels allow is allowed: they are a list, from the widest to the
// narrowest, so that another one (an organisation's) only has to be put in.
type Level struct {
	Name     string // "platform", "user", "strategy"
	Strategy string // not "": it speaks of this strategy alone, and the day's counts are the strategy's own
	Limits   Limits
	Trading  Trading
}

// levelUser is the level whose word is on one user.
const levelUser = "user"

// Levels is the levels of today. limits is the strategy document's.
func Levels(platform, user Control, strategyID string, limits map[string]any) []Level {
	if len(platform.Strategies) > 0 { // no user's: it has no meaning there
		platform.Limits.Invalid = append(slices.Clip(platform.Limits.Invalid), "strategies")
	}
	return []Level{
		{Name: "platform", Limits: platform.Limits, Trading: platform.Trading},
		{Name: levelUser, Limits: user.Limits, Trading: user.Trading},
		{Name: "strategy", Strategy: strategyID, Limits: ParseLimits(limits), Trading: user.Strategies[strategyID]},
	}
}

// Cached remembers a control for a while, so that not every event reads the platform's. All who ask meanwhile wait for one
// read. An error is remembered by nobody: who can't read the controls must not trade.
type Cached struct {
	read   func(context.Context) (Control, error)
	now    func() time.Time
	life   time.Duration
	flight singleflight.Group

	mu    sync.Mutex // never held while reading
	got   Control
	until time.Time
}

// NewCached remembers what read says for a time.
func NewCached(read func(context.Context) (Control, error), life time.Duration, now func() time.Time) *Cached {
	return &Cached{read: read, now: now, life: life}
}

// Get is the control, at most so old, or the error of the read that was under way, or ctx's. The caller must not change its
// maps.
func (c *Cached) Get(ctx context.Context) (Control, error) {
	if got, ok := c.kept(); ok {
		return got, nil
	}
	outcome := c.flight.DoChan("", func() (any, error) { return c.fetch(context.WithoutCancel(ctx)) })
	select {
	case r := <-outcome:
		got, _ := r.Val.(Control)
		return got, r.Err
	case <-ctx.Done():
		return Control{}, fmt.Errorf("risk controls: %w", ctx.Err())
	}
}

func (c *Cached) kept() (Control, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got, c.now().Before(c.until)
}

// fetch reads for all who wait: it must end, and not with the first of them.
func (c *Cached) fetch(ctx context.Context) (got Control, err error) {
	defer func() {
		if fault := recover(); fault != nil { // in a goroutine that nobody else guards
			got, err = Control{}, fmt.Errorf("risk controls: fault: %v", fault)
		}
	}()
	if got, ok := c.kept(); ok { // a read has just ended
		return got, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now := c.now()
	if got, err = c.read(ctx); err != nil {
		return Control{}, fmt.Errorf("risk controls: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got, c.until = got, now.Add(c.life)
	return got, nil
}

// invalidNames is the fields that can't be read, of all levels, as text.
func invalidNames(levels []Level) string {
	var names []string
	for _, l := range levels {
		for _, n := range l.Limits.Invalid {
			names = append(names, l.Name+"."+n)
		}
	}
	return strings.Join(names, ",")
}
