package secret

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Outcome is what became of one user's move.
type Outcome string

// The outcomes.
const (
	Moved  Outcome = "moved"   // the keys were stored in the target, and read back
	There  Outcome = "there"   // the target had the same keys before, or newer ones
	NoKeys Outcome = "no_keys" // neither has any
)

// looks is how often a user is looked at whose keys change meanwhile.
const looks = 5

// Mover moves users' keys from one vault to another, under the same versions. It may be stopped at any point, and begun anew:
// the source is not touched before the target's keys were read.
type Mover struct {
	From, To Keeper
	// Raise notes a version that is higher than what is known of the user. nil: nobody is told.
	Raise func(ctx context.Context, userID, version string) error
	// Known is the version that the user's document names now. It is asked before keys are taken out of the source. nil: nobody
	// knows.
	Known  func(ctx context.Context, userID string) (version string, err error)
	Prune  bool // take the keys out of the source
	DryRun bool // change nothing, and tell what would be done
}

// Move is what became of a user's keys.
type Move struct {
	Outcome Outcome
	Version string // in the target
	Pruned  bool   // the source had keys, and has them no longer
}

// Move moves one user's keys. known is the version that the user's document names, if it does. Whoever stores newer keys
// meanwhile, in either vault, is not overwritten: each round looks at both, and the last one has changed nothing.
func (m *Mover) Move(ctx context.Context, userID, known string) (Move, error) {
	r, settled := Move{Outcome: There}, "none"
	for range looks {
		source, version, err := newestOf(ctx, m.From, userID, known)
		if errors.Is(err, ErrNotFound) {
			return m.without(ctx, userID, known, r)
		}
		if err != nil {
			return r, fmt.Errorf("source: %w", err)
		}
		if Number(version) == 0 {
			return r, fmt.Errorf("source: the keys of user %s are of version %.40q, which is no number: %w", userID, version, ErrByHand)
		}
		target, has, err := newestOf(ctx, m.To, userID, later(known, version))
		there := err == nil && Number(has) >= Number(version)
		// A Put that was stopped may have left our keys above others' newer ones, or a destroyed version: it is called again, once.
		left := (errors.Is(err, ErrDisabled) || there && has != version && target.Same(source)) && settled != has && !m.DryRun
		switch {
		case left:
			settled = has
		case err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrMalformed):
			return r, fmt.Errorf("target: %w", err)
		case there && has == version && !target.Same(source):
			return r, fmt.Errorf("user %s has other keys in the target under the same version, %s: store the right ones under a version of their own: %w", userID, version, ErrByHand)
		case there:
			if r.Version = has; m.DryRun {
				r.Pruned = m.Prune
				return r, nil
			}
			if err := m.told(ctx, userID, known, has); err != nil {
				return r, err
			}
			if !m.Prune {
				return r, nil
			}
			now, err := m.knows(ctx, userID, known)
			if err != nil {
				return r, err
			}
			if now != known {
				known = now
				continue
			}
			err = m.From.Remove(ctx, userID, version)
			if errors.Is(err, ErrNewer) {
				continue
			}
			if r.Pruned = err == nil; err != nil {
				err = fmt.Errorf("the keys are in the target, and can't be taken out of the source: %w", err)
			}
			return r, err
		case m.DryRun:
			return Move{Outcome: Moved, Version: version, Pruned: m.Prune}, nil
		}
		switch put := m.To.Put(ctx, userID, source, version); {
		case put == nil:
			r.Outcome = Moved
		case !errors.Is(put, ErrNewer):
			return r, fmt.Errorf("target: %w", put)
		case errors.Is(err, ErrMalformed):
			return r, fmt.Errorf("target: remove what is there and move again: %w", err)
		}
	}
	return r, fmt.Errorf("the keys of user %s changed %d times meanwhile: move the user again: %w", userID, looks, ErrByHand)
}

// without is a user of whom the source has nothing: moved before, or without keys.
func (m *Mover) without(ctx context.Context, userID, known string, r Move) (Move, error) {
	_, has, err := newestOf(ctx, m.To, userID, known)
	switch {
	case errors.Is(err, ErrNotFound):
		return Move{Outcome: NoKeys}, nil
	case err != nil:
		return r, fmt.Errorf("target: %w", err)
	}
	r.Version = has
	if m.DryRun {
		return r, nil
	}
	return r, m.told(ctx, userID, known, has)
}

// knows is what is known of a user by now, if that is newer.
func (m *Mover) knows(ctx context.Context, userID, known string) (string, error) {
	if m.Known == nil {
		return known, nil
	}
	now, err := m.Known(ctx, userID)
	return later(known, now), err
}

// told raises what is known of a user.
func (m *Mover) told(ctx context.Context, userID, known, version string) error {
	if m.Raise == nil || Number(known) >= Number(version) {
		return nil
	}
	return m.Raise(ctx, userID, version)
}

// newestOf is a vault's newest version: Latest may lag behind, so the known one and those after it are asked for by number.
func newestOf(ctx context.Context, v Vault, userID, known string) (Credentials, string, error) {
	creds, got, err := v.Credentials(ctx, userID, Latest)
	if err != nil {
		return creds, got, err
	}
	if Number(known) > Number(got) {
		newer, n, err := v.Credentials(ctx, userID, known)
		if err == nil {
			creds, got = newer, n
		} else if !errors.Is(err, ErrNotFound) {
			return newer, n, err
		}
	}
	for Number(got) > 0 {
		newer, n, err := v.Credentials(ctx, userID, strconv.FormatInt(Number(got)+1, 10))
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil || Number(n) <= Number(got) {
			return creds, got, err
		}
		creds, got = newer, n
	}
	return creds, got, nil
}

func later(a, b string) string {
	if Number(a) > Number(b) {
		return a
	}
	return b
}
