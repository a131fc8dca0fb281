package fanout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/tick"
)

// slices of the spread: a page is published when the first of its users' moments has come.
const spreadSlices = 20

// waiting is one user who is due, and when within the minute: by a hash, always the same.
type waiting struct {
	entry roster.Entry
	phase uint32
}

func (w waiting) cursor() string { return fmt.Sprintf("%08x/%s", w.phase, w.entry.UserID) }

// publish publishes what is left of the claimed shards, page by page. On an error it gives the claim back.
func (s *Service) publish(ctx context.Context, claim tick.Claim, shards []roster.Shard) error {
	due, err := s.due(ctx, claim, shards)
	if err != nil {
		return s.giveBack(ctx, claim, err)
	}
	for done := false; !done; done = claim.Cursor == "" {
		end := s.pageEnd(due)
		page, rest := due[:end], due[end:]
		next := ""
		if len(rest) > 0 {
			next = page[len(page)-1].cursor()
		}
		if len(page) > 0 && !s.waitFor(ctx, claim.Tick, page[0].phase) {
			return s.giveBack(ctx, claim, fmt.Errorf("tick %s: stopped before its spread was over: %w", claim.Tick, context.Cause(ctx)))
		}
		entries := make([]roster.Entry, len(page))
		for i, w := range page {
			entries[i] = w.entry
		}
		if claim, err = s.publishPage(ctx, claim, entries, next); err != nil {
			return s.giveBack(ctx, claim, err)
		}
		due = rest
	}
	return nil
}

// due are the users of the shards who are to be asked for, after the claim's cursor, in the order of their phase.
func (s *Service) due(ctx context.Context, claim tick.Claim, shards []roster.Shard) ([]waiting, error) {
	lists := make([][]waiting, len(shards))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, head := range shards {
		g.Go(func() error {
			shard, err := s.reload(ctx, head)
			if err != nil {
				return err
			}
			lists[i], err = s.dueOf(ctx, claim, shard)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	due := slices.Concat(lists...)
	slices.SortFunc(due, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.entry.UserID, b.entry.UserID))
	})
	return due, nil
}

// reload: of a shard that another tick has written meanwhile, the newer form is as good.
func (s *Service) reload(ctx context.Context, head roster.Shard) (roster.Shard, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/4)
	defer cancel()
	if head.Packed != "" {
		return head, nil
	}
	shard, err := s.load(ctx, head)
	if err != nil {
		return s.load(ctx, roster.Shard{ID: head.ID})
	}
	return shard, nil
}

func (s *Service) dueOf(ctx context.Context, claim tick.Claim, shard roster.Shard) ([]waiting, error) {
	open := s.hours(ctx, claim.Tick)
	list := make([]waiting, 0, shard.Users)
	for e, err := range roster.Entries(shard.Packed) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w: delete rosters/index, and the next tick builds the roster anew", shard, err)
		}
		e.CadenceMinutes = s.cadence(e)
		if !claim.Tick.Due(e.UserID, e.CadenceMinutes) || !e.Rested(claim.Tick) || !open(e) {
			continue
		}
		if w := (waiting{e, uint32(roster.Hash(e.UserID))}); claim.Cursor == "" || w.cursor() > claim.Cursor {
			list = append(list, w)
		}
	}
	return list, nil
}

// hours asks once for each kind of hours and cadence. A user who is due every n minutes is due once more after the close,
// since the closing minute may lie between two of the user's ticks.
func (s *Service) hours(ctx context.Context, t tick.Tick) func(roster.Entry) bool {
	type kind struct {
		hours   market.Hours
		cadence int
	}
	known := map[kind]bool{}
	return func(e roster.Entry) bool {
		k := kind{e.SyncHours, e.CadenceMinutes}
		open, ok := known[k]
		if !ok {
			open = s.Open(ctx, t.Time(), k.hours) || (k.cadence > 1 && s.Open(ctx, (t-tick.Tick(k.cadence-1)).Time(), k.hours))
			known[k] = open
		}
		return open
	}
}

// cadence: whoever has no strategy to feed, and no reader of the predecessor's, who wants a snapshot of the last 300 s, is
// synced less often, unless the user's document says how often.
func (s *Service) cadence(e roster.Entry) int {
	switch {
	case e.CadenceMinutes > 0:
		return e.CadenceMinutes
	case e.Trades, s.cfg.Legacy.Covers(e.UserID, e.TenantID):
		return 1
	}
	return s.cfg.IdleCadence
}

// pageEnd is where the page ends: after so many users, or where the next slice of the spread begins.
func (s *Service) pageEnd(due []waiting) int {
	end := min(s.cfg.PageSize, len(due))
	if s.cfg.Spread == 0 || end == 0 {
		return end
	}
	const slice = 1 << 32 / spreadSlices
	if n := slices.IndexFunc(due[:end], func(w waiting) bool { return w.phase/slice != due[0].phase/slice }); n > 0 {
		return n
	}
	return end
}

// waitFor waits until the moment of a phase; false if ctx ends first.
func (s *Service) waitFor(ctx context.Context, t tick.Tick, phase uint32) bool {
	at := t.Time().Add(time.Duration(float64(phase) / (1 << 32) * float64(s.cfg.Spread)))
	wait := at.Sub(s.Now())
	if s.cfg.Spread == 0 || wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(min(wait, s.cfg.Spread))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// publishPage publishes the requests of a page and records it.
func (s *Service) publishPage(ctx context.Context, claim tick.Claim, page []roster.Entry, next string) (tick.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hold/2)
	defer cancel()
	requests := make([]event.Event, 0, len(page))
	for _, e := range page {
		r, err := event.SyncRequest{
			UserID: e.UserID, Tick: claim.Tick.String(), CadenceMinutes: e.CadenceMinutes, BrokerEnv: e.BrokerEnv, KeyVersion: e.KeyVersion,
			Health: e.Health, SlotMinutes: e.SlotMinutes, TenantID: e.TenantID,
		}.Event()
		if err != nil {
			return claim, fmt.Errorf("sync request of user %s: %w", e.UserID, err)
		}
		requests = append(requests, r)
	}
	if len(requests) > 0 {
		if err := s.Requests.Publish(ctx, requests...); err != nil {
			return claim, fmt.Errorf("publish tick %s after %q: %w", claim.Tick, claim.Cursor, err)
		}
	}
	return s.Ledger.Advance(ctx, claim, next, len(requests), s.heldUntil())
}
