package risks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/risk"
)

// shown is how many bytes of a text people are shown.
const shown = 500

func (a *cli) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show (--platform | --user U [--strategy S])",
		Short: "Show trading states, limits and breaches",
		Long: `Shows what holds: for a user the platform's word and limits too, what is reserved and counted today, and the breaches that
keep trading down until somebody resumes it; what is over by now is not counted.`,
		Example: `  agenttrader risk show --platform
  agenttrader risk show --user alice --json | jq .breaches`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.at(c, func(ctx context.Context, d *desk) error { return a.show(ctx, c, d) })
		},
	}
}

// view is what holds, for programs.
type view struct {
	UserID     string          `json:"user_id,omitempty"`
	StrategyID string          `json:"strategy_id,omitempty"`
	Platform   level           `json:"platform"`
	User       *level          `json:"user,omitempty"`
	Strategies map[string]word `json:"strategies,omitempty"`
	Day        *day            `json:"day,omitempty"`
	Breaches   []breach        `json:"breaches,omitempty"`
}

type level struct {
	word
	Limits  map[string]any `json:"limits"`
	Invalid []string       `json:"invalid,omitempty"` // while there is one, nothing opens
}

type word struct {
	State  risk.TradingState `json:"trading_state"`
	Reason string            `json:"reason,omitempty"`
	Author string            `json:"author,omitempty"`
	SetAt  string            `json:"set_at,omitempty"`
}

type day struct {
	Start        string `json:"start"`
	Orders       int64  `json:"orders"`
	Notional     string `json:"notional"`
	Reserved     string `json:"reserved"`
	Reservations int    `json:"reservations"`
	Mark         string `json:"high_water_mark,omitempty"`
}

type breach struct {
	StrategyID string `json:"strategy_id,omitempty"` // "": all of the user's
	Code       string `json:"code"`
	At         string `json:"at"`
	Lost       string `json:"lost"`
	Allowed    string `json:"allowed"`
}

func wordOf(t risk.Trading) word {
	return word{State: cmp.Or(t.State, risk.Active), Reason: t.Reason, Author: t.Author, SetAt: stamp(t.At)}
}

func levelOf(c risk.Control) level {
	return level{word: wordOf(c.Trading), Limits: c.Limits.Fields(), Invalid: c.Limits.Invalid}
}

func (a *cli) view(ctx context.Context, d *desk) (view, error) {
	platform, err := d.store.PlatformControl(ctx)
	v := view{UserID: a.user, StrategyID: a.strategy, Platform: levelOf(platform)}
	if err != nil || a.platform {
		return v, err
	}
	user, err := d.store.UserControl(ctx, a.user)
	if err != nil {
		return v, err
	}
	l := levelOf(user)
	v.User, v.Strategies = &l, map[string]word{}
	for id, t := range user.Strategies {
		if a.strategy == "" || id == a.strategy {
			v.Strategies[id] = wordOf(t)
		}
	}
	if a.strategy != "" {
		v.Strategies[a.strategy] = wordOf(user.Strategies[a.strategy])
	}
	state, err := d.store.RiskState(ctx, a.user)
	if err != nil {
		return v, err
	}
	snap, err := d.store.Snapshot(ctx, a.user)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return v, err
	}
	if !state.Day.Start.IsZero() { // what is over is stored until the next run ends it
		if _, _, err := state.Refresh(nil, snap, d.now()); err != nil {
			return v, err
		}
	}
	v.Day = &day{Start: stamp(state.Day.Start), Orders: state.Day.Orders, Notional: account.Cents(state.Day.Notional), Reserved: account.Cents(state.Reserved(snap)), Reservations: len(state.Reservations)}
	if state.Mark.Equity.Valid {
		v.Day.Mark = account.Cents(state.Mark.Equity.Decimal)
	}
	for _, b := range state.Breaches {
		if a.strategy == "" || b.Strategy == "" || b.Strategy == a.strategy {
			v.Breaches = append(v.Breaches, breach{b.Strategy, b.Code, stamp(b.At), account.Cents(b.Value), account.Cents(b.Bound)})
		}
	}
	return v, nil
}

func (a *cli) show(ctx context.Context, c *cobra.Command, d *desk) error {
	v, err := a.view(ctx, d)
	if err != nil {
		return err
	}
	if a.json {
		return tty.Encode(c.OutOrStdout(), v)
	}
	rows := [][]string{{"LEVEL", "WHAT", "IS", "WHY"}}
	rows = append(rows, v.Platform.rows("platform")...)
	if v.User != nil {
		rows = append(rows, v.User.rows("user "+a.user)...)
	}
	for _, id := range slices.Sorted(maps.Keys(v.Strategies)) {
		rows = append(rows, v.Strategies[id].row("strategy "+tty.Escape(id, 80)))
	}
	for _, b := range v.Breaches {
		whose := "user " + a.user
		if b.StrategyID != "" {
			whose = "strategy " + tty.Escape(b.StrategyID, 80)
		}
		rows = append(rows, []string{whose, "breach", string(risk.Reducing), fmt.Sprintf("%s at %s: lost %s, allowed %s; 'agenttrader risk resume' takes it back", tty.Escape(b.Code, 40), b.At, b.Lost, b.Allowed)})
	}
	if t := v.Day; t != nil && t.Start != "" {
		rows = append(rows, []string{"user " + a.user, "today", fmt.Sprintf("%d signals", t.Orders), fmt.Sprintf("%s USD since %s; %d open signals reserve %s USD", t.Notional, t.Start, t.Reservations, t.Reserved)})
	}
	return tty.Table(c.OutOrStdout(), tty.Width(c.OutOrStdout(), a.terminal), rows)
}

func (w word) row(whose string) []string {
	why := "nobody said otherwise"
	if w.Author != "" || w.Reason != "" {
		why = fmt.Sprintf("%s, %s at %s", tty.Escape(w.Reason, shown), tty.Escape(cmp.Or(w.Author, "unknown"), 80), cmp.Or(w.SetAt, "an unknown time"))
	}
	return []string{whose, "trading_state", string(w.State), why}
}

func (l level) rows(whose string) [][]string {
	rows := [][]string{l.row(whose)}
	for _, name := range slices.Sorted(maps.Keys(l.Limits)) {
		is := fmt.Sprint(l.Limits[name])
		if list, ok := l.Limits[name].([]any); ok {
			texts := make([]string, len(list))
			for i, s := range list {
				texts[i] = fmt.Sprint(s)
			}
			is = cmp.Or(strings.Join(texts, ","), "none at all")
		}
		rows = append(rows, []string{whose, name, tty.Escape(is, shown), ""})
	}
	if len(l.Invalid) > 0 {
		rows = append(rows, []string{whose, "invalid", tty.Escape(strings.Join(l.Invalid, ","), shown), "can't be read: nothing opens until it is mended"})
	}
	return rows
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
