package alpaca_test

import "testing"

// BenchmarkAccount is one account call without a network: the SDK, its transport and the reading of the answer.
func BenchmarkAccount(b *testing.B) {
	s := openCanned(b, canned{status: 200, body: []byte(documented)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Account(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
