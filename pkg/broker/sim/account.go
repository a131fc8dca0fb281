package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// account is one key's account. It holds whole shares, so that all figures are exact to the cent.
type account struct {
	keyID, secretKey string
	seed             uint64 // of this account
	id               string

	mu          sync.Mutex
	cash        int64 // cents
	shares      [len(listed)]int64
	last        int64 // equity at the start, cents
	minute      int64 // up to which it has traded
	window      int64 // minute of the rate limit
	requested   int
	transfers   []transfer
	transferred int64 // in all
}

func newAccount(seed uint64, keyID, secretKey string, p prices) *account {
	a := &account{keyID: keyID, secretKey: secretKey, seed: hash(seed, keyID), minute: p.minute}
	r := rand.New(rand.NewPCG(a.seed, 0))
	a.id = fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Uint64()>>16)
	a.cash = 1_000_00 + r.Int64N(50_000_00)
	for i := range a.shares {
		if r.IntN(2) == 0 {
			a.shares[i] = 1 + r.Int64N(100)
		}
	}
	a.last = a.equity(p)
	return a
}

// spend takes one request from the minute's limit; left is below 0 past it.
func (a *account) spend(now time.Time) (left int, reset int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if minute := now.Unix() / 60; minute != a.window {
		a.window, a.requested = minute, 0
	}
	a.requested++
	return RateLimit - a.requested, (a.window + 1) * 60
}

// advance lets the account trade up to the market's minute: about once in a hundred, one share.
func (a *account) advance(p prices) {
	a.minute = max(a.minute, p.minute-catchUp)
	for a.minute < p.minute {
		a.minute++
		r := rand.New(rand.NewPCG(a.seed, uint64(a.minute)))
		if r.IntN(100) != 0 {
			continue
		}
		i := r.IntN(len(listed))
		if price := p.cents[i]; r.IntN(2) == 0 && a.cash >= price {
			a.cash -= price
			a.shares[i]++
		} else if a.shares[i] > 0 {
			a.cash += price
			a.shares[i]--
		}
	}
}

func (a *account) equity(p prices) int64 { return a.cash + a.marketValue(p) }

func (a *account) marketValue(p prices) (v int64) {
	for i, n := range a.shares {
		v += n * p.cents[i]
	}
	return v
}

// object is the account in Alpaca's wire format. The pattern-day-trader fields are gone since July 2026, and some
// accounts lack what others have. Buying power is that of a Reg T margin account with multiplier 2: twice what the
// equity exceeds the initial margin (half of the market value) by.
func (a *account) object(p prices) map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(p)
	equity, value := a.equity(p), a.marketValue(p)
	o := map[string]any{
		"id": a.id, "account_number": "PA" + a.id[:8], "status": "ACTIVE", "crypto_status": "ACTIVE", "currency": "USD",
		"buying_power": dollars(max(0, 2*equity-value)), "regt_buying_power": dollars(max(0, 2*equity-value)),
		"non_marginable_buying_power": dollars(max(0, a.cash)), "cash": dollars(a.cash), "accrued_fees": "0",
		"portfolio_value": dollars(equity), "equity": dollars(equity), "last_equity": dollars(a.last),
		"long_market_value": dollars(value), "short_market_value": "0", "position_market_value": dollars(value),
		"initial_margin": dollars(value / 2), "maintenance_margin": dollars(value * 3 / 10), "last_maintenance_margin": dollars(value * 3 / 10),
		"sma": "0", "multiplier": "2", "shorting_enabled": true, "trading_blocked": false, "transfers_blocked": false,
		"account_blocked": false, "trade_suspended_by_user": false, "created_at": "2024-02-01T09:30:00.123456Z",
	}
	switch a.seed % 5 {
	case 0:
		delete(o, "crypto_status")
		delete(o, "transfers_blocked")
	case 1:
		o["crypto_status"] = nil
		o["accrued_fees"] = nil
	}
	return o
}

func (a *account) positions(p prices) []map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(p)
	list := []map[string]any{}
	for i, n := range a.shares {
		if n == 0 {
			continue
		}
		value := dollars(n * p.cents[i])
		list = append(list, map[string]any{
			"asset_id": fmt.Sprintf("00000000-0000-4000-a000-%012d", i), "symbol": listed[i].symbol, "exchange": "NASDAQ", "asset_class": "us_equity",
			"asset_marginable": true, "qty": strconv.FormatInt(n, 10), "qty_available": strconv.FormatInt(n, 10), "side": "long",
			"avg_entry_price": dollars(listed[i].cents), "cost_basis": dollars(n * listed[i].cents), "market_value": value,
			"current_price": dollars(p.cents[i]), "lastday_price": dollars(listed[i].cents), "change_today": nil,
			"unrealized_pl": dollars(n * (p.cents[i] - listed[i].cents)), "unrealized_plpc": nil,
		})
	}
	return list
}

// orders: one account in fifty has a limit order that never fills.
func (a *account) orders(_ prices) []map[string]any {
	if a.seed%50 != 0 {
		return []map[string]any{}
	}
	at := "2026-01-05T14:30:00.5Z"
	return []map[string]any{{
		"id": a.id[:24] + "000000000001", "client_order_id": "sim-1", "created_at": at, "updated_at": at, "submitted_at": at,
		"filled_at": nil, "asset_id": "00000000-0000-4000-a000-000000000000", "symbol": listed[0].symbol, "asset_class": "us_equity",
		"notional": nil, "qty": "1", "filled_qty": "0", "filled_avg_price": nil, "order_class": "", "type": "limit", "side": "buy",
		"time_in_force": "gtc", "limit_price": dollars(listed[0].cents / 2), "stop_price": nil, "status": "new", "extended_hours": false, "legs": nil,
	}}
}

func dollars(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return sign + strconv.FormatInt(cents/100, 10) + "." + strconv.FormatInt(cents%100+100, 10)[1:]
}

func hash(seed uint64, s string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s", seed, s)
	x := h.Sum64() // FNV's low bits follow the last byte: mix (splitmix64)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
