package account

import (
	"errors"
	"fmt"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// Broker is the value of a snapshot's broker field.
const Broker = "alpaca"

// maxCadence, a day, is the slowest: a larger number is a mistake, and would make no snapshot stale.
const maxCadence = 24 * 60

// Fields is the snapshot as it is stored (docs/data-model.md): the predecessor's fields for its readers, then
// ours. A field that is missing is nil; those that are kept as they are stored are left out. updated_at is left to the
// store, which has the server's time.
func (s Snapshot) Fields() map[string]any {
	f := map[string]any{
		"broker":              Broker,
		"external_account_id": s.Account.ID,
		"status":              s.Account.Status,
		"equity":              number(s.Account.Equity),
		"buying_power":        number(s.Account.BuyingPower),
		"cash":                number(s.Account.Cash),
		"updated_at_iso":      s.ObservedAt.UTC().Format(time.RFC3339Nano),
		"user_id":             s.UserID,
		"encrypted_key_path":  orNil(s.KeyPath),
		"raw":                 s.Raw,

		"incomplete": s.Incomplete,

		"cadence_minutes": intOrNil(s.CadenceMinutes),

		"slot_minutes": intOrNil(s.SlotMinutes),
		"tick":         s.Tick.String(),
		"seq":          s.Seq,
		"changed_seq":  s.ChangedSeq,

		"changed_equity":       exact(s.Changed.Equity),
		"changed_buying_power": exact(s.Changed.BuyingPower),
		"last_equity_at":       timeOrNil(s.LastEquityAt),

		"observed_at":  s.ObservedAt.UTC(),
		"key_version":  orNil(s.KeyVersion),
		"content_hash": s.ContentHash,
		"traceparent":  orNil(s.TraceParent),
	}
	if s.Kept == (Digest{}) {
		f["positions"], f["open_orders"] = list(s.Positions, Position.fields), list(s.OpenOrders, Order.fields)
		f["detail_observed_at"] = timeOrNil(s.DetailAt)
	}
	f["flows_gap"], f["flows_gap_cash"] = timeOrNil(s.Flows.Gap), exact(s.Flows.GapCash)
	if !s.Flows.Kept {
		f["flows"], f["flows_observed_at"], f["flows_since"], f["net_flow"] = nil, timeOrNil(s.Flows.At), timeOrNil(s.Flows.Since), nil
		if !s.Flows.At.IsZero() {
			f["flows"], f["net_flow"] = list(s.Flows.Recent, Flow.fields), s.Flows.Total.String()
		}
	}
	return f
}

// FromFields reads a stored snapshot: ours, and both of the predecessor's shapes (raw with updated_at_iso; account
// with syncedAt), figures as numbers or strings. Our figures come from raw, which has the broker's exact strings.
func FromFields(userID string, f map[string]any, version time.Time) (Snapshot, error) {
	r := fieldReader{f: f}
	s := Snapshot{
		UserID:     userID,
		Raw:        r.object("raw"),
		Incomplete: r.flag("incomplete"),
		Seq:        r.integer("seq"),
		ChangedSeq: r.integer("changed_seq"),
		ObservedAt: r.observed(),
		DetailAt:   r.time("detail_observed_at"),

		LastEquityAt: r.time("last_equity_at"),
		KeyVersion:   r.text("key_version"),
		KeyPath:      r.text("encrypted_key_path"),
		ContentHash:  r.text("content_hash"),
		TraceParent:  r.text("traceparent"),
		SlotMinutes:  int(r.integer("slot_minutes")),
		Version:      version,
	}
	s.CadenceMinutes = int(min(max(0, r.integer("cadence_minutes")), maxCadence))
	if s.Raw == nil {
		s.Raw = r.object("account")
	}
	if t := r.text("tick"); t != "" {
		var err error
		if s.Tick, err = tick.Parse(t); err != nil {
			r.fail("tick", err)
		}
	}
	s.Positions, s.OpenOrders, s.Flows = r.positions(), r.orders(), r.flows()
	_, positions := f["positions"].([]any)
	_, orders := f["open_orders"].([]any)
	if _, said := f["incomplete"].(bool); !said || !positions || !orders {
		s.Incomplete = true // the predecessor stored no positions; and what is missing is not none
	}
	s.Account = r.account(s.Raw)
	s.Changed = Figures{r.decimal(f, "changed_equity"), r.decimal(f, "changed_buying_power")}
	if err := errors.Join(r.errs...); err != nil {
		if userID == "" {
			return Snapshot{}, fmt.Errorf("snapshot: %w", err)
		}
		return Snapshot{}, fmt.Errorf("snapshot of user %s: %w", userID, err)
	}
	return s, nil
}

func intOrNil(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func (p Position) fields() map[string]any {
	return map[string]any{
		"symbol": p.Symbol, "qty": p.Qty.String(), "avg_entry_price": exact(p.AvgEntryPrice),
		"current_price": exact(p.CurrentPrice), "market_value": exact(p.MarketValue),
	}
}

func (o Order) fields() map[string]any {
	return map[string]any{
		"id": o.ID, "client_order_id": o.ClientOrderID, "symbol": o.Symbol, "side": o.Side, "type": o.Type,
		"time_in_force": o.TimeInForce, "status": o.Status, "qty": exact(o.Qty), "notional": exact(o.Notional),
		"filled_qty": exact(o.FilledQty), "limit_price": exact(o.LimitPrice),
	}
}

func (f Flow) fields() map[string]any {
	return map[string]any{"id": f.ID, "at": f.At.UTC(), "seen_at": f.Seen.UTC(), "amount": exact(f.Amount)}
}

// fieldReader reads a document's fields and gathers what is wrong with them.
type fieldReader struct {
	f    map[string]any
	errs []error
}

func (r *fieldReader) fail(name string, err error) {
	r.errs = append(r.errs, fmt.Errorf("field %s: %w", name, err))
}

func field[T any](r *fieldReader, name string) (v T) {
	if r.f[name] == nil {
		return v
	}
	v, ok := r.f[name].(T)
	if !ok {
		r.fail(name, fmt.Errorf("is a %T, want a %T", r.f[name], v))
	}
	return v
}

func (r *fieldReader) text(name string) string           { return field[string](r, name) }
func (r *fieldReader) flag(name string) bool             { return field[bool](r, name) }
func (r *fieldReader) integer(name string) int64         { return field[int64](r, name) }
func (r *fieldReader) time(name string) time.Time        { return field[time.Time](r, name) }
func (r *fieldReader) object(name string) map[string]any { return field[map[string]any](r, name) }

// observed is when the account was read: ours, or the predecessor's nearest to it. Without one it stays zero, and
// the snapshot counts as stale: the predecessor's check failed open there.
func (r *fieldReader) observed() time.Time {
	if t := r.time("observed_at"); !t.IsZero() {
		return t
	}
	if iso := r.text("updated_at_iso"); iso != "" {
		t, err := time.Parse(time.RFC3339Nano, iso)
		if err != nil {
			r.fail("updated_at_iso", errors.New("is no RFC 3339 time"))
		}
		return t.UTC()
	}
	return r.time("syncedAt")
}

func (r *fieldReader) account(raw map[string]any) Account {
	a, err := FromRaw(raw)
	if err != nil {
		r.fail("raw", err)
	}
	if a.ID == "" {
		a.ID = r.text("external_account_id")
	}
	if a.Status == "" {
		a.Status = r.text("status")
	}
	for name, d := range map[string]*decimal.NullDecimal{"equity": &a.Equity, "cash": &a.Cash, "buying_power": &a.BuyingPower} {
		if !d.Valid {
			*d = r.decimal(r.f, name)
		}
	}
	return a
}

func (r *fieldReader) decimal(f map[string]any, name string) decimal.NullDecimal {
	d, err := Decimal(f[name])
	if err != nil {
		r.fail(name, err)
	}
	return d
}

func (r *fieldReader) objects(name string) (objects []map[string]any) {
	for i, e := range field[[]any](r, name) {
		m, ok := e.(map[string]any)
		if !ok {
			r.fail(name, fmt.Errorf("index %d is a %T", i, e))
			continue
		}
		objects = append(objects, m)
	}
	return objects
}

func (r *fieldReader) positions() (ps []Position) {
	for _, m := range r.objects("positions") {
		in := fieldReader{f: m}
		p := Position{
			Symbol: in.text("symbol"), AvgEntryPrice: in.decimal(m, "avg_entry_price"),
			CurrentPrice: in.decimal(m, "current_price"), MarketValue: in.decimal(m, "market_value"),
		}
		qty := in.decimal(m, "qty")
		if !qty.Valid || p.Symbol == "" {
			in.fail("qty", errors.New("a position needs symbol and qty"))
		}
		p.Qty = qty.Decimal
		ps = append(ps, p)
		r.errs = append(r.errs, in.errs...)
	}
	return ps
}

func (r *fieldReader) orders() (os []Order) {
	for _, m := range r.objects("open_orders") {
		in := fieldReader{f: m}
		os = append(os, Order{
			ID: in.text("id"), ClientOrderID: in.text("client_order_id"), Symbol: in.text("symbol"),
			Side: in.text("side"), Type: in.text("type"), TimeInForce: in.text("time_in_force"), Status: in.text("status"),
			Qty: in.decimal(m, "qty"), Notional: in.decimal(m, "notional"), FilledQty: in.decimal(m, "filled_qty"),
			LimitPrice: in.decimal(m, "limit_price"),
		})
		r.errs = append(r.errs, in.errs...)
	}
	return os
}

func (r *fieldReader) flows() Flows {
	fs := Flows{At: r.time("flows_observed_at"), Since: r.time("flows_since"), Gap: r.time("flows_gap"), GapCash: r.decimal(r.f, "flows_gap_cash"), Total: r.decimal(r.f, "net_flow").Decimal}
	for _, m := range r.objects("flows") {
		in := fieldReader{f: m}
		f := Flow{ID: in.text("id"), At: in.time("at"), Seen: in.time("seen_at"), Amount: in.decimal(m, "amount")}
		if f.ID == "" || f.At.IsZero() || f.Seen.IsZero() {
			in.fail("flows", errors.New("a flow needs id, at and seen_at"))
		}
		fs.Recent = append(fs.Recent, f)
		r.errs = append(r.errs, in.errs...)
	}
	return fs
}

// number is a figure as the predecessor's readers expect it; raw has it exactly.
func number(d decimal.NullDecimal) any {
	if !d.Valid {
		return nil
	}
	return d.Decimal.InexactFloat64()
}

func exact(d decimal.NullDecimal) any {
	if !d.Valid {
		return nil
	}
	return d.Decimal.String()
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func timeOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

func list[T any](vs []T, fields func(T) map[string]any) []any {
	l := make([]any, len(vs))
	for i, v := range vs {
		l[i] = fields(v)
	}
	return l
}
