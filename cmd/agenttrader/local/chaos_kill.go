package local

import (
	"context"
	"errors"
	"sync"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// instances is a service of which the running instance can be killed: what it has in work ends without an answer.
type instances struct {
	start func() (event.Handler, error)

	mu      sync.Mutex
	current instance
	killed  int
}

type instance struct {
	handle event.Handler
	life   context.Context //nolint:containedctx // it ends when the instance is killed
	kill   context.CancelFunc
}

var errKilled = errors.New("instance was killed")

func (c *chaos) replaceable(start func() (event.Handler, error)) (event.Handler, error) {
	c.instances.start = start
	if err := c.instances.replace(); err != nil {
		return nil, err
	}
	return c.instances.handle, nil
}

func (i *instances) replace() error {
	handle, err := i.start()
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current.kill != nil {
		i.current.kill()
		i.killed++
	}
	life, kill := context.WithCancel(context.Background())
	i.current = instance{handle, life, kill}
	return nil
}

func (i *instances) handle(ctx context.Context, e event.Event) error {
	i.mu.Lock()
	now := i.current
	i.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(now.life, cancel)() //nolint:contextcheck // the life of another
	defer cancel()
	err := now.handle(ctx, e)
	if now.life.Err() != nil {
		return errKilled // whatever it did, nobody hears of it
	}
	return err
}

// count is how often a syncer was killed.
func (i *instances) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.killed
}
