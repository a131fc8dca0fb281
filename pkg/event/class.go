// Package event is how events come in and go out: binary-mode CloudEvents over HTTP from Pub/Sub push and from
// Eventarc, one handler for both, and one place where an error becomes an ack or a nack.
package event

import (
	"context"
	"errors"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Event is a CloudEvent.
type Event = event.Event

// Handler does what an event asks for. Its error's Class decides what becomes of the event.
type Handler func(ctx context.Context, e Event) error

// Publisher sends events to one topic.
type Publisher interface {
	// Publish returns nil once the topic has taken all events. On an error some may have been taken, and the
	// caller's own record must allow for sending them again.
	Publish(ctx context.Context, events ...Event) error
}

// Class is what becomes of an event.
type Class string

// The classes. An error without one is Retry: what we did not think of must not lose an event.
const (
	Done    Class = "done"    // ack
	Settled Class = "settled" // ack: it failed for one user's reasons, and a later event is the retry
	Dropped Class = "dropped" // ack: it is too old, or overtaken
	Poison  Class = "poison"  // ack: it can never be understood; a copy with the reason goes to the dead letters
	Busy    Class = "busy"    // nack: another delivery of it is at work; it comes again in case that one dies
	Retry   Class = "retry"   // nack: our own trouble; it is delivered again
)

type classed struct {
	class Class
	err   error
}

func (c *classed) Error() string { return c.err.Error() }
func (c *classed) Unwrap() error { return c.err }

// Settle marks an error that is the user's own: acknowledged, since the next tick is the retry.
func Settle(err error) error { return &classed{Settled, err} }

// Drop marks an event that is not worth doing any more.
func Drop(err error) error { return &classed{Dropped, err} }

// Reject marks an event that can never be understood.
func Reject(err error) error { return &classed{Poison, err} }

// Defer marks an event that another delivery is working on.
func Defer(err error) error { return &classed{Busy, err} }

// ClassOf is the class of a handler's answer.
func ClassOf(err error) Class {
	if err == nil {
		return Done
	}
	var c *classed
	if errors.As(err, &c) {
		return c.class
	}
	return Retry
}
