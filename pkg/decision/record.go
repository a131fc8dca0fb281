package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
	"github.com/klauspost/compress/gzip"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// MaxBody is the length of an encoded record, bytes. What would be longer is cut, and says so.
const MaxBody = 200 << 10

// maxText bounds what is read: a record of MaxBody bytes has a tenth of it.
const maxText = 32 << 20

// version is what is written. A record of another one is shown as far as it can be read, and not replayed.
const version = 1

// Record is one decision: all that it was made on, and what came of it. Decimals are exact.
type Record struct {
	Version    int            `json:"version"`
	UserID     string         `json:"user_id"`
	Definition Definition     `json:"strategy"`
	Cause      Cause          `json:"cause"`
	Now        time.Time      `json:"now"`
	Symbol     string         `json:"only_symbol,omitempty"`
	Snapshot   Snapshot       `json:"snapshot"`
	State      values         `json:"risk_state"` // before the run; of its strategies only this one, or all that leave it no place
	Ended      []Closing      `json:"ended,omitempty"`
	Quotes     Quotes         `json:"quotes,omitempty"`
	Bars       map[string]Bar `json:"bars,omitempty"`
	Answer     *Answer        `json:"answer,omitempty"`
	Raw        string         `json:"raw_model_output,omitempty"`

	Platform Control               `json:"platform"`
	User     Control               `json:"user"`
	MaxAge   string                `json:"max_snapshot_age"` // like 5m0s
	Buffer   decimal.Decimal       `json:"buffer_share"`
	Hours    map[market.Hours]Said `json:"hours,omitempty"` // that were asked for
	Life     string                `json:"signal_life"`
	Cut      []string              `json:"cut,omitempty"` // what was left out, since it was too long

	Outcome
}

// Outcome is what came of a decision.
type Outcome struct {
	Intents  []Intent  `json:"intents"`
	Denial   *Denial   `json:"denial,omitempty"` // of the whole run
	Verdicts []Verdict `json:"verdicts"`
	Signals  []Signal  `json:"signals"`
}

