package roster_test

import (
	"fmt"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/roster"
)

// BenchmarkRoster is of one full shard.
func BenchmarkRoster(b *testing.B) {
	entries := make([]roster.Entry, 20_000)
	for i := range entries {
		entries[i] = roster.Entry{UserID: fmt.Sprintf("uid-of-28-characters-%07d", i), BrokerEnv: "paper", SyncHours: market.Regular, Trades: true, SlotMinutes: account.NoSlots, KeyVersion: "1"}
	}
	packed := roster.Pack(entries)
	b.Run("pack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = roster.Pack(entries)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range roster.Entries(packed) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("fold", func(b *testing.B) {
		b.ReportAllocs()
		shard := roster.Shard{ID: "b-", Packed: packed}
		changes := []roster.Change{{UserID: entries[7].UserID}, {UserID: "new", Entry: &roster.Entry{UserID: "new", BrokerEnv: "live"}}}
		for b.Loop() {
			if _, err := roster.Fold(shard, changes); err != nil {
				b.Fatal(err)
			}
		}
	})
}
