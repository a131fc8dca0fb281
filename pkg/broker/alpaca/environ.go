package alpaca

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alpacahq/alpaca-trade-api-go/v3/alpaca"
	"github.com/alpacahq/alpaca-trade-api-go/v3/marketdata"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Own is one account as the predecessor had it in its environment.
type Own struct {
	Credentials secret.Credentials
	URL         string // of the trading API
}

// TakeEnv takes an account out of an environment (os.Environ): APCA_API_KEY_ID, APCA_API_SECRET_KEY and APCA_API_BASE_URL
// (Alpaca's for paper, if it is unset). The process's own loses every APCA_ variable, and the SDK's default clients, which read
// theirs before main began, are replaced: from then on Own alone has the keys. That is so after an error too, which names
// every fault and no value. rest is the environment without them.
func TakeEnv(environ []string) (own Own, rest []string, err error) {
	values, errs := map[string]string{}, []error(nil)
	for _, kv := range environ {
		name, v, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "APCA_") {
			rest = append(rest, kv)
			continue
		}
		values[name] = strings.TrimSpace(v)
		errs = append(errs, os.Unsetenv(name))
	}
	alpaca.DefaultClient, marketdata.DefaultClient = alpaca.NewClient(alpaca.ClientOpts{}), marketdata.NewClient(marketdata.ClientOpts{})
	if values["APCA_API_OAUTH"] != "" {
		errs = append(errs, errors.New("APCA_API_OAUTH is set: this takes APCA_API_KEY_ID and APCA_API_SECRET_KEY"))
	}
	if own.Credentials, err = secret.NewCredentials(values["APCA_API_KEY_ID"], values["APCA_API_SECRET_KEY"]); err != nil {
		errs = append(errs, fmt.Errorf("APCA_API_KEY_ID (key_id) and APCA_API_SECRET_KEY (secret_key): %w", err))
	}
	// Alpaca shows its address with the version, which the SDK adds.
	own.URL = strings.TrimSuffix(strings.TrimRight(values["APCA_API_BASE_URL"], "/"), "/v2")
	errs = append(errs, CheckURL("APCA_API_BASE_URL", own.URL))
	if own.URL == "" {
		own.URL = DefaultPaperURL
	}
	if err := errors.Join(errs...); err != nil {
		return Own{}, rest, err
	}
	return own, slices.Clip(rest), nil
}
