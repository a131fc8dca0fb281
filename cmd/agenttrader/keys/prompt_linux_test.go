package keys

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal, and what a person at it sees.
type pty struct {
	person, program *os.File
	mu              sync.Mutex
	seen            strings.Builder
}

func newPty(t *testing.T) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{person: master, program: slave}
	t.Cleanup(func() { _, _ = master.Close(), slave.Close() })
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := master.Read(b)
			p.mu.Lock()
			p.seen.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pty) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// await waits until the screen shows a text.
func (p *pty) await(t *testing.T, text string) {
	t.Helper()
	for range 500 {
		if strings.Contains(p.screen(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %q on the screen: %q", text, p.screen())
}

// echoes says whether the terminal shows what is typed.
func (p *pty) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(p.program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func (p *pty) awaitEcho(t *testing.T, want bool) {
	t.Helper()
	for range 500 {
		if p.echoes(t) == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the terminal's echo is %t", !want)
}

// A person types the keys; the screen shows neither, and afterwards the terminal is as it was.
func TestPrompt(t *testing.T) {
	p := newPty(t)
	type answer struct {
		same bool
		err  error
	}
	done := make(chan answer, 1)
	want := keysOf(t, "me", "1")
	go func() {
		creds, err := prompt(t.Context(), p.program, p.program)
		done <- answer{creds.Same(want), err}
	}()
	keyID, secretKey := want.Reveal()
	p.await(t, "key id")
	p.awaitEcho(t, false)
	_, _ = p.person.WriteString(keyID + "\n")
	p.await(t, "secret key")
	p.awaitEcho(t, false)
	_, _ = p.person.WriteString(secretKey + "\n")
	if a := <-done; a.err != nil || !a.same {
		t.Errorf("typed keys: same %t, %v", a.same, a.err)
	}
	if screen := p.screen(); strings.Contains(screen, "CANARY") || strings.Contains(screen, "canary") {
		t.Errorf("the screen shows a key: %q", screen)
	}
	if !p.echoes(t) {
		t.Error("the terminal does not show any more what is typed")
	}
}

// Interrupted, it ends, and the terminal is as it was.
func TestPromptInterrupted(t *testing.T) {
	p := newPty(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := prompt(ctx, p.program, p.program)
		done <- err
	}()
	p.await(t, "key id")
	p.awaitEcho(t, false)
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted: %v", err)
	}
	if !p.echoes(t) {
		t.Error("the terminal does not show any more what is typed")
	}
	_, _ = p.person.WriteString("\n") // ends the read that was left
}
