// Package child starts processes that must not outlive this one.
package child

import (
	"os/exec"
	"runtime"
)

// Process is a running child.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Start starts cmd apart from the terminal's Ctrl-C, so that it ends when it is told to. On Linux the kernel kills it
// should this process end in any other way, kill -9 among them; elsewhere it then stays.
func Start(cmd *exec.Cmd) (*Process, error) {
	apart(cmd)
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel's promise is to the thread that started the child: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended is closed when the child has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the child's end and tells how it ended.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Pid is the child's.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Terminate asks the child to end.
func (p *Process) Terminate() error { return terminate(p.cmd.Process) }

// Kill ends it at once.
func (p *Process) Kill() error { return p.cmd.Process.Kill() }
