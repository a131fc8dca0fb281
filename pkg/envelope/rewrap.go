package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Rewrapper wraps data keys anew, under the version of To's key that wraps today. The data keys stay the same, so no envelope
// changes. It may be stopped at any point, and begun anew.
type Rewrapper struct {
	DB     document.DB
	To     Wrapper
	From   Wrapper // the key that data keys may be wrapped by besides; nil: To's alone
	DryRun bool
}

// All calls told with each data key, in the order of the ids: rewrapped, or already as it should be, or why not.
func (r *Rewrapper) All(ctx context.Context, told func(id string, done bool, err error)) error {
	const page = 100
	for after := ""; ; {
		docs, err := r.DB.Query(ctx, document.Query{Collection: DataKeys, After: after, Limit: page})
		if err != nil {
			return fmt.Errorf("list %s after %q: %w", DataKeys, after, err)
		}
		for _, d := range docs {
			done, err := r.Rewrap(ctx, d.ID())
			if ctx.Err() != nil {
				return ctx.Err()
			}
			told(d.ID(), done, err)
			after = d.ID()
		}
		if len(docs) < page {
			return nil
		}
	}
}

// Rewrap is for one data key; done is false if there was nothing to do. What is written was unwrapped again before.
func (r *Rewrapper) Rewrap(ctx context.Context, id string) (done bool, err error) {
	for range conflicts {
		s, err := readKey(ctx, r.DB, id)
		if err != nil {
			return false, err
		}
		by := r.To
		switch {
		case s.by == r.To.Key():
		case r.From != nil && s.by == r.From.Key():
			by = r.From
		default:
			return false, fmt.Errorf("%s is wrapped by the key %.300q, and not by %q: name it with --from if it is trusted", DataKeyPath(id), s.by, r.To.Key())
		}
		k, current, err := s.open(ctx, id, by)
		if err != nil {
			return false, err
		}
		if by == r.To && current && s.print != "" {
			k.Wipe()
			return false, nil
		}
		if r.DryRun {
			k.Wipe()
			return true, nil
		}
		err = r.write(ctx, id, s, k)
		k.Wipe()
		if !errors.Is(err, document.ErrConflict) {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("%s: %d writers got in between", DataKeyPath(id), conflicts)
}

func (r *Rewrapper) write(ctx context.Context, id string, s storedKey, k *dataKey) error {
	wrapped, err := r.To.Wrap(ctx, k.raw, boundKey(id))
	if err != nil {
		return fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	again, _, err := storedKey{wrapped: wrapped, print: k.print}.open(ctx, id, r.To)
	if err != nil {
		return fmt.Errorf("what was wrapped does not open, nothing was changed: %w", err)
	}
	same := bytes.Equal(again.raw, k.raw)
	if again.Wipe(); !same {
		return fmt.Errorf("%s: what was wrapped opens as something else, nothing was changed", DataKeyPath(id))
	}
	_, err = r.DB.Update(ctx, DataKeyPath(id), document.Fields{
		"wrapped": wrapped, "kms_key": r.To.Key(), "fingerprint": k.print, "rewrapped_at": document.ServerTime,
	}, s.at)
	if err != nil {
		return fmt.Errorf("%s: %w", DataKeyPath(id), err)
	}
	return nil
}