// These are the domain's own types as they are written: a field that is added there has to be added here.
type (
	// Definition is a strategy.Definition.
	Definition struct {
		ID     string        `json:"id"`
		Kind   string        `json:"kind"`
		Params values        `json:"params,omitempty"`
		Mode   strategy.Mode `json:"mode,omitempty"`
		Limits values        `json:"limits"` // null: none
	}
	// Cause is a strategy.Cause.
	Cause struct {
		Text       string    `json:"text"`
		Tick       tick.Tick `json:"tick"` // minutes since 1970
		ChangedSeq int64     `json:"changed_seq,omitempty"`
	}
	// Snapshot is what counts of an account.Snapshot.
	Snapshot struct {
		Seq        int64      `json:"seq"`
		ChangedSeq int64      `json:"changed_seq"`
		Tick       tick.Tick  `json:"tick"`
		ObservedAt time.Time  `json:"observed_at"`
		DetailAt   time.Time  `json:"detail_observed_at,omitzero"`
		Incomplete bool       `json:"incomplete,omitempty"`
		Account    Account    `json:"account"`
		Positions  []Position `json:"positions,omitempty"`
		Orders     []Order    `json:"open_orders,omitempty"`
		Flows      Flows      `json:"flows,omitzero"`

		LastEquityAt time.Time `json:"last_equity_at,omitzero"`
	}
	// Account is an account.Account.
	Account struct {
		ID          string              `json:"id,omitempty"`
		Status      string              `json:"status,omitempty"`
		Currency    string              `json:"currency,omitempty"`
		Equity      decimal.NullDecimal `json:"equity,omitzero"`
		LastEquity  decimal.NullDecimal `json:"last_equity,omitzero"`
		Cash        decimal.NullDecimal `json:"cash,omitzero"`
		BuyingPower decimal.NullDecimal `json:"buying_power,omitzero"`
		Multiplier  decimal.NullDecimal `json:"multiplier,omitzero"`

		TradingBlocked       *bool `json:"trading_blocked,omitempty"`
		AccountBlocked       *bool `json:"account_blocked,omitempty"`
		TransfersBlocked     *bool `json:"transfers_blocked,omitempty"`
		TradeSuspendedByUser *bool `json:"trade_suspended_by_user,omitempty"`
		ShortingEnabled      *bool `json:"shorting_enabled,omitempty"`
	}
	// Position is an account.Position.
	Position struct {
		Symbol        string              `json:"symbol"`
		Qty           decimal.Decimal     `json:"qty"`
		AvgEntryPrice decimal.NullDecimal `json:"avg_entry_price,omitzero"`
		CurrentPrice  decimal.NullDecimal `json:"current_price,omitzero"`
		MarketValue   decimal.NullDecimal `json:"market_value,omitzero"`
	}
	// Order is an account.Order.
	Order struct {
		ID            string              `json:"id,omitempty"`
		ClientOrderID string              `json:"client_order_id,omitempty"`
		Symbol        string              `json:"symbol"`
		Side          string              `json:"side,omitempty"`
		Type          string              `json:"type,omitempty"`
		TimeInForce   string              `json:"time_in_force,omitempty"`
		Status        string              `json:"status,omitempty"`
		Qty           decimal.NullDecimal `json:"qty,omitzero"`
		Notional      decimal.NullDecimal `json:"notional,omitzero"`
		FilledQty     decimal.NullDecimal `json:"filled_qty,omitzero"`
		LimitPrice    decimal.NullDecimal `json:"limit_price,omitzero"`
	}
	// Closing is a risk.Closing.
	Closing struct {
		SignalID string        `json:"signal_id"`
		Status   signal.Status `json:"status"`
		By       string        `json:"superseded_by,omitempty"`
		Why      string        `json:"ended_code,omitempty"`
	}
	// Quotes are market.Quotes, by symbol.
	Quotes map[string]Quote
	// Quote is a market.Quote.
	Quote struct {
		Bid decimal.Decimal `json:"bid"`
		Ask decimal.Decimal `json:"ask"`
		At  time.Time       `json:"at"`
	}
	// Bar is a symbol's bars, column by column, which packs well.
	Bar struct {
		At     []int64           `json:"t"` // milliseconds since 1970
		Open   []decimal.Decimal `json:"o"`
		High   []decimal.Decimal `json:"h"`
		Low    []decimal.Decimal `json:"l"`
		Close  []decimal.Decimal `json:"c"`
		Volume []decimal.Decimal `json:"v"`
	}
	// Answer is a strategy.Answer.
	Answer struct {
		Text         string `json:"text,omitempty"`
		Finish       string `json:"finish_reason,omitempty"`
		Failure      string `json:"failure,omitempty"`
		Detail       string `json:"detail,omitempty"`
		PromptTokens int    `json:"prompt_tokens,omitempty"`
		OutputTokens int    `json:"output_tokens,omitempty"`
		Prompt       string `json:"prompt,omitempty"`
	}
	// Control is a risk.Control.
	Control struct {
		Limits     values             `json:"limits,omitempty"`
		Invalid    []string           `json:"invalid,omitempty"`
		Trading    Trading            `json:"trading"`
		Strategies map[string]Trading `json:"strategies,omitempty"`
	}
	// Trading is a risk.Trading.
	Trading struct {
		State  risk.TradingState `json:"trading_state,omitempty"`
		Reason string            `json:"reason,omitempty"`
		Author string            `json:"author,omitempty"`
		At     time.Time         `json:"set_at,omitzero"`
	}
	// Flows is an account.Flows.
	Flows struct {
		Recent []Flow          `json:"recent,omitempty"`
		Total  decimal.Decimal `json:"total"`
		Since  time.Time       `json:"since,omitzero"`
		At     time.Time       `json:"at,omitzero"`
		Gap    time.Time       `json:"gap,omitzero"`
	}
	// Flow is an account.Flow.
	Flow struct {
		ID     string              `json:"id"`
		At     time.Time           `json:"at"`
		Seen   time.Time           `json:"seen_at"`
		Amount decimal.NullDecimal `json:"amount,omitzero"`
	}
	// Intent is a strategy.Intent.
	Intent struct {
		Symbol     string              `json:"symbol"`
		Action     signal.Action       `json:"action"`
		Notional   decimal.Decimal     `json:"notional"`
		Target     decimal.NullDecimal `json:"target,omitzero"`
		Qty        decimal.NullDecimal `json:"qty,omitzero"`
		Confidence decimal.NullDecimal `json:"confidence,omitzero"`
		Reason     string              `json:"reason,omitempty"`
	}
	// Denial is a strategy.Denial.
	Denial struct {
		Code   string `json:"code"`
		Reason string `json:"reason"`
	}
	// Verdict is a risk.Judged.
	Verdict struct {
		Intent Intent          `json:"intent"`
		Denial *Denial         `json:"denial,omitempty"` // null: it became a signal
		Opens  decimal.Decimal `json:"opens"`
		Checks checks          `json:"checks"`
	}
	// Check is a risk.Check: there are many, and they are not copied.
	Check = risk.Check
	// Signal is what a decision says in a signal.Signal.
	Signal struct {
		ID         string              `json:"id"`
		Symbol     string              `json:"symbol"`
		Action     signal.Action       `json:"action"`
		Notional   decimal.Decimal     `json:"notional"`
		Qty        decimal.NullDecimal `json:"qty,omitzero"`
		Reason     string              `json:"reason"`
		Status     signal.Status       `json:"status"`
		DenialCode string              `json:"denial_code,omitempty"`
		Shadow     bool                `json:"shadow,omitempty"`
	}
)

