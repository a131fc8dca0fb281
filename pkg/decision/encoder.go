package decision

import (
	"encoding/json"
	"strconv"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"
)

// encoder writes a record as encoding/json would, in one go: by reflection it was a third of a decision. A field that is
// added to one of the types is added here too, and TestEncoder says where it was not.
type encoder struct {
	b   []byte
	err error // the first
}

func (e *encoder) record(r *Record) {
	e.b = append(e.b, '{')
	e.int(`"version":`, int64(r.Version))
	e.text(`"user_id":`, r.UserID)
	e.definition(`"strategy":`, &r.Definition)
	e.cause(`"cause":`, r.Cause)
	e.time(`"now":`, r.Now)
	e.some(`"only_symbol":`, r.Symbol)
	e.snapshot(`"snapshot":`, &r.Snapshot)
	e.values(`"risk_state":`, r.State)
	e.other(`"ended":`, r.Ended, len(r.Ended) > 0)
	table(e, `"quotes":`, r.Quotes, e.quote)
	table(e, `"bars":`, r.Bars, e.bar)
	e.other(`"answer":`, r.Answer, r.Answer != nil)
	e.some(`"raw_model_output":`, r.Raw)
	e.control(`"platform":`, &r.Platform)
	e.control(`"user":`, &r.User)
	e.text(`"max_snapshot_age":`, r.MaxAge)
	e.decimal(`"buffer_share":`, r.Buffer)
	e.other(`"hours":`, r.Hours, len(r.Hours) > 0)
	e.text(`"signal_life":`, r.Life)
	e.other(`"cut":`, r.Cut, len(r.Cut) > 0)
	list(e, `"intents":`, r.Intents, e.intent)
	e.denial(r.Denial)
	list(e, `"verdicts":`, r.Verdicts, e.verdict)
	list(e, `"signals":`, r.Signals, e.signal)
	e.close()
}

func (e *encoder) definition(name string, d *Definition) {
	e.open(name)
	e.text(`"id":`, d.ID)
	e.text(`"kind":`, d.Kind)
	if len(d.Params) > 0 {
		e.values(`"params":`, d.Params)
	}
	e.some(`"mode":`, string(d.Mode))
	e.values(`"limits":`, d.Limits)
	e.close()
}

func (e *encoder) cause(name string, c Cause) {
	e.open(name)
	e.text(`"text":`, c.Text)
	e.int(`"tick":`, int64(c.Tick))
	if c.ChangedSeq != 0 {
		e.int(`"changed_seq":`, c.ChangedSeq)
	}
	e.close()
}

func (e *encoder) snapshot(name string, s *Snapshot) {
	e.open(name)
	e.int(`"seq":`, s.Seq)
	e.int(`"changed_seq":`, s.ChangedSeq)
	e.int(`"tick":`, int64(s.Tick))
	e.time(`"observed_at":`, s.ObservedAt)
	e.known(`"detail_observed_at":`, s.DetailAt)
	e.yes(`"incomplete":`, s.Incomplete)
	e.account(`"account":`, &s.Account)
	if len(s.Positions) > 0 {
		list(e, `"positions":`, s.Positions, e.position)
	}
	e.other(`"open_orders":`, s.Orders, len(s.Orders) > 0)
	f := &s.Flows
	e.other(`"flows":`, f, f.Recent != nil || f.Total != decimal.Zero || !f.Since.IsZero() || !f.At.IsZero() || !f.Gap.IsZero())
	e.known(`"last_equity_at":`, s.LastEquityAt)
	e.close()
}

func (e *encoder) account(name string, a *Account) {
	e.open(name)
	e.some(`"id":`, a.ID)
	e.some(`"status":`, a.Status)
	e.some(`"currency":`, a.Currency)
	e.figure(`"equity":`, a.Equity)
	e.figure(`"last_equity":`, a.LastEquity)
	e.figure(`"cash":`, a.Cash)
	e.figure(`"buying_power":`, a.BuyingPower)
	e.figure(`"multiplier":`, a.Multiplier)
	e.flag(`"trading_blocked":`, a.TradingBlocked)
	e.flag(`"account_blocked":`, a.AccountBlocked)
	e.flag(`"transfers_blocked":`, a.TransfersBlocked)
	e.flag(`"trade_suspended_by_user":`, a.TradeSuspendedByUser)
	e.flag(`"shorting_enabled":`, a.ShortingEnabled)
	e.close()
}

func (e *encoder) position(p *Position) {
	e.text(`"symbol":`, p.Symbol)
	e.decimal(`"qty":`, p.Qty)
	e.figure(`"avg_entry_price":`, p.AvgEntryPrice)
	e.figure(`"current_price":`, p.CurrentPrice)
	e.figure(`"market_value":`, p.MarketValue)
}

func (e *encoder) quote(q Quote) {
	e.decimal(`"bid":`, q.Bid)
	e.decimal(`"ask":`, q.Ask)
	e.time(`"at":`, q.At)
}

func (e *encoder) bar(bar Bar) {
	e.other(`"t":`, bar.At, true)
	e.column(`"o":`, bar.Open)
	e.column(`"h":`, bar.High)
	e.column(`"l":`, bar.Low)
	e.column(`"c":`, bar.Close)
	e.column(`"v":`, bar.Volume)
}

