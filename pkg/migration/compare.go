package migration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// Match is how a target compares with the source that it should hold.
type Match string

// The outcomes of a comparison. Same and Newer are as they should be.
const (
	Same    Match = "same"
	Newer   Match = "newer"   // the platform, the owner or a later sync has written the target since
	Missing Match = "missing" // there is no target
	Behind  Match = "behind"  // the source was written since
	Differs Match = "differs" // neither is the newer, and they say different things
)

// observed is when a snapshot was read at the broker, or the nearest to it that is known; zero if nothing is.
func observed(f document.Fields) time.Time {
	for _, name := range []string{"observed_at", "updated_at_iso", "syncedAt", "updated_at"} {
		switch v := f[name].(type) {
		case time.Time:
			return v
		case string:
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// ours says whether the platform's syncer has written a snapshot: its count of writes must never be lost.
func ours(f document.Fields) bool { return f["seq"] != nil }

// copyOfSnapshot is what a user's snapshot holds of a legacy one: all of it, times too, so that a copy is no fresher than its source.
func copyOfSnapshot(uid string, source document.Document) document.Fields {
	f := maps.Clone(source.Fields)
	if f == nil {
		f = document.Fields{}
	}
	delete(f, "tenant_id")
	f["user_id"] = uid
	return f
}

// compareSnapshots compares a user's snapshot with a legacy one. field is one that differs.
func compareSnapshots(uid string, source document.Document, target *document.Document) (m Match, field string) {
	if target == nil {
		return Missing, ""
	}
	from, to := observed(source.Fields), observed(target.Fields)
	switch {
	case ours(target.Fields), to.After(from):
		return Newer, ""
	case from.After(to):
		return Behind, ""
	}
	want := copyOfSnapshot(uid, source)
	delete(want, "updated_at") // the predecessor wrote both of one sync, each at its own time
	if field = lacks(target.Fields, want); field != "" {
		return Differs, field
	}
	return Same, ""
}

// copyOfSignal is what a user's signal holds of a legacy one. It never is one to act on: whoever acts on the legacy one must not
// have a second chance at it.
func copyOfSignal(uid string, source document.Document) document.Fields {
	f := maps.Clone(source.Fields)
	if f == nil {
		f = document.Fields{}
	}
	f["user_id"] = uid
	if s, ok := signal.ParseStatus(f["status"]); ok && s == signal.Pending {
		f["status"] = string(signal.Expired)
	}
	return f
}

// compareSignals compares a user's signal with a legacy one. Where somebody has acted, that word counts, on either side.
func compareSignals(uid string, source document.Document, target *document.Document) (m Match, field string) {
	if target == nil {
		return Missing, ""
	}
	want := copyOfSignal(uid, source)
	status := want["status"]
	delete(want, "status")
	if field = lacks(target.Fields, want); field != "" {
		return Differs, field
	}
	has := target.Fields["status"]
	switch {
	case equal(has, status):
		return Same, ""
	case acted(has):
		return Newer, ""
	case acted(status):
		return Behind, ""
	}
	return Differs, "status"
}

func acted(status any) bool {
	s, ok := signal.ParseStatus(status)
	return ok && (s == signal.Executed || s == signal.Rejected)
}

// lacks names a field of want that has lacks or says differently; "" if there is none.
func lacks(has, want document.Fields) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		v, ok := has[name]
		if !ok || !equal(v, want[name]) {
			return name
		}
	}
	return ""
}

// equal compares values as the database holds them: NaN equals itself, and 1 is not 1.0.
func equal(a, b any) bool { return canonical(a) == canonical(b) }

// canonical writes a value with its types, and maps in the order of their keys, as package fmt promises.
func canonical(v any) string { return fmt.Sprintf("%#v", plain(v)) }

// plain has times without what is no part of a time.
func plain(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case time.Time:
		return v.UTC().Round(0).Truncate(time.Microsecond)
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = plain(e)
		}
		return l
	}
	return v
}

func digest(f document.Fields) string {
	sum := sha256.Sum256([]byte(canonical(f)))
	return hex.EncodeToString(sum[:16])
}
