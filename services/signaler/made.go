package signaler

import (
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/strategy"
)

// mostMade bounds what is remembered: about 1 KB each.
const mostMade = 20_000

// made are the strategies of documents that were read before: to check all parameters anew costs a good part of a decision.
type made struct {
	mu  sync.Mutex
	all map[version]strategy.Strategy
}

// version is a strategy's document as it stood at a time.
type version struct {
	userID, id string
	at         time.Time
}

// of is strategy.New.
func (m *made) of(d strategy.Definition) (strategy.Strategy, error) {
	if d.UpdatedAt.IsZero() {
		return strategy.New(d)
	}
	v := version{d.UserID, d.ID, d.UpdatedAt.UTC()}
	m.mu.Lock()
	s := m.all[v]
	m.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := strategy.New(d)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil || len(m.all) >= mostMade {
		m.all = map[version]strategy.Strategy{}
	}
	m.all[v] = s
	return s, nil
}

// broken is a document that can't be run: it says why.
type broken struct{ err error }

func (broken) Triggers() strategy.Triggers { return strategy.Triggers{} }

func (broken) Needs() strategy.Needs { return strategy.Needs{} }

func (b broken) Decide(strategy.Input) (strategy.Decision, error) {
	return strategy.Decision{}, &strategy.Denial{Code: "STRATEGY_INVALID", Reason: strategy.Head(b.err.Error(), maxFault)}
}

// maxFault bounds what is said of a document, bytes.
const maxFault = 1000
