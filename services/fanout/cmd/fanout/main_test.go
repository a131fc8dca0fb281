package main

import (
	"io"
	"strings"
	"testing"
)

// A start with a bad environment names every fault of it, and ends.
func TestBadEnvironment(t *testing.T) {
	err := run(t.Context(), []string{"HOST=0.0.0.0", "APCA_API_KEY_ID=canary", "FANOUT_PAGE_SIZE=0", "FANOUT_HOLD=soon", "SYNC_REQUESTS_TOPIC=x"}, io.Discard)
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{
		"Missing GCP_PROJECT or GCLOUD_PROJECT environment variable", "APCA_API_KEY_ID", "PUSH_AUDIENCE", "FANOUT_PAGE_SIZE is 0", "FANOUT_HOLD is", "SYNC_REQUESTS_TOPIC is",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error tells a key: %v", err)
	}
}
