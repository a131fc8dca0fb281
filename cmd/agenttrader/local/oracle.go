package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// oracle judges a run by what was published and what stands in the documents. It knows nothing of ids, ledgers or
// guards: it must not share their mistakes.
type oracle struct {
	mu        sync.Mutex
	requests  map[request]*fate
	published int // requests, each counted once
	again     int // requests that were published more than once, though nothing crashed
	written   map[string]version
	regressed int

	users   []string // each must be asked for at each tick, unless their health says otherwise
	ticks   []tick.Tick
	missing int               // requests that were never published
	waits   map[string][]wait // by user
	must    map[string]bool   // users who must have a signal, or a denial
	buried  int               // ticks and changes that ran out of attempts
	edits   map[owned]int     // of a strategy, its seed included

	spending spending
}

// owned is one strategy of a user.
type owned struct{ user, strategy string }

// lateTick is how many ticks later one may still be published: the fanout drops those that are older than two minutes.
const lateTick = 3

// wait is a time in which a user is not asked for.
type wait struct {
	after tick.Tick
	until time.Time
}

type request struct {
	tick tick.Tick
	user string
}

type fate struct {
	done, current, deadLettered bool
}

type version struct {
	seq      int64
	observed time.Time
	tick     tick.Tick
}

// Verdict is what the oracle found. All but the counts of signals must be 0.
type Verdict struct {
	Lost             int
	SignalsDuplicate int
	RequestsAgain    int
	Regressed        int
	Missing          int
	Silent           int
	Buried           int
	Overspent        int // users
	Leaked           int // reservations
	Signals          int
	Denials          map[string]int // by code
	ByStrategy       map[string]Spoken
}

// Spoken is what strategies of one id said, of all users.
type Spoken struct {
	Users   int `json:"users"`
	Signals int `json:"signals"`
	Denials int `json:"denials"`
}

// newOracle expects a request for each of these users at each tick.
func newOracle(users []string) *oracle {
	return &oracle{
		requests: map[request]*fate{}, written: map[string]version{}, users: users, waits: map[string][]wait{}, must: map[string]bool{},
		edits: map[owned]int{}, spending: spending{users: map[string]*spender{}},
	}
}

// ticked notes that a tick was published.
func (o *oracle) ticked(t tick.Tick) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ticks = append(o.ticks, t)
}

// waiting notes that a user is not asked for after a tick until a time.
func (o *oracle) waiting(user string, w wait) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits[user] = append(o.waits[user], w)
}

// mustSignal notes a snapshot on which the user's strategy can't but speak.
func (o *oracle) mustSignal(user string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.must[user] = true
}

// edited notes that an owner is about to write a strategy.
func (o *oracle) edited(user, strategy string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.edits[owned{user, strategy}]++
}

// lostForGood notes a tick or a change that ran out of attempts.
func (o *oracle) lostForGood() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buried++
}

// settleTicks counts, for the ticks before that one, the requests that were never published. The caller holds the lock.
func (o *oracle) settleTicks(before tick.Tick) {
	for len(o.ticks) > 0 && o.ticks[0] < before {
		t := o.ticks[0]
		o.ticks = o.ticks[1:]
		for _, uid := range o.users {
			if o.requests[request{t, uid}] == nil && !o.excused(uid, t) {
				o.missing++
			}
		}
	}
}

// excused: the user waits, or a tick that was delivered late found a later one's attempt.
func (o *oracle) excused(uid string, t tick.Tick) bool {
	return slices.ContainsFunc(o.waits[uid], func(w wait) bool { return w.after < t+lateTick && w.until.After(t.Time()) })
}

// publishing takes a request into the journal.
func (o *oracle) publishing(r request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.requests[r] != nil {
		o.again++
		return
	}
	o.published++
	o.requests[r] = &fate{}
}

// settled notes that a request came to an end; first says that it did so for the first time. current: the syncer
// says that the stored snapshot is current.
func (o *oracle) settled(r request, current bool) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.requests[r]
	if f == nil {
		return false
	}
	first = !f.done
	f.done = true
	f.current = f.current || current
	return first
}

func (o *oracle) deadLettered(r request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.requests[r]; f != nil {
		f.deadLettered = true
	}
}

// open is the number of requests that have come to no end yet.
func (o *oracle) open() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.requests {
		if !f.done && !f.deadLettered {
			n++
		}
	}
	return n
}

// snapshot notes a snapshot's write; a sequence or an observation that goes back is a finding.
func (o *oracle) snapshot(user string, v version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.written[user]
	if v.seq <= was.seq || v.observed.Before(was.observed) || v.tick < was.tick {
		o.regressed++
	}
	o.written[user] = v
}

