package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/agenttrader/agenttrader/pkg/child"
)

const (
	startWait   = 30 * time.Second
	stopWait    = 10 * time.Second       // what Cloud Run gives
	restartGap  = 100 * time.Millisecond // doubles each time
	restartMost = 5 * time.Second
)

// process is one service as a process of its own, started again on the same port whenever it ends, as Cloud Run does.
type process struct {
	name, path, url string
	env             []string
	logs            io.Writer
	log             *slog.Logger

	mu       sync.Mutex
	running  *child.Process
	restarts int
	stopping bool
	ended    chan struct{}
}

// startProcess returns when the service says that it is healthy.
func startProcess(ctx context.Context, name, folder string, env []string, logs io.Writer, log *slog.Logger) (*process, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: no free port: %w", name, err)
	}
	host, port, _ := net.SplitHostPort(addr)
	p := &process{
		name: name, path: filepath.Join(folder, name), url: "http://" + addr, logs: logs, log: log,
		env: append([]string{"HOST=" + host, "PORT=" + port}, env...), ended: make(chan struct{}),
	}
	if _, err := os.Stat(p.path); err != nil {
		return nil, fmt.Errorf("%s: no binary %s: 'make build' makes them, --bin says where they are", name, p.path)
	}
	if err := p.launch(); err != nil {
		return nil, err
	}
	go p.supervise()
	if err := p.await(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (p *process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil
	}
	cmd := exec.Command(p.path) //nolint:gosec,noctx // it is stopped in order, see stop
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, p.logs, p.logs
	running, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.running = running
	return nil
}

// supervise starts the service again until it is told to stop.
func (p *process) supervise() {
	defer close(p.ended)
	for {
		err := p.running.Wait()
		p.mu.Lock()
		stopping := p.stopping
		if !stopping {
			p.restarts++
		}
		p.mu.Unlock()
		if stopping {
			return
		}
		p.log.Warn("service ended and is started again", "service", p.name, "error", err)
		time.Sleep(min(restartMost, restartGap<<min(p.restarts-1, 10)))
		if err := p.launch(); err != nil {
			p.log.Error("service does not start", "service", p.name, "error", err)
			return // what it leaves undone is lost, and the oracle says so
		}
	}
}

func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		p.mu.Lock()
		restarts := p.restarts
		p.mu.Unlock()
		if restarts > 2 {
			return fmt.Errorf("%s: it does not stay up: its log says why", p.name)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not healthy after %s", p.name, startWait)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// pid is the running process's.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running.Pid()
}

// stop asks the service to end, and kills it when it takes too long.
func (p *process) stop() {
	p.mu.Lock()
	p.stopping = true
	running := p.running
	p.mu.Unlock()
	_ = running.Terminate()
	select {
	case <-p.ended:
	case <-time.After(stopWait):
		_ = running.Kill()
		<-p.ended
	}
}
