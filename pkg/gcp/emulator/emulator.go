// Package emulator runs the official Firestore emulator for tests and for local use, and bridges its change events
// to a service as Eventarc would deliver them.
package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agenttrader/agenttrader/pkg/child"
)

// ErrMissing says that this machine has no emulator, and what to install.
var ErrMissing = errors.New("the Firestore emulator is not on this machine")

const (
	jar       = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
	mainClass = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
	startWait = 60 * time.Second
	stopWait  = 5 * time.Second
	callWait  = 30 * time.Second
)

// Emulator is one running Firestore emulator. A project id of its own isolates whoever uses it.
type Emulator struct {
	addr string
	java *child.Process
	log  *tail
	sink *sink
	once sync.Once
}

// Start runs an emulator on a free port of loopback. It lives until Stop; on Linux it also ends with this process,
// however that ends. The error is
// ErrMissing where the jar or Java is.
func Start(ctx context.Context) (*Emulator, error) {
	java, path, err := find()
	if err != nil {
		return nil, err
	}
	sink, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	addr, err := freePort(ctx)
	if err != nil {
		sink.close()
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	e := &Emulator{addr: addr, log: &tail{}, sink: sink}
	cmd := exec.Command(java, "-Xmx1g", "-XX:+UseSerialGC", "-Duser.language=en", "-cp", path, mainClass, //nolint:gosec,noctx // it outlives ctx, and ends by Stop
		"--host=127.0.0.1", "--port="+port, "--functions_emulator="+sink.addr())
	cmd.Stdout, cmd.Stderr = e.log, e.log
	if e.java, err = child.Start(cmd); err != nil {
		sink.close()
		return nil, fmt.Errorf("firestore emulator: %w", err)
	}
	if err := e.await(ctx); err != nil {
		e.Stop() //nolint:contextcheck // ctx may be what ended
		return nil, err
	}
	return e, nil
}

// find is Java, and the jar of the installed SDK.
func find() (java, path string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", fmt.Errorf("%w: no java in PATH: install a Java runtime, 17 or later", ErrMissing)
	}
	var roots []string
	if root := os.Getenv("CLOUDSDK_ROOT_DIR"); root != "" {
		roots = append(roots, root)
	}
	if gcloud, err := exec.LookPath("gcloud"); err == nil {
		if real, err := filepath.EvalSymlinks(gcloud); err == nil {
			roots = append(roots, filepath.Dir(filepath.Dir(real)))
		}
	}
	roots = append(roots, "/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/opt/google-cloud-sdk")
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, "google-cloud-sdk"))
	}
	for _, root := range roots {
		if path := filepath.Join(root, jar); isFile(path) {
			return java, path, nil
		}
	}
	return "", "", fmt.Errorf("%w: no %s under %s: run 'gcloud components install cloud-firestore-emulator' or install your system's package of it",
		ErrMissing, jar, strings.Join(roots, ", "))
}

func isFile(path string) bool {
	info, err := os.Stat(path) // #nosec G703 -- where the SDK of whoever runs it is
	return err == nil && info.Mode().IsRegular()
}

func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("firestore emulator: no free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// awake is a project that nobody else has.
const awake = "awake"

func (e *Emulator) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		// It answers before it can write: the first write loads most of it, which on a busy machine takes longer than a call may.
		if err := e.call(ctx, http.MethodPost, "/v1/projects/"+awake+"/databases/(default)/documents/"+awake, "{}"); err == nil {
			return e.Clear(ctx, awake)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-e.java.Ended():
			return fmt.Errorf("firestore emulator: it ended while starting: %s", e.log)
		case <-ctx.Done():
			return fmt.Errorf("firestore emulator: not up after %s: %s", startWait, e.log)
		}
	}
}

// Addr is host:port of its gRPC and REST side, for FIRESTORE_EMULATOR_HOST.
func (e *Emulator) Addr() string { return e.addr }

// Client connects to a project of the emulator. It bypasses security rules.
func (e *Emulator) Client(ctx context.Context, project string) (*firestore.Client, error) {
	conn, err := grpc.NewClient(e.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(owner{}))
	if err != nil {
		return nil, fmt.Errorf("firestore emulator: %w", err)
	}
	c, err := firestore.NewClient(ctx, project, option.WithGRPCConn(conn))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("firestore emulator: %w", err), conn.Close())
	}
	return c, nil
}

type owner struct{}

func (owner) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (owner) RequireTransportSecurity() bool { return false }

var _ credentials.PerRPCCredentials = owner{}

// Clear deletes all documents of a project.
func (e *Emulator) Clear(ctx context.Context, project string) error {
	return e.call(ctx, http.MethodDelete, "/emulator/v1/projects/"+project+"/databases/(default)/documents", "")
}

// SetRules puts a project's security rules in force at once. Without them all of it is open to everybody. Client passes by them.
func (e *Emulator) SetRules(ctx context.Context, project, rules string) error {
	body, err := json.Marshal(map[string]any{
		"rules": map[string]any{"files": []any{map[string]string{"name": "firestore.rules", "content": rules}}},
	})
	if err != nil {
		return err
	}
	return e.call(ctx, http.MethodPut, "/emulator/v1/projects/"+project+":securityRules", string(body))
}

// Reset forgets everything, of all projects, and frees its memory.
func (e *Emulator) Reset(ctx context.Context) error {
	return e.call(ctx, http.MethodPost, "/reset", "")
}

// Stop ends the emulator and what it delivers to.
func (e *Emulator) Stop() {
	e.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWait)
		defer cancel()
		_ = e.call(ctx, http.MethodPost, "/shutdown", "")
		select {
		case <-e.java.Ended():
		case <-ctx.Done():
			_ = e.java.Kill()
			_ = e.java.Wait()
		}
		e.sink.close()
	})
}

func (e *Emulator) call(ctx context.Context, method, path, body string) error {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.addr+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("firestore emulator: %w", err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer owner")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("firestore emulator: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("firestore emulator: %s %s: %s: %s", method, path, resp.Status, answer)
	}
	return nil
}

// tail keeps the last of what a process says.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	t.buf = t.buf[max(0, len(t.buf)-4096):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
