package local

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// editTick is the tick, from 1, in which owners save their strategies once more.
const editTick = 3

// owners stand in for some of the users: an executor for each, which writes words on signals as docs/executors.md has it,
// some as odd clients do; and one edit of each strategy. No order is sent: the broker never shows any.
type owners struct {
	db     document.DB
	store  *store.Store
	oracle *oracle
	share  float64
	seed   uint64
	delay  time.Duration // of a word, at most
	now    func() time.Time

	life          context.Context //nolint:containedctx // of the run, for what comes later than the call
	busy          sync.WaitGroup
	pending       atomic.Int64
	reads, writes atomic.Int64

	mu    sync.Mutex
	words Words
}

// Words are what the executors did.
type Words struct {
	Executed int `json:"executed"`
	Rejected int `json:"rejected"`
	Odd      int `json:"odd"`  // a status that is none
	Late     int `json:"late"` // expired, superseded or spoken of before it was claimed: left alone
}

// has says whether a user has an executor.
func (o *owners) has(userID string) bool { return o != nil && o.roll(userID).Float64() < o.share }

func (o *owners) roll(id string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return rand.New(rand.NewPCG(h.Sum64(), o.seed))
}

// see takes a new signal that trades.
func (o *owners) see(userID, path string) {
	if !o.has(userID) {
		return
	}
	r := o.roll(path)
	after := time.Duration(r.Float64() * float64(o.delay))
	o.pending.Add(1)
	o.busy.Go(func() {
		defer o.pending.Add(-1)
		select {
		case <-time.After(after):
			o.act(path, word(r))
		case <-o.life.Done():
		}
	})
}

// word is what an executor writes: mostly what it should.
func word(r *rand.Rand) any {
	words := []any{"executed", "executed", "executed", "executed", "EXECUTED", " Executed ", "rejected", "Rejected\n", "filled", int64(2)}
	return words[r.IntN(len(words))]
}

// act claims a signal, in a transaction that sees it pending and in time.
func (o *owners) act(path string, status any) {
	claimed := false
	err := o.db.Transact(o.life, func(ctx context.Context, tx document.Tx) error {
		claimed = false
		o.reads.Add(1)
		d, err := tx.Get(ctx, path)
		if err != nil {
			return err
		}
		expires, ok := d.Fields["expires_at"].(time.Time)
		if claimed = ok && d.Fields["status"] == "pending" && o.now().Before(expires); !claimed {
			return nil
		}
		return tx.Update(path, document.Fields{"status": status})
	})
	if err != nil {
		return // it is left pending, and expires
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	text, _ := status.(string)
	text = strings.ToLower(strings.TrimSpace(text))
	if claimed {
		o.writes.Add(1)
	}
	switch {
	case !claimed:
		o.words.Late++
	case text == "executed":
		o.words.Executed++
	case text == "rejected":
		o.words.Rejected++
	default:
		o.words.Odd++
	}
}

// edit saves a user's strategies once more, as they are.
func (o *owners) edit(ctx context.Context, definitions []strategy.Definition) error {
	for _, d := range definitions {
		if !o.has(d.UserID) {
			continue
		}
		o.oracle.edited(d.UserID, d.ID)
		o.writes.Add(1)
		if err := o.store.PutStrategy(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (o *owners) count() Words {
	if o == nil {
		return Words{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.words
}

// underway is the words that are yet to be written.
func (o *owners) underway() int {
	if o == nil {
		return 0
	}
	return int(o.pending.Load())
}

func (o *owners) wait() {
	if o != nil {
		o.busy.Wait()
	}
}
