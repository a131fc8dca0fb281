package market

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	fetchLimit   = 15 * time.Second // of one fetch, pages included; nobody waits longer than their own context
	failureHold  = 10 * time.Second // a failure is remembered
	refusalHold  = time.Hour        // a symbol that the source refuses is
	rounds       = 3                // a caller waits for somebody else's fetch, their own, and one more where a minute ends in between
	isolateLimit = 20               // requests to find who in a refused one is to blame: enough for one of 500
)

// pool gathers the symbols that are asked for, and fetches all that are due together, one fetch at a time.
type pool[T any] struct {
	now  func() time.Time
	most int           // symbols
	room int           // of all their wants; 0: no bound
	idle time.Duration // a symbol that nobody asked for in so long is forgotten

	mu      sync.Mutex
	entries map[string]*entry[T]
	wants   int           // of all entries
	flight  chan struct{} // closed when the running fetch ends; nil: none runs
}

// entry is what is known of a symbol.
type entry[T any] struct {
	value  T
	known  bool
	mark   int64     // the period that it was fetched in, or for; 0: never
	wanted time.Time // last
	fault  error     // why it could not be fetched
	until  time.Time // not fetched before

	want, depth int       // how many are asked for, and how many were
	again       time.Time // when it is fetched once more for the same period; zero: it is not
	tries       int
	missing     time.Time // the beginning of a bar that should be there; zero: none is missing
	asked       time.Time // when it was last fetched
}

// get returns when none of the symbols is due, their fetch failed, or ctx ends; the error is about what is still due. With
// the pool locked, want notes what the caller wants of an entry, due says whether it is to be fetched; fetch is
// called without.
func (p *pool[T]) get(ctx context.Context, symbols []string, want func(*entry[T]), due func(string, *entry[T]) bool, fetch func(context.Context, []string) error) error {
	for range rounds {
		p.mu.Lock()
		full := p.note(symbols, want)
		if !slices.ContainsFunc(symbols, func(s string) bool { return p.due(s, due) }) {
			err := errors.Join(full, p.faults(symbols))
			p.mu.Unlock()
			return err
		}
		if p.flight == nil {
			p.start(ctx, due, fetch)
		}
		flight := p.flight
		p.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return fmt.Errorf("market data of %v: %w", symbols, ctx.Err())
		}
	}
	return fmt.Errorf("market data of %v: always behind", symbols)
}

// start fetches all that is due. The others wait for it too: it must not end with the first caller.
func (p *pool[T]) start(ctx context.Context, due func(string, *entry[T]) bool, fetch func(context.Context, []string) error) {
	p.forget(p.now())
	var list []string
	for s := range p.entries {
		if p.due(s, due) {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	done := make(chan struct{})
	p.flight = done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
	go func() {
		defer cancel()
		err := fetch(ctx, list)
		p.mu.Lock()
		p.settle(list, due, err)
		p.flight = nil
		p.mu.Unlock()
		close(done)
	}()
}

// settle holds off what a fetch did not bring, and nothing else: a symbol in trouble delays no other.
func (p *pool[T]) settle(list []string, due func(string, *entry[T]) bool, err error) {
	for _, s := range list {
		if p.due(s, due) {
			p.entries[s].fault, p.entries[s].until = err, p.now().Add(failureHold)
		}
	}
}

func (p *pool[T]) due(symbol string, due func(string, *entry[T]) bool) bool {
	e := p.entries[symbol]
	return e != nil && !p.now().Before(e.until) && due(symbol, e)
}

// note keeps who is asked for. Where there are too many, those make room that nobody has asked for the longest: no user can
// take the others' data away for good. Of symbols that are too many by themselves, the last are left out.
func (p *pool[T]) note(symbols []string, want func(*entry[T])) error {
	now := p.now()
	for _, s := range symbols {
		e := p.entries[s]
		if e == nil {
			e = &entry[T]{}
			p.entries[s] = e
		}
		e.wanted = now
		p.wants -= e.want
		want(e)
		p.wants += e.want
	}
	for p.over() {
		oldest := ""
		for s, e := range p.entries {
			if o := p.entries[oldest]; !slices.Contains(symbols, s) && (o == nil || e.wanted.Before(o.wanted) || (e.wanted.Equal(o.wanted) && s < oldest)) {
				oldest = s
			}
		}
		if oldest == "" {
			break
		}
		p.drop(oldest)
	}
	kept := len(symbols)
	for ; kept > 0 && p.over(); kept-- {
		p.drop(symbols[kept-1])
	}
	if kept < len(symbols) {
		return fmt.Errorf("market data of %v: %w: more than an instance keeps", symbols[kept:], ErrRejected)
	}
	return nil
}

func (p *pool[T]) over() bool { return len(p.entries) > p.most || (p.room > 0 && p.wants > p.room) }

func (p *pool[T]) drop(symbol string) {
	if e := p.entries[symbol]; e != nil {
		p.wants -= e.want
		delete(p.entries, symbol)
	}
}

func (p *pool[T]) forget(now time.Time) {
	for s, e := range p.entries {
		if now.Sub(e.wanted) > p.idle {
			p.drop(s)
		}
	}
}

// faults is why some of the symbols are not current: each reason once.
func (p *pool[T]) faults(symbols []string) error {
	var errs []error
	for _, s := range symbols {
		if e := p.entries[s]; e != nil && e.fault != nil && !slices.ContainsFunc(errs, func(err error) bool { return err.Error() == e.fault.Error() }) {
			errs = append(errs, e.fault)
		}
	}
	return errors.Join(errs...)
}

// isolate asks for all symbols at once. Where the source refuses that, it asks by halves, so that one symbol that does not
// exist takes nobody else's data away, and holds off those that are refused alone.
func (p *pool[T]) isolate(symbols []string, asks *int, ask func([]string) error) error {
	if len(symbols) == 0 {
		return nil
	}
	err := ask(symbols)
	if !errors.Is(err, ErrRejected) {
		return err
	}
	if len(symbols) == 1 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if e := p.entries[symbols[0]]; e != nil {
			e.fault, e.until = fmt.Errorf("market data of %s: %w", symbols[0], err), p.now().Add(refusalHold)
		}
		return nil
	}
	if *asks < 2 {
		return err
	}
	*asks -= 2
	half := len(symbols) / 2
	return errors.Join(p.isolate(symbols[:half], asks, ask), p.isolate(symbols[half:], asks, ask))
}
