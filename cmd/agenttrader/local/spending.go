package local

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/document"
)

const (
	shownLate  = 5 * time.Minute // docs/risk.md: how long the order of an executed signal may take to show up
	leakGrace  = time.Minute     // on top of its end, before a reservation without a word counts as kept for ever
	wordGrace  = 6 * time.Minute // and one with a word: it may be sent late, and the run's snapshot be of the last heartbeat but one
	disorderly = 2 * time.Minute // the emulator's events of one user come in any order, within this
)

// spending adds up what a user's open buy signals open, from the documents alone, and holds it against the buying power
// that stood in the snapshot when each was written. What another counts in riskState is nothing to it.
type spending struct {
	mu    sync.Mutex
	users map[string]*spender
}

type spender struct {
	steps []step // not taken yet
	power decimal.Decimal
	read  time.Time // when the snapshot was begun, its positions and orders read
	held  map[string]holding
	open  map[string]bid // by signal
	over  bool
}

// step is one document's write.
type step struct {
	seen, at time.Time // here; its commit
	second   bool      // of what one commit wrote: a new signal comes after the ends of others
	take     func(*spender)
}

type holding struct{ qty, value decimal.Decimal }

// bid is an open buy signal.
type bid struct {
	symbol  string
	opens   decimal.Decimal
	held    decimal.Decimal // shares, when it was written
	expires time.Time
	word    time.Time // "executed" was written; zero: no word yet
}

func (s *spending) add(user string, st step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil {
		u = &spender{open: map[string]bid{}}
		s.users[user] = u
	}
	st.seen = time.Now()
	u.steps = append(u.steps, st)
}

// settle takes the steps that were seen before a time, in the order of their commits.
func (s *spending) settle(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		n := slices.IndexFunc(u.steps, func(st step) bool { return !st.seen.Before(before) })
		if n < 0 {
			n = len(u.steps)
		}
		due := u.steps[:n]
		slices.SortStableFunc(due, func(a, b step) int { return cmp.Or(a.at.Compare(b.at), order(a.second)-order(b.second)) })
		for _, st := range due {
			st.take(u)
		}
		u.steps = slices.Clone(u.steps[n:])
	}
}

func order(second bool) int {
	if second {
		return 1
	}
	return 0
}

// overspent counts the users whose open buys ever passed their buying power.
func (s *spending) overspent() (n int) {
	s.settle(time.Now().Add(time.Hour))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		n += order(u.over)
	}
	return n
}

// snapshot notes what a snapshot says. A broker that shows an order counts it in its own figures.
func (s *spending) snapshot(user string, d document.Document) {
	raw, _ := d.Fields["raw"].(map[string]any)
	power, read := exact(raw["buying_power"]), at(d, "observed_at")
	detail := at(d, "detail_observed_at")
	if detail.IsZero() {
		detail = read
	}
	held, shown := map[string]holding{}, map[string]bool{}
	for _, p := range objects(d.Fields["positions"]) {
		symbol, _ := p["symbol"].(string)
		held[symbol] = holding{exact(p["qty"]), exact(p["market_value"])}
	}
	for _, o := range objects(d.Fields["open_orders"]) {
		id, _ := o["client_order_id"].(string)
		shown[id] = true
	}
	s.add(user, step{at: d.UpdateTime, take: func(u *spender) {
		u.power, u.read, u.held = power, read, held
		for id, b := range u.open {
			moved := !b.word.IsZero() && detail.After(b.word) && held[b.symbol].qty.GreaterThan(b.held)
			if shown[id] || moved {
				delete(u.open, id)
			}
		}
	}})
}

// signal notes what a signal's document says, whoever wrote it.
func (s *spending) signal(user, id string, created bool, d document.Document) {
	if d.Fields["action"] != "buy" {
		return
	}
	status, _ := d.Fields["status"].(string)
	switch status = strings.ToLower(strings.TrimSpace(status)); {
	case created && status == "pending":
		symbol, _ := d.Fields["symbol"].(string)
		notional, now, expires := exact(d.Fields["notional"]), at(d, "created_at"), at(d, "expires_at")
		s.add(user, step{at: d.UpdateTime, second: true, take: func(u *spender) { u.bid(id, symbol, notional, now, expires) }})
	case status == "executed":
		s.add(user, step{at: d.UpdateTime, take: func(u *spender) {
			if b, ok := u.open[id]; ok {
				b.word = d.UpdateTime
				u.open[id] = b
			}
		}})
	case status == "rejected" || status == "expired":
		s.add(user, step{at: d.UpdateTime, take: func(u *spender) { delete(u.open, id) }})
	}
}

// bid is a new buy: all that is open by then must be within the buying power.
func (u *spender) bid(id, symbol string, notional decimal.Decimal, now, expires time.Time) {
	for other, b := range u.open {
		expired := !now.Before(b.expires)
		if expired && (b.word.IsZero() || (u.read.After(b.word) && now.Sub(b.word) >= shownLate)) {
			delete(u.open, other)
		}
	}
	h := u.held[symbol]
	opens := notional
	if h.qty.IsNegative() { // it closes a short position first
		opens = decimal.Max(decimal.Zero, notional.Sub(h.value.Abs()))
	}
	u.open[id] = bid{symbol: symbol, opens: opens, held: h.qty, expires: expires}
	sum := decimal.Zero
	for _, b := range u.open {
		sum = sum.Add(b.opens)
	}
	u.over = u.over || (opens.IsPositive() && sum.GreaterThan(u.power))
}

// leaked counts the reservations that stand in a user's risk state although a run came after the last moment at which
// they may be held. Each signal, a denial too, is a run.
func leaked(state document.Document, signals []document.Document) (n int) {
	var last time.Time
	for _, d := range signals {
		if t := at(d, "created_at"); t.After(last) {
			last = t
		}
	}
	for _, r := range objects(state.Fields["reservations"]) {
		expires, _ := r["expires_at"].(time.Time)
		ends := expires.Add(leakGrace)
		if word, ok := r["settled_at"].(time.Time); ok {
			ends = latest(expires, word.Add(shownLate)).Add(wordGrace)
		}
		if last.After(ends) {
			n++
		}
	}
	return n
}

func at(d document.Document, name string) time.Time {
	t, _ := d.Fields[name].(time.Time)
	return t
}

func objects(v any) (ms []map[string]any) {
	list, _ := v.([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			ms = append(ms, m)
		}
	}
	return ms
}

// exact reads a decimal string; what is none is 0.
func exact(v any) decimal.Decimal {
	s, _ := v.(string)
	d, err := decimal.NewFromString(s)
	if err != nil {
		return decimal.Zero
	}
	return d
}
