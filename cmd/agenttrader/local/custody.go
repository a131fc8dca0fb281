package local

import (
	"context"

	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// keeper is where the keys are, for one instance: what it remembers of data keys is its own.
func (p *platform) keeper() (secret.Keeper, error) {
	if p.kms == nil {
		return p.vault, nil
	}
	cfg := envelope.DefaultConfig()
	cfg.Now = p.now
	return envelope.New(p.db, p.kms, cfg)
}

// custodyEnv tells processes where the keys are.
func (p *platform) custodyEnv(ctx context.Context) ([]string, error) {
	secrets, err := mem.ServeSecrets(ctx, "127.0.0.1:0", Project, p.vault)
	if err != nil {
		return nil, err
	}
	p.onClose(secrets.Close)
	secrets.ServePlatform(p.secrets)
	env := []string{"SECRET_MANAGER_ENDPOINT=" + secrets.Addr()}
	if p.kms == nil {
		return env, nil
	}
	kms, err := mem.ServeKMS(ctx, "127.0.0.1:0", p.kms)
	if err != nil {
		return nil, err
	}
	p.onClose(kms.Close)
	return append(env, "KEY_CUSTODY="+gcp.Envelope, "KMS_KEY="+mem.KMSKey, "KMS_ENDPOINT="+kms.Addr()), nil
}

// kmsCalls are those so far.
func (p *platform) kmsCalls() int64 {
	if p.kms == nil {
		return 0
	}
	return p.kms.Calls()
}