func newRecord(c *Case, v risk.View, state map[string]any, run risk.Run, plan risk.Plan) *Record {
	d, s := c.Definition, v.Snapshot
	r := &Record{
		Version: version, UserID: d.UserID, Definition: Definition{d.ID, d.Kind, d.Params, d.Mode, d.Limits}, Cause: Cause(c.Cause), Now: c.Now.UTC(), Symbol: c.Symbol,
		Snapshot: Snapshot{
			Seq: s.Seq, ChangedSeq: s.ChangedSeq, Tick: s.Tick, ObservedAt: s.ObservedAt, DetailAt: s.DetailAt, Incomplete: s.Incomplete, Account: Account(s.Account),
			Positions: each(s.Positions, func(p account.Position) Position { return Position(p) }), Orders: each(s.OpenOrders, func(o account.Order) Order { return Order(o) }),
			Flows: Flows{each(s.Flows.Recent, func(f account.Flow) Flow { return Flow{f.ID, f.At, f.Seen, f.Amount} }), s.Flows.Total, s.Flows.Since, s.Flows.At, s.Flows.Gap},

			LastEquityAt: s.LastEquityAt,
		},
		State: own(state, d.ID), Ended: each(v.Ended, func(c risk.Closing) Closing { return Closing(c) }),
		Quotes: Quotes{}, Bars: map[string]Bar{}, Answer: (*Answer)(c.Answer), Raw: c.RawModelOutput,
		Platform: controlOf(c.Platform), User: controlOf(v.Control), MaxAge: c.MaxSnapshotAge.String(), Buffer: c.Buffer, Life: c.Life.String(),
		Outcome: outcomeOf(run, plan),
	}
	for symbol, q := range c.Quotes {
		r.Quotes[symbol] = Quote(q)
	}
	for symbol, bars := range c.Bars {
		n := len(bars)
		all := make([]decimal.Decimal, 5*n)
		b := Bar{At: make([]int64, n), Open: all[:n], High: all[n : 2*n], Low: all[2*n : 3*n], Close: all[3*n : 4*n], Volume: all[4*n:]}
		for i, x := range bars {
			b.At[i], b.Open[i], b.High[i], b.Low[i], b.Close[i], b.Volume[i] = x.At.UnixMilli(), x.Open, x.High, x.Low, x.Close, x.Volume
		}
		r.Bars[symbol] = b
	}
	if c.Open != nil {
		c.Open.mu.Lock()
		defer c.Open.mu.Unlock()
		r.Hours = maps.Clone(c.Open.said)
	}
	return r
}

// own leaves the other strategies out of a state: nothing is decided on them, but whether there is a place for one that has none.
func own(state map[string]any, strategyID string) values {
	kept := maps.Clone(state)
	all, _ := state["strategies"].(map[string]any)
	mine, ok := all[strategyID]
	switch {
	case ok:
		kept["strategies"] = map[string]any{strategyID: mine}
	case len(all) < risk.MaxStrategies:
		delete(kept, "strategies")
	}
	return kept
}

func outcomeOf(run risk.Run, plan risk.Plan) Outcome {
	o := Outcome{
		Intents: each(run.Intents, func(i strategy.Intent) Intent { return Intent(i) }), Denial: (*Denial)(run.Denial),
		Verdicts: each(plan.Judged, func(j risk.Judged) Verdict {
			return Verdict{Intent(j.Intent), (*Denial)(j.Denial), j.Opens, checks(j.Checks)}
		}),
		Signals: SignalsOf(plan.Signals),
	}
	return o
}

// SignalsOf is what a decision says in signals.
func SignalsOf(signals []signal.Signal) []Signal {
	return each(signals, func(s signal.Signal) Signal {
		return Signal{s.ID, s.Symbol, s.Action, s.Notional, s.Qty, s.Reason, s.Status, s.DenialCode, s.Shadow}
	})
}

func controlOf(c risk.Control) Control {
	out := Control{Limits: c.Limits.Fields(), Invalid: c.Limits.Invalid, Trading: Trading(c.Trading)}
	for id, t := range c.Strategies {
		if out.Strategies == nil {
			out.Strategies = map[string]Trading{}
		}
		out.Strategies[id] = Trading(t)
	}
	return out
}

func (c Control) control() risk.Control {
	out := risk.Control{Limits: risk.ParseLimits(c.Limits), Trading: risk.Trading(c.Trading)}
	out.Limits.Invalid = append(out.Limits.Invalid, c.Invalid...)
	for id, t := range c.Strategies {
		if out.Strategies == nil {
			out.Strategies = map[string]risk.Trading{}
		}
		out.Strategies[id] = risk.Trading(t)
	}
	return out
}

func each[A, B any](list []A, f func(A) B) []B {
	if len(list) == 0 {
		return nil
	}
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// Decode reads a body.
func Decode(body []byte) (*Record, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decision: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(z, maxText+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decision: %w", err)
	case len(text) > maxText:
		return nil, errors.New("decision: it is too long to be one")
	}
	r := &Record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("decision: %w", err)
	}
	return r, nil
}
