package strategy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// KindDCA is the kind of the regular purchase.
const KindDCA = "dca"

// dca buys a symbol for the same amount at each slot of a schedule, whatever it costs: dollar-cost averaging (Benjamin
// Graham, "The Intelligent Investor", 1949, who calls it that; Constantinides, "A Note on the Suboptimality of Dollar-Cost
// Averaging as an Investment Policy", Journal of Financial and Quantitative Analysis 14, 1979, on what it is not).
//
// Parameters:
//
//	symbol          to buy
//	notional_usd    for so much at each slot, 1 to 1,000,000, in whole cents
//	every_minutes   a slot at each multiple of these minutes since midnight UTC: a multiple of 5 that divides a day;
//	                default 1440
//	offset_minutes  so many minutes later, less than every_minutes, a multiple of 5. 14:35 UTC, say, is 875. Default
//	                900 where every_minutes is 1440: 15:00 UTC, in regular hours all year; else 0
//	days            list of days, UTC, on which it buys: mon, tue, wed, thu, fri, sat, sun; default all
//
// It buys on its slots only, not when its document is edited, and with cash only: an account without enough of it, less what
// open purchases of all strategies will take, gets a denial, whatever its margin.
type dca struct {
	symbol        string
	notional      decimal.Decimal
	every, offset time.Duration
	days          []string
}

func newDCA(p *Params) Strategy {
	s := &dca{symbol: p.Symbol("symbol"), notional: p.Must("notional_usd", MinNotional, 1e6), every: p.Minutes("every_minutes", 1440)}
	otherwise := 0
	if s.every == 24*time.Hour {
		otherwise = int(session / time.Minute) // at midnight the exchanges are closed, and it is the evening before in New York
	}
	s.offset = time.Duration(p.Whole("offset_minutes", otherwise, 0, 1435)) * time.Minute
	s.days = p.list("days", "all")
	if !s.notional.Equal(s.notional.Truncate(2)) {
		p.Fault("notional_usd is %s: want whole cents", s.notional)
	}
	s.notional = s.notional.Truncate(2) // a float comes with thirty places
	if s.every == 0 {
		p.Fault("every_minutes is 0: want a multiple of 5 that divides a day, like 1440")
	} else if s.offset >= s.every || s.offset%MinSlot != 0 {
		p.Fault("offset_minutes is %d: want a multiple of 5 that is less than every_minutes, %d", s.offset/time.Minute, s.every/time.Minute)
	}
	for _, d := range s.days {
		if !slices.Contains([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, d) {
			p.Fault("days holds %.40q: want some of mon, tue, wed, thu, fri, sat, sun", d)
		}
	}
	return s
}

func (s *dca) Triggers() Triggers { return Triggers{Every: s.every, Offset: s.offset} }

func (s *dca) Needs() Needs { return Needs{Symbols: []string{s.symbol}} }

func (s *dca) Decide(in Input) (Decision, error) {
	slot := in.Cause.Tick.Time()
	if in.Cause.Trigger() != BySchedule || (len(s.days) > 0 && !slices.Contains(s.days, strings.ToLower(slot.Weekday().String()[:3]))) {
		return Decision{}, nil
	}
	spoken, known := spoken(in, s.symbol)
	switch cash := in.Account.Cash; {
	case !cash.Valid:
		return Decision{}, &Denial{Code: "CASH_UNAVAILABLE", Reason: "the account's cash is missing"}
	case !known:
		return Decision{}, &Denial{Code: "CASH_UNAVAILABLE", Reason: "there is an open order of which can't be told what it will take of the cash"}
	case cash.Decimal.Sub(spoken).LessThan(s.notional):
		return Decision{}, &Denial{Code: "CASH_INSUFFICIENT", Reason: fmt.Sprintf("a purchase of $%s needs cash; the account has $%s, and open purchases will take $%s", account.Cents(s.notional), account.Cents(cash.Decimal), account.Cents(spoken))}
	}
	if _, err := long(in, s.symbol); err != nil {
		return Decision{}, err
	}
	return Decision{Intents: []Intent{{Symbol: s.symbol, Action: signal.Buy, Notional: s.notional, Reason: fmt.Sprintf("%s for $%s at %s", s.symbol, account.Cents(s.notional), slot.Format("Mon 15:04"))}}}, nil
}