func (e *encoder) column(name string, figures []decimal.Decimal) {
	e.member(name)
	if figures == nil {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = append(e.b, '[')
	for _, d := range figures {
		e.b = appendDecimal(comma(e.b), d)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) control(name string, c *Control) {
	e.open(name)
	if len(c.Limits) > 0 {
		e.values(`"limits":`, c.Limits)
	}
	e.other(`"invalid":`, c.Invalid, len(c.Invalid) > 0)
	t := &c.Trading
	e.open(`"trading":`)
	e.some(`"trading_state":`, string(t.State))
	e.some(`"reason":`, t.Reason)
	e.some(`"author":`, t.Author)
	e.known(`"set_at":`, t.At)
	e.close()
	e.other(`"strategies":`, c.Strategies, len(c.Strategies) > 0)
	e.close()
}

func (e *encoder) intent(i *Intent) {
	e.text(`"symbol":`, i.Symbol)
	e.text(`"action":`, string(i.Action))
	e.decimal(`"notional":`, i.Notional)
	e.figure(`"target":`, i.Target)
	e.figure(`"qty":`, i.Qty)
	e.figure(`"confidence":`, i.Confidence)
	e.some(`"reason":`, i.Reason)
}

func (e *encoder) denial(d *Denial) {
	if d == nil {
		return
	}
	e.open(`"denial":`)
	e.text(`"code":`, d.Code)
	e.text(`"reason":`, d.Reason)
	e.close()
}

func (e *encoder) verdict(v *Verdict) {
	e.open(`"intent":`)
	e.intent(&v.Intent)
	e.close()
	e.denial(v.Denial)
	e.decimal(`"opens":`, v.Opens)
	list(e, `"checks":`, v.Checks, e.check)
}

func (e *encoder) check(c *Check) {
	e.text(`"limit":`, c.Limit)
	e.some(`"level":`, c.Level)
	e.figure(`"value":`, c.Value)
	e.figure(`"bound":`, c.Bound)
	e.figure(`"distance":`, c.Distance)
	e.some(`"code":`, c.Code)
	e.yes(`"waived":`, c.Waived)
	e.some(`"note":`, c.Note)
}

func (e *encoder) signal(s *Signal) {
	e.text(`"id":`, s.ID)
	e.text(`"symbol":`, s.Symbol)
	e.text(`"action":`, string(s.Action))
	e.decimal(`"notional":`, s.Notional)
	e.figure(`"qty":`, s.Qty)
	e.text(`"reason":`, s.Reason)
	e.text(`"status":`, string(s.Status))
	e.some(`"denial_code":`, s.DenialCode)
	e.yes(`"shadow":`, s.Shadow)
}

func (e *encoder) member(name string) { e.b = append(comma(e.b), name...) }

func (e *encoder) open(name string) {
	e.member(name)
	e.b = append(e.b, '{')
}

func (e *encoder) close() { e.b = append(e.b, '}') }

func (e *encoder) text(name, s string) {
	e.member(name)
	e.b = appendText(e.b, s)
}

// some is nothing where it is "".
func (e *encoder) some(name, s string) {
	if s != "" {
		e.text(name, s)
	}
}

func (e *encoder) int(name string, n int64) {
	e.member(name)
	e.b = strconv.AppendInt(e.b, n, 10)
}

func (e *encoder) decimal(name string, d decimal.Decimal) {
	e.member(name)
	e.b = appendDecimal(e.b, d)
}

// figure is nothing where it is null.
func (e *encoder) figure(name string, d decimal.NullDecimal) {
	if d.Valid {
		e.decimal(name, d.Decimal)
	}
}

// flag is nothing where it is null.
func (e *encoder) flag(name string, f *bool) {
	if f != nil {
		e.member(name)
		e.b = strconv.AppendBool(e.b, *f)
	}
}

// yes is nothing where it is false.
func (e *encoder) yes(name string, is bool) {
	if is {
		e.flag(name, &is)
	}
}

func (e *encoder) time(name string, t time.Time) {
	e.member(name)
	e.b = append(t.AppendFormat(append(e.b, '"'), time.RFC3339Nano), '"')
}

// known is nothing where it is zero.
func (e *encoder) known(name string, t time.Time) {
	if !t.IsZero() {
		e.time(name, t)
	}
}

func (e *encoder) values(name string, v values) {
	e.member(name)
	if v == nil {
		e.b = append(e.b, "null"...)
		return
	}
	b, err := appendMap(e.b, v)
	if e.b = b; e.err == nil {
		e.err = err
	}
}

// other is by encoding/json: what is rare.
func (e *encoder) other(name string, v any, is bool) {
	if !is {
		return
	}
	b, err := json.Marshal(v)
	e.member(name)
	e.b = append(e.b, b...)
	if e.err == nil {
		e.err = err
	}
}

func list[T any](e *encoder, name string, all []T, one func(*T)) {
	e.member(name)
	if all == nil {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = append(e.b, '[')
	for i := range all {
		e.b = append(comma(e.b), '{')
		one(&all[i])
		e.close()
	}
	e.b = append(e.b, ']')
}

// table is nothing where it is empty.
func table[T any](e *encoder, name string, all map[string]T, one func(T)) {
	if len(all) == 0 {
		return
	}
	e.open(name)
	for _, key := range sorted(all) {
		e.b = append(appendText(comma(e.b), key), ':', '{')
		one(all[key])
		e.close()
	}
	e.close()
}
