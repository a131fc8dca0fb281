package mem

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

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
	rest, ours := strings.CutPrefix(r.GetName(), secret.Name(s.project, ""))
	uid, version, ok := strings.Cut(rest, "/versions/")
	switch {
	case !ok || version == "":
		return nil, status.Errorf(codes.InvalidArgument, "name %q: want projects/P/secrets/S/versions/V", r.GetName())
	case !ours:
		return nil, status.Errorf(codes.PermissionDenied, "permission denied on %q, or it may not exist", r.GetName())
	}
	payload, n, err := s.vault.access(ctx, uid, version)
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return nil, status.Errorf(codes.NotFound, "secret version %q not found", r.GetName())
	case errors.Is(err, secret.ErrDenied):
		return nil, status.Errorf(codes.FailedPrecondition, "secret version %q is disabled", r.GetName())
	case err != nil:
		return nil, status.Error(codes.Unavailable, "unavailable")
	}
	sum := int64(crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	return &secretmanagerpb.AccessSecretVersionResponse{
		Name:    secret.Name(s.project, uid) + "/versions/" + strconv.Itoa(n),
		Payload: &secretmanagerpb.SecretPayload{Data: payload, DataCrc32C: proto.Int64(sum)},
	}, nil
}
