package account_test

import (
	"testing"

	"github.com/agenttrader/agenttrader/pkg/account"
)

// BenchmarkAccount is what each sync does with the broker's answer.
func BenchmarkAccount(b *testing.B) {
	raw := map[string]any{
		"id": "a", "status": "ACTIVE", "currency": "USD", "cash": "10234.55", "equity": "104233.10", "buying_power": "208466.20", "multiplier": "2",
		"trading_blocked": false, "account_blocked": false, "transfers_blocked": false, "shorting_enabled": true,
	}
	a, err := account.FromRaw(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = account.FromRaw(raw)
		}
	})
	b.Run("compare", func(b *testing.B) {
		b.ReportAllocs()
		s := account.Snapshot{Account: a, Changed: a.Figures()}
		for b.Loop() {
			if s.AccountChanged(a, account.DefaultBand) {
				b.Fatal("an account differs from itself")
			}
		}
	})
	b.Run("hash", func(b *testing.B) {
		b.ReportAllocs()
		s := account.Snapshot{Account: a}
		for b.Loop() {
			_ = s.Hash()
		}
	})
}
