package roster_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

func entries() *rapid.Generator[[]roster.Entry] {
	one := rapid.Custom(func(t *rapid.T) roster.Entry {
		e := roster.Entry{
			UserID:         rapid.StringMatching(`[A-Za-z0-9-]{1,40}`).Draw(t, "id"),
			CadenceMinutes: rapid.IntRange(0, 1440).Draw(t, "cadence"),
			Trades:         rapid.Bool().Draw(t, "trades"),
			BrokerEnv:      rapid.SampledFrom([]string{"paper", "live"}).Draw(t, "env"),
			SyncHours:      rapid.SampledFrom([]market.Hours{market.Always, market.Regular, market.Extended}).Draw(t, "hours"),
			KeyVersion:     rapid.SampledFrom([]string{"", "1", "4711"}).Draw(t, "keys"),
			TenantID:       rapid.SampledFrom([]string{"", "t", "a/b"}).Draw(t, "tenant"),
			Health:         rapid.SampledFrom([]health.State{"", health.Degraded, health.RateLimited, health.NeedsReauth, health.Restricted}).Draw(t, "health"),
		}
		e.SlotMinutes = account.NoSlots
		if e.Trades {
			e.SlotMinutes = rapid.SampledFrom([]int{account.NoSlots, 5, 60}).Draw(t, "slots")
		}
		if e.Health != "" {
			e.NextAttempt = tick.Tick(rapid.Int64Range(0, 1<<30).Draw(t, "next"))
			e.FailedWith = rapid.SampledFrom([]string{"", "1"}).Draw(t, "failed with")
		}
		return e
	})
	return rapid.SliceOfNDistinct(one, 0, 60, func(e roster.Entry) string { return e.UserID })
}

// What is packed comes back, and nothing of it is lost silently: not a byte may be missing.
func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := entries().Draw(t, "entries")
		packed := roster.Pack(want)
		got, err := roster.Unpack(packed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			t.Fatal(diff)
		}
		if _, err := roster.Unpack(packed[:rapid.IntRange(0, len(packed)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a part of it was taken for the whole")
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte(roster.Pack([]roster.Entry{{UserID: "alice", BrokerEnv: "live", KeyVersion: "3", Health: health.NeedsReauth, NextAttempt: 29_000_000}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := roster.Unpack(string(b))
		if err != nil {
			return
		}
		again, err := roster.Unpack(roster.Pack(list))
		if err != nil || !slices.Equal(list, again) {
			t.Errorf("%+v became %+v (%v)", list, again, err)
		}
	})
}

// However shards are split, they cover all users, and each user is in the one that Find finds.
func TestSplitAndFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := entries().Draw(t, "entries")
		shards := roster.Split("b", "", all, rapid.IntRange(40, 2000).Draw(t, "most"))
		if err := roster.CheckCover(shards); err != nil {
			t.Fatal(err)
		}
		changes := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) roster.Change {
			id := rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "id")
			if len(all) > 0 && rapid.Bool().Draw(t, "known") {
				id = rapid.SampledFrom(all).Draw(t, "of").UserID
			}
			if rapid.Bool().Draw(t, "gone") {
				return roster.Change{UserID: id}
			}
			return roster.Change{UserID: id, Entry: &roster.Entry{UserID: id, BrokerEnv: "live", SyncHours: "always", SlotMinutes: account.NoSlots}}
		}), 0, 20, func(c roster.Change) string { return c.UserID }).Draw(t, "changes")

		want := map[string]roster.Entry{}
		for _, e := range all {
			want[e.UserID] = e
		}
		touched := make([][]roster.Change, len(shards))
		for _, c := range changes {
			i := roster.Find(shards, roster.Hash(c.UserID))
			touched[i] = append(touched[i], c)
			delete(want, c.UserID)
			if c.Entry != nil {
				want[c.UserID] = *c.Entry
			}
		}
		got := map[string]roster.Entry{}
		for i, s := range shards {
			next, err := roster.Fold(s, touched[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range next {
				list, err := roster.Unpack(n.Packed)
				if err != nil || len(list) != n.Users {
					t.Fatalf("%s: %d users, says %d (%v)", n, len(list), n.Users, err)
				}
				for _, e := range list {
					if !roster.Holds(n.Bits(), roster.Hash(e.UserID)) {
						t.Fatalf("%s is in %s", e.UserID, n)
					}
					got[e.UserID] = e
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestCheckCover(t *testing.T) {
	for name, ids := range map[string][]string{
		"nothing": {}, "a hole": {"b-00", "b-1"}, "an overlap": {"b-0", "b-01", "b-1"}, "twice": {"b-", "b-"}, "no bits": {"b-0x", "b-1"},
	} {
		var shards []roster.Shard
		for _, id := range ids {
			shards = append(shards, roster.Shard{ID: id})
		}
		if roster.CheckCover(shards) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// Ids that are alike spread over the shards all the same.
func TestHashSpreads(t *testing.T) {
	n := map[bool]int{}
	for i := range 1000 {
		n[roster.Holds("1", roster.Hash(fmt.Sprintf("user-%05d", i)))]++
	}
	if n[true] < 400 || n[true] > 600 {
		t.Errorf("%d of 1000 are in one half", n[true])
	}
}

// The entry says as much about who is due as the health does.
func TestRestedAsHealthSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := health.Health{UserID: "u"}
		now := tick.Tick(29_000_000)
		for range rapid.IntRange(0, 6).Draw(t, "attempts") {
			h = h.After(health.Attempt{
				Tick: now, At: now.Time(), Cadence: 1, KeyVersion: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "asked with"),
				Cause: rapid.SampledFrom([]health.Cause{"", health.Unauthorized, health.Forbidden, health.Limited, health.Timeout}).Draw(t, "cause"),
			})
			now += tick.Tick(rapid.IntRange(1, 10).Draw(t, "later"))
		}
		u := user.User{ID: "u", Status: user.Active, BrokerEnv: "paper", SyncHours: "always", KeyVersion: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "keys")}
		e, ok := roster.EntryOf(u, h, roster.Trading{})
		if !ok {
			t.Fatal("an active user has no entry")
		}
		at := now + tick.Tick(rapid.IntRange(0, 70).Draw(t, "at"))
		if e.Rested(at) != h.Due(at, u.KeyVersion) {
			t.Fatalf("entry %+v at %s: rested %v; health %+v: due %v", e, at, e.Rested(at), h, h.Due(at, u.KeyVersion))
		}
	})
}
