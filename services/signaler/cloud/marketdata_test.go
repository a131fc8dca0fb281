package cloud

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/gcp"
)

// Who has an emulator and no credentials is told what asks for them, and how to do without.
func TestWithoutCredentials(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	for _, c := range []struct{ setting, want string }{
		{"MARKET_DATA_SECRET=alpaca", "(for MARKET_DATA_SECRET; `none` does without market data)"},
		{"MARKET_DATA_SECRET=none", ""},
	} {
		settings, err := Read([]string{"GCP_PROJECT=demo", "FIRESTORE_EMULATOR_HOST=127.0.0.1:1", c.setting})
		if err != nil {
			t.Fatal(err)
		}
		project := gcp.Open(settings.Project)
		_, err = settings.Open(t.Context(), project, slog.New(slog.DiscardHandler), nil)
		if (err != nil) != (c.want != "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.setting, err, c.want)
		}
		if err := project.Close(); err != nil {
			t.Error(err)
		}
	}
}
