package mem

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Received is one message that Collect got.
type Received struct {
	ID          string
	Data        []byte
	Attributes  map[string]string
	PublishTime time.Time // UTC
}

// collector keeps the last messages of a topic.
type collector struct {
	source *source
	keep   int

	mu   sync.Mutex
	kept []Received
}

// Collect creates a subscription on the topic that takes and acks all its messages and keeps the last keep of
// them, for Messages to return: a look into a dead-letter topic that does not fill memory in long runs.
func (p *PubSub) Collect(ctx context.Context, topicID, subscriptionID string, keep int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	source, err := p.open(ctx, topicID, subscriptionID)
	if err != nil {
		return err
	}
	c := &collector{source: source, keep: max(keep, 0)}
	p.collect[topicID] = append(p.collect[topicID], c)
	source.pulling.Go(c.take)
	return nil
}

// Messages returns what the topic's first Collect has kept, oldest first by arrival. Nil without a Collect.
func (p *PubSub) Messages(topicID string) []Received {
	p.mu.Lock()
	cs := p.collect[topicID]
	p.mu.Unlock()
	if len(cs) == 0 {
		return nil
	}
	c := cs[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept)
}

func (c *collector) take() {
	for m := range c.source.out {
		c.mu.Lock()
		c.kept = append(c.kept, Received{
			ID: m.Message.MessageId, Data: m.Message.Data,
			Attributes: m.Message.Attributes, PublishTime: m.Message.PublishTime.AsTime(),
		})
		if over := len(c.kept) - c.keep; over > 0 {
			c.kept = slices.Delete(c.kept, 0, over)
		}
		c.mu.Unlock()
		c.source.ack(m.AckId)
	}
}
