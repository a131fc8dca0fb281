package deadletter

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Box holds the letters that wait for review.
type Box interface {
	// Pull returns at most n letters, and hides them from other readers until they are acknowledged or the box is
	// closed. None: none waits just now. A letter may come twice.
	Pull(ctx context.Context, n int) ([]Message, error)
	// Ack takes letters, by their ids, out of the box for good.
	Ack(ctx context.Context, ids ...string) error
}

// Bounds of what is held in memory at once.
const (
	MaxLetters = 10_000
	maxBytes   = 256 << 20
	pullAtOnce = 500
	quiet      = 2 // pulls in a row that bring nothing, before the box counts as read: one may miss what waits
)

// Scan reads the box, oldest letter first. more says that it stopped at a bound before the end. see is told how many
// letters there are so far.
func Scan(ctx context.Context, b Box, see func(n int)) (letters []Letter, more bool, err error) {
	known := map[string]bool{}
	bytes := 0
	for empty := 0; empty < quiet; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if len(letters) >= MaxLetters || bytes >= maxBytes {
			more = true
			break
		}
		messages, err := b.Pull(ctx, min(pullAtOnce, MaxLetters-len(letters)))
		if err != nil {
			return nil, false, err
		}
		empty++
		for _, m := range messages {
			if known[m.ID] {
				continue
			}
			known[m.ID], empty = true, 0
			letters = append(letters, Parse(m))
			bytes += len(m.Data)
		}
		see(len(letters))
	}
	slices.SortStableFunc(letters, func(a, b Letter) int {
		if c := a.Buried.Compare(b.Buried); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return letters, more, nil
}

// Age is how long ago the letter was buried.
func (l Letter) Age(now time.Time) time.Duration { return max(0, now.Sub(l.Buried)) }
