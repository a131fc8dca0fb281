package mem

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// SecretServer serves a Vault over Secret Manager's own gRPC API, so that the real client can be used on it.
type SecretServer struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer
	project string
	vault   *Vault
	srv     *grpc.Server
	addr    string

	platform atomic.Pointer[PlatformSecrets] // nil: none
}

// ServeSecrets listens on addr, which must be of loopback: nobody has to prove who they are.
func ServeSecrets(ctx context.Context, addr, project string, v *Vault) (*SecretServer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("mem: secrets: %w", err)
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("mem: secrets: %s is not loopback", addr), l.Close())
	}
	s := &SecretServer{project: project, vault: v, srv: grpc.NewServer(), addr: l.Addr().String()}
	secretmanagerpb.RegisterSecretManagerServiceServer(s.srv, s)
	go func() { _ = s.srv.Serve(l) }()
	return s, nil
}

// Addr is host:port.
func (s *SecretServer) Addr() string { return s.addr }

// Close ends it.
func (s *SecretServer) Close() { s.srv.Stop() }

// AccessSecretVersion implements the service.
func (s *SecretServer) AccessSecretVersion(ctx context.Context, r *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	if resp, mine, err := s.accessPlatform(ctx, r.GetName()); mine {
		return resp, err
	}
	uid, version, err := s.version(r.GetName())
	if err != nil {
		return nil, err
	}
	payload, n, err := s.vault.access(ctx, uid, version)
	if err != nil {
		return nil, secretStatus(r.GetName(), err)
	}
	sum := castagnoli(payload)
	return &secretmanagerpb.AccessSecretVersionResponse{
		Name:    s.versionName(uid, n),
		Payload: &secretmanagerpb.SecretPayload{Data: payload, DataCrc32C: proto.Int64(sum)},
	}, nil
}

// GetSecretVersion implements the service.
func (s *SecretServer) GetSecretVersion(ctx context.Context, r *secretmanagerpb.GetSecretVersionRequest) (v *secretmanagerpb.SecretVersion, err error) {
	return s.changeVersion(ctx, "get", r.GetName(), func(*version) {})
}

// DestroySecretVersion implements the service.
func (s *SecretServer) DestroySecretVersion(ctx context.Context, r *secretmanagerpb.DestroySecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	return s.changeVersion(ctx, "destroy", r.GetName(), func(v *version) { v.payload, v.destroyed = nil, true })
}

func (s *SecretServer) changeVersion(ctx context.Context, kind, name string, do func(*version)) (*secretmanagerpb.SecretVersion, error) {
	uid, wanted, err := s.version(name)
	if err != nil {
		return nil, err
	}
	var found *secretmanagerpb.SecretVersion
	err = s.vault.change(ctx, kind, uid, func() error {
		versions := s.vault.secrets[uid]
		n := s.vault.number(uid, wanted)
		if n == 0 {
			return secret.ErrNotFound
		}
		do(&versions[n-1])
		found = &secretmanagerpb.SecretVersion{Name: s.versionName(uid, n), State: secretmanagerpb.SecretVersion_ENABLED}
		switch v := versions[n-1]; {
		case v.destroyed:
			found.State = secretmanagerpb.SecretVersion_DESTROYED
		case v.disabled:
			found.State = secretmanagerpb.SecretVersion_DISABLED
		}
		if at := versions[n-1].at; !at.IsZero() {
			found.CreateTime = timestamppb.New(at)
		}
		return nil
	})
	if err != nil {
		return nil, secretStatus(name, err)
	}
	return found, nil
}

