package mem

import (
	"context"
	"sync"
)

// Queue is a Delivery that takes messages without ever making their source wait. Safe for concurrent use.
type Queue struct {
	delivery *Delivery

	mu      sync.Mutex
	waiting []func() Message
	pending int // waiting, or handed to the delivery and not settled
	wake    chan struct{}
	done    chan struct{}
}

// StartQueue delivers what is added, in that order as far as cfg allows, until ctx ends.
func StartQueue(ctx context.Context, cfg DeliveryConfig) *Queue {
	q := &Queue{delivery: NewDelivery(cfg), wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run(ctx)
	return q
}

// Add takes a message, which is made when its turn comes.
func (q *Queue) Add(message func() Message) {
	q.mu.Lock()
	q.waiting = append(q.waiting, message)
	q.pending++
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Pending is the number of messages that are not settled yet.
func (q *Queue) Pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending
}

// Attempts is the number of requests made.
func (q *Queue) Attempts() int64 { return q.delivery.Attempts() }

// Close ends the delivery; call it after ctx has ended.
func (q *Queue) Close() {
	<-q.done
	q.delivery.Close()
}

func (q *Queue) run(ctx context.Context) {
	defer close(q.done)
	for {
		q.mu.Lock()
		batch := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		for _, message := range batch {
			if q.delivery.Send(ctx, q.counted(message())) != nil {
				return // ctx ended, or closed
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (q *Queue) counted(m Message) Message {
	settled := m.Settled
	m.Settled = func(delivered bool, attempts int) {
		q.mu.Lock()
		q.pending--
		q.mu.Unlock()
		if settled != nil {
			settled(delivered, attempts)
		}
	}
	return m
}
