package local

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
)

var noon = time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)

// books are a user's documents as they are written, seconds after noon.
type books struct{ *spending }

func newBooks() books { return books{&spending{users: map[string]*spender{}}} }

func (b books) account(second int, power, shares string, orders ...string) {
	at := noon.Add(time.Duration(second) * time.Second)
	open := []any{}
	for _, id := range orders {
		open = append(open, map[string]any{"client_order_id": id})
	}
	b.snapshot("u", document.Document{UpdateTime: at, Fields: document.Fields{
		"raw": map[string]any{"buying_power": power}, "observed_at": at, "open_orders": open,
		"positions": []any{map[string]any{"symbol": "SPY", "qty": shares, "market_value": shares + "00"}}, // at $100
	}})
}

func (b books) says(second int, id, status, notional string) {
	at := noon.Add(time.Duration(second) * time.Second)
	b.signal("u", id, status == "pending", document.Document{UpdateTime: at, Fields: document.Fields{
		"action": "buy", "symbol": "SPY", "status": status, "notional": notional, "created_at": at, "expires_at": at.Add(15 * time.Minute),
	}})
}

// What is open counts until it is rejected, expired, or seen at the broker.
func TestSpending(t *testing.T) {
	for name, c := range map[string]struct {
		write func(books)
		over  int
	}{
		"all of it":   {func(b books) { b.account(0, "100", "0"); b.says(1, "a", "pending", "100") }, 0},
		"a cent more": {func(b books) { b.account(0, "100", "0"); b.says(1, "a", "pending", "100.01") }, 1},
		"twice": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "b", "pending", "60")
		}, 1},
		"seen in disorder": {func(b books) {
			b.says(2, "b", "pending", "60")
			b.says(1, "a", "expired", "60")
			b.account(0, "100", "0")
		}, 0},
		"superseded": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "b", "pending", "60")
			b.says(2, "a", "expired", "60")
		}, 0},
		"rejected": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "a", " Rejected", "60")
			b.says(3, "b", "pending", "60")
		}, 0},
		"an odd word": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "a", "filled", "60")
			b.says(3, "b", "pending", "60")
		}, 1},
		"executed": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "a", "EXECUTED", "60")
			b.says(3, "b", "pending", "60")
		}, 1},
		"executed, a snapshot": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "a", "executed", "60")
			b.account(3, "100", "0")
			b.says(4, "b", "pending", "60")
		}, 1},
		"its order is shown": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.account(3, "60", "0", "a")
			b.says(4, "b", "pending", "60")
		}, 0},
		"its shares are": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(2, "a", "executed", "60")
			b.account(3, "60", "1")
			b.says(4, "b", "pending", "60")
		}, 0},
		"expired by the time": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(901, "b", "pending", "60")
		}, 0},
		"not quite": {func(b books) {
			b.account(0, "100", "0")
			b.says(1, "a", "pending", "60")
			b.says(900, "b", "pending", "60")
		}, 1},
		"less power later":  {func(b books) { b.account(0, "100", "0"); b.says(1, "a", "pending", "60"); b.account(2, "10", "0") }, 0},
		"it closes a short": {func(b books) { b.account(0, "100", "-2"); b.says(1, "a", "pending", "300") }, 0},
		"and more":          {func(b books) { b.account(0, "100", "-2"); b.says(1, "a", "pending", "301") }, 1},
	} {
		b := newBooks()
		c.write(b)
		if over := b.overspent(); over != c.over {
			t.Errorf("%s: %d users overspent, want %d", name, over, c.over)
		}
	}
}

func TestLeaked(t *testing.T) {
	state := document.Document{Fields: document.Fields{"reservations": []any{
		map[string]any{"expires_at": noon}, map[string]any{"expires_at": noon, "settled_at": noon.Add(-time.Minute)},
	}}}
	for minutes, want := range map[int]int{-5: 0, 1: 0, 2: 1, 10: 1, 11: 2} {
		run := document.Document{Fields: document.Fields{"created_at": noon.Add(time.Duration(minutes) * time.Minute)}}
		if n := leaked(state, []document.Document{run}); n != want {
			t.Errorf("a run %d minutes after the expiry: %d leaked, want %d", minutes, n, want)
		}
	}
}