// forget drops what is finished of ticks before t, so that an endless run stays small.
func (o *oracle) forget(before tick.Tick) {
	o.spending.settle(time.Now().Add(-disorderly))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settleTicks(before)
	for uid, waits := range o.waits {
		o.waits[uid] = slices.DeleteFunc(waits, func(w wait) bool { return w.until.Before(before.Time()) })
	}
	maps.DeleteFunc(o.requests, func(r request, f *fate) bool { return r.tick < before && (f.done || f.deadLettered) })
}

// tickOf is the tick of a user's last written snapshot.
func (o *oracle) tickOf(user string) tick.Tick {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written[user].tick
}

// judge reads the documents of these users; of synced a request that was acknowledged has left a current snapshot.
func (o *oracle) judge(ctx context.Context, db document.DB, users, synced []string) (Verdict, error) {
	lost := o.open()
	stale := o.unwritten(synced)
	o.mu.Lock()
	o.settleTicks(math.MaxInt64)
	v := Verdict{Lost: lost + stale, RequestsAgain: o.again, Regressed: o.regressed, Missing: o.missing, Buried: o.buried, Denials: map[string]int{}, ByStrategy: map[string]Spoken{}}
	must, edits := maps.Clone(o.must), maps.Clone(o.edits)
	o.mu.Unlock()
	v.Overspent = o.spending.overspent()
	for _, uid := range users {
		docs, err := db.Query(ctx, document.Query{Collection: store.UserPath(uid) + "/" + store.Signals})
		if err != nil {
			return v, fmt.Errorf("oracle: signals of user %s: %w", uid, err)
		}
		v.add(docs)
		v.addEdits(docs, func(strategy string) int { return edits[owned{uid, strategy}] })
		state, err := db.Get(ctx, store.UserPath(uid)+"/riskState/current")
		if err != nil && !errors.Is(err, document.ErrNotFound) {
			return v, fmt.Errorf("oracle: risk state of user %s: %w", uid, err)
		}
		v.Leaked += leaked(state, docs)
		if must[uid] && len(docs) == 0 {
			v.Silent++
		}
	}
	return v, nil
}

// unwritten counts the users whose latest request is said to have left a current snapshot, while the documents
// hold none, or one older than the heartbeat allows.
func (o *oracle) unwritten(users []string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	latest := map[string]tick.Tick{}
	for r, f := range o.requests {
		if f.current {
			latest[r.user] = max(latest[r.user], r.tick)
		}
	}
	for _, uid := range users {
		if t := latest[uid]; t != 0 && o.written[uid].tick+tick.HeartbeatEvery <= t {
			n++
		}
	}
	return n
}

// add counts one user's signals: two for the same strategy, symbol and cause, and two open ones, are duplicates.
func (v *Verdict) add(docs []document.Document) {
	caused, open := map[[3]any]bool{}, map[[2]any]bool{}
	for _, d := range docs {
		f := d.Fields
		v.count(f)
		cause := [3]any{f["strategy_id"], f["symbol"], f["cause"]}
		if caused[cause] {
			v.SignalsDuplicate++
		}
		caused[cause] = true
		if f["status"] != "pending" {
			continue
		}
		pair := [2]any{f["strategy_id"], f["symbol"]}
		if open[pair] {
			v.SignalsDuplicate++
		}
		open[pair] = true
	}
}

func (v *Verdict) count(f document.Fields) {
	id, _ := f["strategy_id"].(string)
	s := v.ByStrategy[id]
	if f["action"] == "flat" {
		code, _ := f["denial_code"].(string)
		v.Denials[code]++
		s.Denials++
	} else {
		v.Signals++
		s.Signals++
	}
	v.ByStrategy[id] = s
}

// addEdits counts one user's edits that ran more often than they were made.
func (v *Verdict) addEdits(docs []document.Document, edits func(strategy string) int) {
	causes := map[string]map[string]bool{}
	for _, d := range docs {
		id, _ := d.Fields["strategy_id"].(string)
		if cause, _ := d.Fields["cause"].(string); strings.HasPrefix(cause, "edit:") {
			if causes[id] == nil {
				causes[id] = map[string]bool{}
			}
			causes[id][cause] = true
		}
	}
	for id, c := range causes {
		v.SignalsDuplicate += max(0, len(c)-edits(id))
	}
}

// Findings says in words what is wrong, nothing if all is well.
func (v Verdict) Findings() []string {
	var found []string
	for text, n := range map[string]int{
		"requests lost: neither done nor dead-lettered, or done without a current snapshot": v.Lost,
		"signals twice: for one cause, for one edit, or two open ones":                      v.SignalsDuplicate,
		"users whose open buys passed their buying power":                                   v.Overspent,
		"reservations that are never released":                                              v.Leaked,
		"requests published again":                                                          v.RequestsAgain,
		"requests that a tick should have had":                                              v.Missing,
		"users without a signal or a denial, though their account called for one":           v.Silent,
		"ticks or changes given up":                                                         v.Buried,
		"snapshots in which an older observation replaced a newer one":                      v.Regressed,
	} {
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, text))
		}
	}
	slices.Sort(found)
	return found
}
