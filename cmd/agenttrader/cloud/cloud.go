// Package cloud opens the project that a command works on: by the environment of the services, which docs/configuration.md lists.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/onboard"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// CloseLimit is for what is under way.
const CloseLimit = 15 * time.Second

// Environ is the environment with the project that was named by hand, if one was.
func Environ(env []string, project string) []string {
	if project == "" {
		return env
	}
	kept := make([]string, 0, len(env)+1)
	for _, v := range env {
		if !strings.HasPrefix(v, "GCP_PROJECT=") && !strings.HasPrefix(v, "GCLOUD_PROJECT=") {
			kept = append(kept, v)
		}
	}
	return append(kept, "GCP_PROJECT="+project)
}

// Project is a Google Cloud project, or the emulators that the environment names. Nothing is connected before it is asked for.
type Project struct {
	*gcp.Cloud
	Config gcp.Config
}

// Open reads the environment, and what else the caller wants of it. project is the --project flag; "" is the environment's.
func Open(project string, more ...interface{ Validate() error }) (*Project, error) {
	p := &Project{}
	if err := serve.ReadEnv(Environ(os.Environ(), project), append(more, &p.Config)...); err != nil {
		return nil, err
	}
	p.Cloud = gcp.Open(p.Config)
	return p, nil
}

// Close gives what is under way its time.
func (p *Project) Close() error { return p.CloseWithin(CloseLimit) }

// String is for people.
func (p *Project) String() string {
	s := "project " + p.Config.ProjectID()
	if p.Config.Firestore != "" {
		s += ", on the emulator at " + p.Config.Firestore
	}
	return s
}

// Store is the project's documents.
func (p *Project) Store(ctx context.Context) (*store.Store, error) {
	db, err := p.Firestore(ctx)
	if err != nil {
		return nil, err
	}
	return store.New(db), nil
}

// Keys is where the users' keys are stored, as the services read them. A secret that is made tells the topic of new versions,
// if one is named.
func (p *Project) Keys(ctx context.Context, topic string) (secret.Custody, error) {
	if p.Config.Custody != gcp.Envelope || p.Config.Fallback != gcp.Off {
		if err := p.OneWorld("SECRET_MANAGER_ENDPOINT", p.Config.SecretEndpoint); err != nil {
			return secret.Custody{}, err
		}
	}
	if p.Config.KMSKey != "" {
		if err := p.OneWorld("KMS_ENDPOINT", p.Config.KMSEndpoint); err != nil {
			return secret.Custody{}, err
		}
	}
	return p.Custody(ctx, gcp.VaultWriting{Topic: topic})
}

// Onboarding is what stores keys, after Alpaca at these hosts took them; topic is Keys'.
func (p *Project) Onboarding(ctx context.Context, hosts alpaca.Hosts, topic string) (*onboard.Keys, error) {
	documents, err := p.Store(ctx)
	if err != nil {
		return nil, err
	}
	custody, err := p.Keys(ctx, topic)
	if err != nil {
		return nil, err
	}
	b, err := alpaca.New(alpaca.Config{PaperURL: hosts.Paper, LiveURL: hosts.Live})
	if err != nil {
		return nil, err
	}
	return &onboard.Keys{Users: documents, Custody: custody, Broker: b, Snapshots: documents}, nil
}

// Remover takes users out, and their keys out of what Keys has opened; legacyUser is LEGACY_USER.
func (p *Project) Remover(ctx context.Context, custody secret.Custody, legacyUser string) (*onboard.Remover, error) {
	db, err := p.Firestore(ctx)
	if err != nil {
		return nil, err
	}
	documents := store.New(db)
	return &onboard.Remover{DB: db, Users: documents, Roster: documents, Custody: custody, LegacyUser: legacyUser}, nil
}

// Opened closes the project again if what it was opened for failed.
func (p *Project) Opened(err *error) {
	if *err != nil {
		*err = errors.Join(*err, p.Close())
	}
}

// OneWorld refuses a stand-in beside what is real: keys or letters would be another world's than the users. beside is the
// variable of the stand-in that goes with FIRESTORE_EMULATOR_HOST, and its value.
func (p *Project) OneWorld(variable, value string) error {
	if (value == "") == (p.Config.Firestore == "") {
		return nil
	}
	return fmt.Errorf("only one of %s and FIRESTORE_EMULATOR_HOST is set: what belongs together would be in two worlds. Set both, or none", variable)
}
