// Package local runs the whole platform in one process, for a newcomer's first look and for tests that want all of it.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// drainLimit ends the wait for what is under way: a hung broker call takes 10 s, a few deliveries of it a minute.
const drainLimit = 90 * time.Second

// tuneGC trades memory for CPU: broker, services and Google's side share one heap here, which is mostly garbage of
// requests. The limit keeps 10,000 users well under 1 GiB.
func tuneGC() (restore func()) {
	percent, limit := debug.SetGCPercent(400), debug.SetMemoryLimit(640<<20)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// Run seeds the platform, ticks, drains, and lets the oracle judge. Cancelling ctx ends the ticking, not the drain.
// show, which may be nil, is told about each tick as it goes; done says that it is over.
func Run(ctx context.Context, opts Options, log *slog.Logger, show func(c Progress)) (Report, error) {
	if err := opts.Validate(); err != nil {
		return Report{}, err
	}
	began := time.Now()
	defer tuneGC()()
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p, err := start(life, opts, log)
	if err != nil {
		return Report{}, err
	}
	defer p.close()
	if show == nil {
		show = func(Progress) {}
	}
	last, n, err := p.tickAll(ctx, life, show)
	if err != nil {
		return Report{}, err
	}
	p.drain(life)
	p.show(last, true, show)
	r := p.report(n, began)
	v, err := p.judge(life)
	if err != nil {
		return Report{}, err
	}
	r.judge(v)
	r.byStrategy(p)
	if r.Health, err = p.health(life); err != nil {
		return Report{}, err
	}
	if opts.Users == 0 {
		for _, n := range r.Health {
			r.Users += n
		}
	}
	if opts.chaos != nil {
		if err := opts.chaos.judge(life, p); err != nil {
			return Report{}, err
		}
	}
	r.TickToSnapshot, r.TickToSignal = quantiles(p.meter.snapshot), quantiles(p.meter.signal)
	return r, nil
}

// tickAll publishes the ticks, Interval apart, or at each full minute where the processes know the real time only.
func (p *platform) tickAll(ctx, life context.Context, show func(Progress)) (last tick.Tick, n int, err error) {
	began := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	<-next.C
	live := time.NewTicker(100 * time.Millisecond)
	defer live.Stop()
	for n = 1; ; n++ {
		if last != 0 {
			p.show(last, true, show)
		}
		if p.opts.chaos != nil {
			p.check(life, last, n-1)
			p.opts.chaos.before(n, p.opts.Ticks)
		}
		last = tick.Of(p.step())
		p.oracle.forget(last - 10)
		p.meter.begin(last)
		p.oracle.ticked(last)
		if err := p.ticks.Publish(life, event.New("tick/"+last.String(), event.TypeTick, "scheduler", "")); err != nil {
			return last, n, fmt.Errorf("publish tick %s: %w", last, err)
		}
		if n == editTick && p.owners != nil {
			if err := p.edit(life); err != nil {
				return last, n, err
			}
		}
		if n == p.opts.Ticks {
			return last, n, nil
		}
		next.Reset(p.untilTick(began, n))
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return last, n, nil
			case <-next.C:
				waiting = false
			case <-live.C:
				p.show(last, false, show)
			}
		}
	}
}

// edit lets the owners save their strategies once more.
func (p *platform) edit(ctx context.Context) error {
	for n := range p.accounts {
		if err := p.owners.edit(ctx, p.strategies(n)); err != nil {
			return fmt.Errorf("edit the strategies of user %s: %w", p.accounts[n].userID, err)
		}
	}
	return nil
}

// untilTick is how long it is until the tick after the n-th.
func (p *platform) untilTick(began time.Time, n int) time.Duration {
	if p.opts.Binaries != "" {
		return time.Until(time.Now().Truncate(time.Minute).Add(time.Minute))
	}
	return time.Until(began.Add(time.Duration(n) * p.opts.Interval))
}

// drain waits until nothing is under way: several looks in a row, since one thing causes another.
func (p *platform) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, drainLimit, errors.New("drain"))
	defer cancel()
	looks := 5
	if p.opts.Binaries != "" {
		looks = 50 // what is between two other processes can't be seen from here
	}
	for quiet := 0; quiet < looks; {
		select {
		case <-ctx.Done():
			return // what is left counts as lost
		case <-time.After(20 * time.Millisecond):
		}
		if quiet++; p.pending() > 0 || p.oracle.open() > 0 {
			quiet = 0
		}
	}
}
