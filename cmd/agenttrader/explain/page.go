package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/decision"
	"github.com/agenttrader/agenttrader/pkg/risk"
)

// shown is how many bytes of a text people are shown.
const shown = 500

// page is what is written to people, or to programs.
type page struct {
	*desk
	options
	out, errs io.Writer
	width     int
}

func (p *page) note(format string, args ...any) { _, _ = fmt.Fprintf(p.errs, format+"\n", args...) }

func (p *page) show(kept risk.Record) error {
	r, err := decision.Decode(kept.Body)
	if err != nil {
		return fmt.Errorf("decision %s of user %s can't be read, and came to %s: %w", kept.ID, p.user, tty.Escape(strings.Join(kept.Outcome, ", "), shown), err)
	}
	w := whole{ID: kept.ID, ExpireAt: stamp(kept.ExpireAt), Record: r}
	if p.replay {
		again, err := decision.Replay(r)
		if err != nil {
			return err
		}
		before, err1 := json.Marshal(r.Outcome)
		after, err2 := json.Marshal(again)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		same := string(before) == string(after)
		w.Replayed, w.Same = &again, &same
	}
	if p.json {
		return tty.Encode(p.out, w)
	}
	return p.describe(w)
}

func (p *page) describe(w whole) error {
	var b strings.Builder
	r := w.Record
	say := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, tty.Escape(fmt.Sprintf(format, args...), shown))
	}
	mode := ""
	if r.Definition.Mode != "" {
		mode = ", " + string(r.Definition.Mode)
	}
	say("decision", "%s, kept until %s", w.ID, w.ExpireAt)
	say("strategy", "%s (%s%s) of user %s", r.Definition.ID, r.Definition.Kind, mode, r.UserID)
	say("cause", "%s", r.Cause.Text)
	say("decided", "%s", stamp(r.Now))
	if r.Symbol != "" {
		say("only", "%s: whoever asked wanted nothing else", r.Symbol)
	}
	if len(r.Cut) > 0 {
		say("cut", "the record was too long and lacks %s", strings.Join(r.Cut, ", "))
	}
	s := r.Snapshot
	say("snapshot", "%d, of %s, %s before the decision%s", s.Seq, stamp(s.ObservedAt), r.Now.Sub(s.ObservedAt).Round(time.Millisecond), map[bool]string{true: ", incomplete"}[s.Incomplete])
	a := s.Account
	say("account", "status %s, equity %s, cash %s, buying power %s", dash(a.Status), figure(a.Equity), figure(a.Cash), figure(a.BuyingPower))
	for _, x := range s.Positions {
		say("position", "%s: %s, worth %s, price %s, paid %s", x.Symbol, x.Qty, figure(x.MarketValue), figure(x.CurrentPrice), figure(x.AvgEntryPrice))
	}
	for _, x := range s.Orders {
		say("order", "%s %s: qty %s, notional %s, filled %s, limit %s, %s", x.Side, x.Symbol, figure(x.Qty), figure(x.Notional), figure(x.FilledQty), figure(x.LimitPrice), dash(x.Status))
	}
	for _, x := range reserved(r) {
		say("reserved", "%s", x)
	}
	for _, symbol := range slices.Sorted(maps.Keys(r.Quotes)) {
		q := r.Quotes[symbol]
		say("quote", "%s: bid %s, ask %s, %s old", symbol, q.Bid, q.Ask, r.Now.Sub(q.At).Round(time.Millisecond))
	}
	for _, symbol := range slices.Sorted(maps.Keys(r.Bars)) {
		if bars := r.Bars[symbol]; len(bars.At) > 0 && len(bars.Close) == len(bars.At) {
			say("bars", "%s: %d, the last of %s closed at %s", symbol, len(bars.At), stamp(time.UnixMilli(bars.At[len(bars.At)-1])), bars.Close[len(bars.Close)-1])
		}
	}
	if r.Answer != nil {
		say("model", "%s", strings.Join(strings.Fields(r.Answer.Failure+" "+r.Answer.Detail+" "+r.Answer.Text), " "))
	}
	if params, err := json.Marshal(r.Definition.Params); err == nil {
		say("params", "%s", params)
	}
	if r.Denial != nil {
		say("denied", "%s: %s", r.Denial.Code, r.Denial.Reason)
	}
	for _, v := range r.Verdicts {
		if err := p.verdict(&b, v); err != nil {
			return err
		}
	}
	b.WriteByte('\n')
	for _, s := range r.Signals {
		code := ""
		if s.DenialCode != "" {
			code = " " + s.DenialCode
		}
		shares := ""
		if s.Qty.Valid {
			shares = fmt.Sprintf(" (%s shares)", s.Qty.Decimal)
		}
		say("signal", "%s: %s %s %s%s, %s%s: %s", s.ID, s.Action, s.Symbol, account.Cents(s.Notional), shares, s.Status, code, s.Reason)
	}
	if len(r.Signals) == 0 {
		say("signal", "none: the strategy wants nothing to be done")
	}
	if w.Same != nil {
		p.replayed(say, w)
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// verdict is a table of all checks of one intent.
func (p *page) verdict(b *strings.Builder, v decision.Verdict) error {
	i := v.Intent
	fmt.Fprintf(b, "\nintent     %s\n", tty.Escape(fmt.Sprintf("%s %s %s, of which %s open exposure: %s", i.Action, i.Symbol, account.Cents(i.Notional), account.Cents(v.Opens), i.Reason), shown))
	rows := [][]string{{"LIMIT", "LEVEL", "VALUE", "BOUND", "DISTANCE", "VERDICT"}}
	for _, c := range v.Checks {
		rows = append(rows, []string{tty.Escape(c.Limit, 40), dash(c.Level), figure(c.Value), figure(c.Bound), figure(c.Distance), tty.Escape(said(c), shown)})
	}
	return tty.Table(b, p.width, rows)
}

// said is a check's verdict. A value without a bound is only told.
func said(c decision.Check) string {
	switch {
	case c.Code != "" && c.Waived:
		return "waived, it only closes: " + c.Code + c.Note
	case c.Code != "":
		return c.Code + c.Note
	case c.Value.Valid && !c.Bound.Valid:
		return "no limit"
	}
	return "ok"
}

func (p *page) replayed(say func(name, format string, args ...any), w whole) {
	if *w.Same {
		say("replayed", "this program decides the same")
		return
	}
	say("replayed", "this program decides otherwise: --json shows it in full")
	if d := w.Replayed.Denial; d != nil {
		say("denied", "%s: %s", d.Code, d.Reason)
	}
	for _, s := range w.Replayed.Signals {
		say("signal", "%s %s %s, %s %s: %s", s.Action, s.Symbol, account.Cents(s.Notional), s.Status, s.DenialCode, s.Reason)
	}
}

// reserved are the signals that were open, in words.
func reserved(r *decision.Record) (out []string) {
	state, err := risk.ParseState(r.State)
	if err != nil {
		return []string{"can't be read: " + err.Error()}
	}
	for _, x := range state.Reservations {
		out = append(out, fmt.Sprintf("%s for %s %s %s of strategy %s", x.Reserved, x.Action, x.Symbol, x.Notional, x.StrategyID))
	}
	return out
}

func figure(d decimal.NullDecimal) string {
	if !d.Valid {
		return "-"
	}
	return d.Decimal.Round(4).String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return tty.Escape(s, 60)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }
