package terraform

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDelivery runs the script that finishes a trigger's subscription, with a gcloud that answers from files and writes
// down what it was asked.
func TestDelivery(t *testing.T) {
	const endpoint = "https://fanout-hash-uc.a.run.app?__GCP_CloudEventsMode=CE_PUBSUB_BINDING"
	for name, tc := range map[string]struct {
		subscription, endpoint, unwrapped string
		want                              []string // of the update; nil: the script fails
		not                               string
	}{
		"as Eventarc makes it": {subscription: "projects/p/subscriptions/eventarc-x", endpoint: endpoint, want: []string{
			"pubsub subscriptions update projects/p/subscriptions/eventarc-x", "--push-endpoint=" + endpoint, "--push-auth-service-account=on-x@p",
			"--push-auth-token-audience=https://aud", "--dead-letter-topic=projects/p/topics/dead-letters", "--max-delivery-attempts=20", "--ack-deadline=60",
			"--min-retry-delay=10s", "--max-retry-delay=600s",
		}, not: "no-wrapper"},
		"unwrapped":              {subscription: "s", endpoint: endpoint, unwrapped: "{'writeMetadata': True}", want: []string{"--push-no-wrapper --push-no-wrapper-write-metadata"}},
		"without an endpoint":    {subscription: "s"},
		"without a subscription": {endpoint: endpoint},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			gcloud := `#!/bin/sh
case "$*" in
*describe*pushEndpoint*) printf '%s' "$ENDPOINT" ;;
*describe*noWrapper*) printf '%s' "$UNWRAPPED" ;;
*) echo "$*" >"$ASKED" ;;
esac
`
			if err := os.WriteFile(filepath.Join(dir, "gcloud"), []byte(gcloud), 0o700); err != nil { //nolint:gosec // it must run
				t.Fatal(err)
			}
			asked := filepath.Join(dir, "asked")
			cmd := exec.CommandContext(t.Context(), "sh", "../../../terraform/modules/trigger/delivery.sh")
			cmd.Env = []string{
				"PATH=" + dir + ":" + os.Getenv("PATH"), "ENDPOINT=" + tc.endpoint, "UNWRAPPED=" + tc.unwrapped, "ASKED=" + asked,
				"SUBSCRIPTION=" + tc.subscription, "PROJECT=p", "ACCOUNT=on-x@p", "AUDIENCE=https://aud", "DEAD_LETTER=projects/p/topics/dead-letters",
				"ATTEMPTS=20", "ACK_DEADLINE=60", "MIN_BACKOFF=10s", "MAX_BACKOFF=600s",
			}
			out, err := cmd.CombinedOutput()
			got, _ := os.ReadFile(asked)
			if tc.want == nil {
				if err == nil || len(got) > 0 || len(out) == 0 {
					t.Fatalf("it went on (%v), asked %q and said %q", err, got, out)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, w := range tc.want {
				if !strings.Contains(string(got), w) {
					t.Errorf("asked %s\nwithout %s", got, w)
				}
			}
			if tc.not != "" && strings.Contains(string(got), tc.not) {
				t.Errorf("asked %s", got)
			}
		})
	}
}
