package mem

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// KMSServer serves a KMS over Cloud KMS's own gRPC API, so that the real client can be used on it.
type KMSServer struct {
	kmspb.UnimplementedKeyManagementServiceServer
	kms    *KMS
	srv    *grpc.Server
	addr   string
	damage func(*wrapperspb.Int64Value)
}

// ServeKMS listens on addr, which must be of loopback: nobody has to prove who they are. An error of the KMS's hook with a
// gRPC status goes out as it is, any other as UNAVAILABLE.
func ServeKMS(ctx context.Context, addr string, k *KMS) (*KMSServer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("mem: kms: %w", err)
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("mem: kms: %s is not loopback", addr), l.Close())
	}
	s := &KMSServer{kms: k, srv: grpc.NewServer(), addr: l.Addr().String(), damage: func(*wrapperspb.Int64Value) {}}
	kmspb.RegisterKeyManagementServiceServer(s.srv, s)
	go func() { _ = s.srv.Serve(l) }()
	return s, nil
}

// Addr is host:port.
func (s *KMSServer) Addr() string { return s.addr }

// Close ends it.
func (s *KMSServer) Close() { s.srv.Stop() }

// SetDamage makes it call d with the checksum of each answer. Not while it is in use.
func (s *KMSServer) SetDamage(d func(sum *wrapperspb.Int64Value)) { s.damage = d }

// Encrypt implements the service.
func (s *KMSServer) Encrypt(ctx context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	if err := s.check(r.GetName(), r.GetPlaintext(), r.GetPlaintextCrc32C(), r.GetAdditionalAuthenticatedData(), r.GetAdditionalAuthenticatedDataCrc32C()); err != nil {
		return nil, err
	}
	wrapped, err := s.kms.Wrap(ctx, r.GetPlaintext(), r.GetAdditionalAuthenticatedData())
	if err != nil {
		return nil, kmsStatus(err)
	}
	return &kmspb.EncryptResponse{
		Name: r.GetName() + "/cryptoKeyVersions/1", Ciphertext: wrapped, CiphertextCrc32C: s.sum(wrapped),
		VerifiedPlaintextCrc32C: r.GetPlaintextCrc32C() != nil, VerifiedAdditionalAuthenticatedDataCrc32C: r.GetAdditionalAuthenticatedDataCrc32C() != nil,
	}, nil
}

// Decrypt implements the service.
func (s *KMSServer) Decrypt(ctx context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	if err := s.check(r.GetName(), r.GetCiphertext(), r.GetCiphertextCrc32C(), r.GetAdditionalAuthenticatedData(), r.GetAdditionalAuthenticatedDataCrc32C()); err != nil {
		return nil, err
	}
	dataKey, current, err := s.kms.Unwrap(ctx, r.GetCiphertext(), r.GetAdditionalAuthenticatedData())
	if err != nil {
		return nil, kmsStatus(err)
	}
	return &kmspb.DecryptResponse{Plaintext: dataKey, PlaintextCrc32C: s.sum(dataKey), UsedPrimary: current}, nil
}

func (s *KMSServer) check(name string, data []byte, dataSum *wrapperspb.Int64Value, bound []byte, boundSum *wrapperspb.Int64Value) error {
	switch {
	case name != s.kms.name:
		return status.Errorf(codes.NotFound, "CryptoKey %s not found", name)
	case dataSum != nil && dataSum.GetValue() != castagnoli(data), boundSum != nil && boundSum.GetValue() != castagnoli(bound):
		return status.Error(codes.InvalidArgument, "the checksum in the request differs")
	}
	return nil
}

func (s *KMSServer) sum(b []byte) *wrapperspb.Int64Value {
	sum := wrapperspb.Int64(castagnoli(b))
	s.damage(sum)
	return sum
}

func castagnoli(b []byte) int64 { return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) }

func kmsStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return status.Error(status.Code(err), "refused")
	}
	if errors.Is(err, errKMSInput) {
		return status.Error(codes.InvalidArgument, errKMSInput.Error())
	}
	if errors.Is(err, errKMSVersion) {
		return status.Error(codes.FailedPrecondition, errKMSVersion.Error())
	}
	return status.Error(codes.Unavailable, "unavailable")
}
