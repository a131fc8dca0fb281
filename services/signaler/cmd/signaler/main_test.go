package main

import (
	"io"
	"strings"
	"testing"
)

// A start with a bad environment names every fault of it, and ends.
func TestBadEnvironment(t *testing.T) {
	err := run(t.Context(), []string{"HOST=0.0.0.0", "APCA_API_KEY_ID=canary", "ALPACA_SNAPSHOT_MAX_AGE_S=old", "SIGNALER_SIGNAL_LIFE=0s", "MARKET_DATA_SECRET=alpaca-keys-u", "MARKET_DATA_FEED=otc", "MARKET_DATA_LIMIT=0", "ALPACA_DATA_URL=http://example.com", "DEAD_LETTERS_TOPIC=/",
		"GEMINI_LOCATION=evil.example/", "GEMINI_ENDPOINT=192.0.2.1:80", "GEMINI_TIMEOUT=1m", "GEMINI_CALLS_PER_USER_DAY=-1", "SIGNALER_DECISION_TTL=-1h"}, io.Discard)
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{
		"Missing GCP_PROJECT or GCLOUD_PROJECT environment variable", "APCA_API_KEY_ID", "PUSH_AUDIENCE", "ALPACA_SNAPSHOT_MAX_AGE_S is", "SIGNALER_SIGNAL_LIFE is 0s", "MARKET_DATA_SECRET: secret \"alpaca-keys-u\"", "MARKET_DATA_FEED: feed", "MARKET_DATA_LIMIT is 0", "ALPACA_DATA_URL is", "DEAD_LETTERS_TOPIC is",
		"GEMINI_LOCATION is", "GEMINI_ENDPOINT is", "GEMINI_TIMEOUT is 1m0s", "GEMINI_CALLS_PER_USER_DAY is -1", "SIGNALER_DECISION_TTL is -1h0m0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error tells a key: %v", err)
	}
}
