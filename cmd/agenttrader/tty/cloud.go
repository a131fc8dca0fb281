package tty

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// closeLimit is for what is under way.
const closeLimit = 15 * time.Second

// Documents opens the project's database, or the emulator that the environment names. where is for people.
func Documents(ctx context.Context, project string) (_ *store.Store, where string, closing func() error, err error) {
	cfg := gcp.Config{}
	if err := serve.ReadEnv(Environ(os.Environ(), project), &cfg); err != nil {
		return nil, "", nil, err
	}
	c := gcp.Open(cfg)
	db, err := c.Firestore(ctx)
	if err != nil {
		return nil, "", nil, errors.Join(err, c.Close())
	}
	where = fmt.Sprintf("project %s", cfg.ProjectID())
	if emulator := os.Getenv("FIRESTORE_EMULATOR_HOST"); emulator != "" {
		where += ", on the emulator at " + emulator
	}
	return store.New(db), where, func() error { return c.CloseWithin(closeLimit) }, nil
}
