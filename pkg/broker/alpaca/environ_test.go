package alpaca_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	sdk "github.com/alpacahq/alpaca-trade-api-go/v3/alpaca"
	"github.com/alpacahq/alpaca-trade-api-go/v3/marketdata"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
)

const (
	envID     = "PKCANARYENV"
	envSecret = "canary-secret-env"
)

// The SDK reads its environment before main begins, so the test is a process of its own.
func TestTakeEnvLeavesNothingBehind(t *testing.T) {
	if os.Getenv("TAKE_ENV_CHILD") == "1" {
		leavesNothingBehind(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TAKE_ENV_CHILD=1", "APCA_API_KEY_ID="+envID, "APCA_API_SECRET_KEY="+envSecret,
		"APCA_API_BASE_URL=https://paper-api.alpaca.markets/v2/", "APCA_API_DATA_URL=https://canary.example.com", "APCA_OTHER=canary")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) || bytes.Contains(out, []byte(envID)) || bytes.Contains(out, []byte(envSecret)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// defaults is all that the SDK's default clients hold, and what a new one sends.
func defaults(t *testing.T) string {
	var sent strings.Builder
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Fprint(&sent, r.Header) }))
	defer srv.Close()
	_, _ = sdk.NewClient(sdk.ClientOpts{BaseURL: srv.URL, RetryLimit: -1}).GetAccount()
	_, _ = marketdata.NewClient(marketdata.ClientOpts{BaseURL: srv.URL, RetryLimit: -1}).GetLatestQuote("SPY", marketdata.GetLatestQuoteRequest{})
	if !strings.Contains(sent.String(), "User-Agent") {
		t.Errorf("nothing was sent: %s", sent.String())
	}
	return fmt.Sprintf("%+v %+v %s %s", *sdk.DefaultClient, *marketdata.DefaultClient, sent.String(), os.Environ())
}

func leavesNothingBehind(t *testing.T) {
	if n := strings.Count(defaults(t), envSecret); n < 5 {
		t.Fatalf("the SDK found the key in %d places only: this test can't fail", n)
	}
	own, rest, err := alpaca.TakeEnv(os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	if id, key := own.Credentials.Reveal(); id != envID || key != envSecret || own.URL != "https://paper-api.alpaca.markets" {
		t.Errorf("it took other keys, or the address %s", own.URL)
	}
	child := exec.CommandContext(t.Context(), "env")
	inherited, err := child.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	left := strings.ToLower(defaults(t) + strings.Join(rest, " ") + string(inherited) + fmt.Sprintf("%v %+v %#v", own, own, own))
	for _, c := range []string{"canary", "apca_"} {
		if strings.Contains(left, c) {
			t.Errorf("%q is still to be found", c)
		}
	}
	if !strings.Contains(strings.Join(rest, " "), "TAKE_ENV_CHILD=1") {
		t.Error("the rest of the environment is gone")
	}
	if _, err := alpaca.New(alpaca.Config{}); err != nil {
		t.Error(err)
	}
}

// Each fault is named, no value is, and the environment is clean all the same.
func TestTakeEnvFaults(t *testing.T) {
	for _, c := range []struct {
		set  map[string]string
		want []string // of the error; none: there is no error
	}{
		{map[string]string{"APCA_API_KEY_ID": envID, "APCA_API_SECRET_KEY": envSecret}, nil},
		{map[string]string{"APCA_API_KEY_ID": " " + envID + "\n", "APCA_API_SECRET_KEY": envSecret, "APCA_API_BASE_URL": "http://127.0.0.1:1"}, nil},
		{nil, []string{"APCA_API_KEY_ID", "APCA_API_SECRET_KEY"}},
		{map[string]string{"APCA_API_KEY_ID": envID}, []string{"APCA_API_SECRET_KEY"}},
		{map[string]string{"APCA_API_KEY_ID": envID, "APCA_API_SECRET_KEY": "two canaries"}, []string{"secret_key must be"}},
		{map[string]string{"APCA_API_KEY_ID": envID, "APCA_API_SECRET_KEY": envSecret, "APCA_API_OAUTH": "canary"}, []string{"APCA_API_OAUTH is set"}},
		{map[string]string{"APCA_API_KEY_ID": envID, "APCA_API_BASE_URL": "http://example.com"}, []string{"APCA_API_SECRET_KEY", "APCA_API_BASE_URL is"}},
		{map[string]string{"APCA_API_KEY_ID": envID, "APCA_API_SECRET_KEY": envSecret, "APCA_API_BASE_URL": "https://me:" + envSecret + "@example.com"}, []string{"APCA_API_BASE_URL is"}},
	} {
		for k, v := range c.set {
			t.Setenv(k, v)
		}
		own, _, err := alpaca.TakeEnv(os.Environ())
		if (err == nil) != (c.want == nil) || own.Credentials.IsZero() != (c.want != nil) {
			t.Errorf("%d variables: %v; want an error that says %q", len(c.set), err, c.want)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("error lacks %q: %v", want, err)
			}
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "canar") {
			t.Errorf("error tells a value: %v", err)
		}
		if left := strings.Join(os.Environ(), " "); strings.Contains(left, "APCA_") {
			t.Error("variables are left")
		}
	}
}