// CreateSecret implements the service.
func (s *SecretServer) CreateSecret(ctx context.Context, r *secretmanagerpb.CreateSecretRequest) (*secretmanagerpb.Secret, error) {
	name := r.GetParent() + "/secrets/" + r.GetSecretId()
	uid, err := s.secret(name)
	switch {
	case err != nil:
		return nil, err
	case r.GetSecret().GetReplication() == nil:
		return nil, status.Errorf(codes.InvalidArgument, "secret %q: replication is required", name)
	}
	err = s.vault.change(ctx, "create", uid, func() error {
		if _, exists := s.vault.secrets[uid]; exists {
			return errSecret
		}
		s.vault.secrets[uid] = []version{}
		return nil
	})
	if err != nil {
		return nil, secretStatus(name, err)
	}
	return &secretmanagerpb.Secret{Name: name, Replication: r.GetSecret().GetReplication(), Labels: r.GetSecret().GetLabels()}, nil
}

// AddSecretVersion implements the service.
func (s *SecretServer) AddSecretVersion(ctx context.Context, r *secretmanagerpb.AddSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	uid, err := s.secret(r.GetParent())
	if err != nil {
		return nil, err
	}
	p := r.GetPayload()
	if p.DataCrc32C != nil && p.GetDataCrc32C() != castagnoli(p.GetData()) {
		return nil, status.Errorf(codes.InvalidArgument, "%q: the payload's checksum differs", r.GetParent())
	}
	n := 0
	err = s.vault.change(ctx, "add", uid, func() error {
		versions, exists := s.vault.secrets[uid]
		if !exists {
			return errNoSecret
		}
		s.vault.secrets[uid] = append(versions, version{payload: p.GetData(), at: s.vault.now()})
		n = len(versions) + 1
		return nil
	})
	if err != nil {
		return nil, secretStatus(r.GetParent(), err)
	}
	return &secretmanagerpb.SecretVersion{Name: s.versionName(uid, n), State: secretmanagerpb.SecretVersion_ENABLED, ClientSpecifiedPayloadChecksum: p.DataCrc32C != nil}, nil
}

// DeleteSecret implements the service.
func (s *SecretServer) DeleteSecret(ctx context.Context, r *secretmanagerpb.DeleteSecretRequest) (*emptypb.Empty, error) {
	uid, err := s.secret(r.GetName())
	if err != nil {
		return nil, err
	}
	err = s.vault.change(ctx, "delete", uid, func() error {
		if _, exists := s.vault.secrets[uid]; !exists {
			return errNoSecret
		}
		delete(s.vault.secrets, uid)
		return nil
	})
	if err != nil {
		return nil, secretStatus(r.GetName(), err)
	}
	return &emptypb.Empty{}, nil
}

// secret is the user whose secret that is.
func (s *SecretServer) secret(name string) (uid string, err error) {
	uid, ours := strings.CutPrefix(name, secret.Name(s.project, ""))
	switch {
	case strings.Contains(uid, "/"):
		return "", status.Errorf(codes.InvalidArgument, "name %q: want projects/P/secrets/S", name)
	case !ours:
		return "", status.Errorf(codes.PermissionDenied, "permission denied on %q, or it may not exist", name)
	}
	return uid, nil
}

func (s *SecretServer) version(name string) (uid, version string, err error) {
	of, version, ok := strings.Cut(name, "/versions/")
	if !ok || version == "" {
		return "", "", status.Errorf(codes.InvalidArgument, "name %q: want projects/P/secrets/S/versions/V", name)
	}
	uid, err = s.secret(of)
	return uid, version, err
}

func (s *SecretServer) versionName(uid string, n int) string {
	return secret.Name(s.project, uid) + "/versions/" + strconv.Itoa(n)
}

// secretStatus is how Secret Manager would say it.
func secretStatus(name string, err error) error {
	switch {
	case errors.Is(err, errSecret):
		return status.Errorf(codes.AlreadyExists, "secret %q already exists", name)
	case errors.Is(err, secret.ErrNotFound):
		return status.Errorf(codes.NotFound, "secret %q not found or has no versions", name)
	case errors.Is(err, secret.ErrDenied):
		return status.Errorf(codes.FailedPrecondition, "secret version %q is disabled or destroyed", name)
	}
	return status.Error(codes.Unavailable, "unavailable")
}
