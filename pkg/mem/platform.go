package mem

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// PlatformSecrets is a secret.Platform in memory.
type PlatformSecrets struct {
	mu       sync.Mutex
	payloads map[string][][]byte // by name, oldest first
	fault    error
}

// NewPlatformSecrets has no secret yet.
func NewPlatformSecrets() *PlatformSecrets { return &PlatformSecrets{payloads: map[string][][]byte{}} }

// Add stores a payload as the newest version of a secret.
func (p *PlatformSecrets) Add(name string, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.payloads[name] = append(p.payloads[name], payload)
}

// Fail makes every access fail with err; nil ends it.
func (p *PlatformSecrets) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = err
}

// PlatformKeys implements secret.Platform.
func (p *PlatformSecrets) PlatformKeys(ctx context.Context, name string) (secret.Credentials, error) {
	if err := secret.CheckPlatformName(name); err != nil {
		return secret.Credentials{}, err
	}
	payload, _, err := p.newest(ctx, name)
	if err != nil {
		return secret.Credentials{}, err
	}
	creds, err := secret.ParsePayload(payload)
	if err != nil {
		return secret.Credentials{}, fmt.Errorf("secret %s: %w", name, err)
	}
	return creds, nil
}

func (p *PlatformSecrets) newest(ctx context.Context, name string) (payload []byte, version int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return nil, 0, fmt.Errorf("secret %s: %w", name, p.fault)
	}
	n := len(p.payloads[name])
	if n == 0 {
		return nil, 0, fmt.Errorf("secret %s: %w", name, secret.ErrNotFound)
	}
	return p.payloads[name][n-1], n, nil
}

// ServePlatform makes the server serve these too: what they hold, by the newest version.
func (s *SecretServer) ServePlatform(p *PlatformSecrets) { s.platform.Store(p) }

// accessPlatform is false if the name is not that of a platform's secret.
func (s *SecretServer) accessPlatform(ctx context.Context, full string) (_ *secretmanagerpb.AccessSecretVersionResponse, mine bool, _ error) {
	p := s.platform.Load()
	rest, ours := strings.CutPrefix(full, secret.PlatformName(s.project, ""))
	name, version, ok := strings.Cut(rest, "/versions/")
	if p == nil || !ours || !ok || version != secret.Latest || secret.CheckPlatformName(name) != nil {
		return nil, false, nil
	}
	payload, n, err := p.newest(ctx, name)
	if err != nil {
		return nil, true, status.Error(platformCode(err), fmt.Sprintf("secret version %q", full))
	}
	sum := castagnoli(payload)
	return &secretmanagerpb.AccessSecretVersionResponse{
		Name:    secret.PlatformName(s.project, name) + "/versions/" + strconv.Itoa(n),
		Payload: &secretmanagerpb.SecretPayload{Data: payload, DataCrc32C: proto.Int64(sum)},
	}, true, nil
}

func platformCode(err error) codes.Code {
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return codes.NotFound
	case errors.Is(err, secret.ErrDenied):
		return codes.PermissionDenied
	}
	return codes.Unavailable
}
