package main

import (
	"io"
	"strings"
	"testing"
)

// A start with a bad environment names every fault of it, and ends.
func TestBadEnvironment(t *testing.T) {
	err := run(t.Context(), []string{"HOST=0.0.0.0", "APCA_API_KEY_ID=canary", "SYNCER_DEADLINE=5m", "SYNCER_BAND=-1", "MODE=Legacy", "LEGACY_PHASE=on", "LEGACY_USER=a/b", "ALPACA_PAPER_URL=http://example.com", "SECRET_MANAGER_ENDPOINT=example.com:1", "FIRESTORE_EMULATOR_HOST=10.0.0.1:80", "PUBSUB_EMULATOR_HOST=:8085", "ALPACA_LIVE_URL=https://me:canary@example.com"}, io.Discard)
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{
		"Missing GCP_PROJECT or GCLOUD_PROJECT environment variable", "APCA_API_KEY_ID", "PUSH_AUDIENCE", "SYNCER_DEADLINE is 5m", "SYNCER_BAND is -1", `MODE is "Legacy"`, `LEGACY_PHASE is "on"`, "LEGACY_USER: user id", "ALPACA_PAPER_URL is", "SECRET_MANAGER_ENDPOINT is", "FIRESTORE_EMULATOR_HOST is", "PUBSUB_EMULATOR_HOST is", "ALPACA_LIVE_URL is",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error tells a key: %v", err)
	}
}
