package deadletter

import (
	"slices"
	"strings"
	"time"
)

// Filter picks letters: those that fit all of what is set.
type Filter struct {
	IDs    []string // of the letter, or of the event in it
	Class  string
	Type   string // the event's type in full, or its kind
	User   string
	Reason string // a part of it, in any case
	Older  time.Duration
}

// Empty says that it picks every letter.
func (f Filter) Empty() bool {
	return len(f.IDs) == 0 && f.Class == "" && f.Type == "" && f.User == "" && f.Reason == "" && f.Older == 0
}

// Match says whether a letter fits.
func (f Filter) Match(l Letter, now time.Time) bool {
	return (len(f.IDs) == 0 || slices.ContainsFunc(f.IDs, l.Is)) &&
		(f.Class == "" || l.Class == f.Class) &&
		(f.Type == "" || l.Type == f.Type || l.Kind == f.Type) &&
		(f.User == "" || l.UserID == f.User) &&
		(f.Reason == "" || strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason))) &&
		(f.Older == 0 || now.Sub(l.Buried) > f.Older)
}

// Is says whether an id is the letter's, or the event's in it, which may be in several letters.
func (l Letter) Is(id string) bool { return id != "" && (l.ID == id || l.EventID == id) }

// Unmatched are the filter's ids that no letter has.
func (f Filter) Unmatched(letters []Letter) []string {
	var ids []string
	for _, id := range f.IDs {
		if !slices.ContainsFunc(letters, func(l Letter) bool { return l.Is(id) }) {
			ids = append(ids, id)
		}
	}
	return ids
}
