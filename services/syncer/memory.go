package syncer

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

const (
	sharedFor  = 60                      // ticks for which this instance takes it that others sync the same users, after it saw one do so
	doubtedFor = 2 * tick.HeartbeatEvery // ticks for which heartbeats may have been missed, after the platform had trouble
)

// memory is what this instance knows to have been stored of each user last. It may be wrong, since other instances write
// too: a write on it has its version as the precondition, and a heartbeat, by the tick's arithmetic, comes whatever is
// remembered. So it saves reads, and decides nothing.
type memory struct {
	last   *otter.Cache[string, last]
	shared atomic.Int64 // the last tick at which it was wrong
	doubt  atomic.Int64 // the last tick of which a request was not done
}

// last is a user's snapshot as it was stored last, and whether there were open orders.
type last struct {
	account.Snapshot
	ordering bool
}

func newMemory(users int) (*memory, error) {
	if users == 0 {
		return &memory{}, nil
	}
	cache, err := otter.New(&otter.Options[string, last]{MaximumSize: users})
	return &memory{last: cache}, err
}

// recall is the user's snapshot as it was stored last, as far as is known.
func (m *memory) recall(userID string) (last, bool) {
	if m.last == nil {
		return last{}, false
	}
	return m.last.GetIfPresent(userID)
}

// keep notes what is stored, under a version; without one the next write could not be told from somebody else's.
func (m *memory) keep(s account.Snapshot, version time.Time, ordering bool) {
	if m.last == nil {
		return
	}
	if version.IsZero() {
		m.forget(s.UserID)
		return
	}
	s = s.WithoutDetail()
	s.Version = version
	s.Raw, s.KeyPath, s.ContentHash, s.TraceParent = nil, "", "", "" // not compared
	m.last.Set(s.UserID, last{s, ordering})
}

// forget is for a user without a snapshot, or with one of an unknown version.
func (m *memory) forget(userID string) {
	if m.last != nil {
		m.last.Invalidate(userID)
	}
}

// wrong notes, after a conflict, that somebody else had written, unless it was another sync of this instance.
func (m *memory) wrong(believed account.Snapshot, t tick.Tick) {
	if l, ok := m.recall(believed.UserID); ok && l.Version.Equal(believed.Version) {
		m.shared.Store(int64(t))
	}
}

// undone notes that a request was nacked or came too late: its heartbeat may be missing.
func (m *memory) undone(t tick.Tick) { m.doubt.Store(int64(t)) }

// missed says whether a heartbeat that is not remembered is to be taken for missed: if this instance seems to write for its
// users alone, or if the platform had trouble just now. Otherwise another instance has written it.
func (m *memory) missed(t tick.Tick) bool {
	return int64(t)-m.shared.Load() > sharedFor || int64(t)-m.doubt.Load() <= doubtedFor
}
