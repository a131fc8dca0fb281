package risk

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// TradingState is how much of trading is on. The zero TradingState is Active.
type TradingState string

// The states, from free to still. Syncing goes on in all of them.
const (
	Active   TradingState = "ACTIVE"
	Reducing TradingState = "REDUCING" // only what lowers exposure
	Halted   TradingState = "HALTED"   // nothing at all
)

// ParseTradingState reads a state in any case, blanks around it; "" is Active.
func ParseTradingState(s string) (TradingState, error) {
	switch t := TradingState(strings.ToUpper(strings.TrimSpace(s))); t {
	case "":
		return Active, nil
	case Active, Reducing, Halted:
		return t, nil
	}
	return "", fmt.Errorf("trading state %.40q: want %s, %s or %s", s, Active, Reducing, Halted)
}

// Trading is a person's word on trading.
type Trading struct {
	State  TradingState
	Reason string
	Author string
	At     time.Time // UTC, of the word; zero: not known
}

// SetTrading is a word that names who said it, why and when: without any of these it is an error.
func SetTrading(state TradingState, reason, author string, at time.Time) (Trading, error) {
	var errs []error
	parsed, err := ParseTradingState(string(state))
	if err != nil || state == "" {
		errs = append(errs, fmt.Errorf("trading state %.40q: want %s, %s or %s", state, Active, Reducing, Halted))
	}
	for name, s := range map[string]string{"reason": reason, "author": author} {
		if s = strings.TrimSpace(s); s == "" || len(s) > 500 {
			errs = append(errs, fmt.Errorf("%s of a trading state: want 1 to 500 bytes", name))
		}
	}
	if at.IsZero() {
		errs = append(errs, errors.New("time of a trading state: want one"))
	}
	if err := errors.Join(errs...); err != nil {
		return Trading{}, err
	}
	return Trading{State: parsed, Reason: strings.TrimSpace(reason), Author: strings.TrimSpace(author), At: at.UTC()}, nil
}

// lifts says whether the word takes back what happened at a time: it is Active, and was said after that. One from the
// future, a minute of difference between clocks aside, would take back what nobody has seen yet.
func (t Trading) lifts(at, now time.Time) bool {
	return t.State == Active && t.At.After(at) && t.At.Before(now.Add(time.Minute))
}
