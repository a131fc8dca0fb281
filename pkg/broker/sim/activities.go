package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// transfer is a deposit, or a withdrawal.
type transfer struct {
	id    string
	at    time.Time
	cents int64 // negative: a withdrawal
}

const maxTransfers = 1000 // the newest of an account

// Transfer deposits cents into the account of a key, or withdraws them if there are fewer than 0. False: there is no such account.
func (s *Server) Transfer(keyID string, cents int64) bool {
	s.mu.RLock()
	a := s.accounts[keyID]
	s.mu.RUnlock()
	if a != nil {
		a.transfer(cents, s.cfg.Now())
	}
	return a != nil
}

// dividend is money that comes in, and no transfer.
func (a *account) dividend(cents int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cash += cents
}

func (a *account) transfer(cents int64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cash += cents
	a.transferred++
	id := fmt.Sprintf("%s%03d::%s%012d", now.UTC().Format("20060102150405"), now.Nanosecond()/1e6, a.id[:24], a.transferred)
	a.transfers = append(a.transfers, transfer{id: id, at: now, cents: cents})
	a.transfers = a.transfers[max(0, len(a.transfers)-maxTransfers):]
}

// getActivities answers deposits and withdrawals as Alpaca does, the newest first; the trades of the random walk are not kept.
func (s *Server) getActivities(w http.ResponseWriter, r *http.Request, a *account, _ prices) {
	q := r.URL.Query()
	types := strings.FieldsFunc(q.Get("activity_types")+","+r.PathValue("type"), func(c rune) bool { return c == ',' })
	var after time.Time
	if text := q.Get("after"); text != "" {
		var err error
		if after, err = time.Parse(time.RFC3339, text); err != nil {
			if after, err = time.Parse(time.DateOnly, text); err != nil {
				fail(w, http.StatusUnprocessableEntity, 42210000, "after is a time or a date")
				return
			}
		}
	}
	size := 100
	if n, err := strconv.Atoi(q.Get("page_size")); err == nil && n > 0 {
		size = min(n, size)
	}
	answer(w, a.activities(types, after, q.Get("page_token"), size))
}

func (a *account) activities(types []string, after time.Time, token string, size int) []map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []map[string]any{}
	for _, t := range slices.Backward(a.transfers) {
		kind := "CSD"
		if t.cents < 0 {
			kind = "CSW"
		}
		wanted := len(types) == 0 || slices.Contains(types, kind) || slices.Contains(types, "TRANS")
		if !wanted || !t.at.After(after) || (token != "" && t.id >= token) || len(list) == size {
			continue
		}
		list = append(list, map[string]any{
			"id": t.id, "activity_type": kind, "date": t.at.In(newYork()).Format(time.DateOnly), "net_amount": dollars(t.cents), "description": "", "status": "executed",
		})
	}
	return list
}

func newYork() *time.Location {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		return time.UTC // it is embedded
	}
	return zone
}
