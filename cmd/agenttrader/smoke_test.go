package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

type smoked struct {
	UserID string `json:"user_id"`
	OK     bool   `json:"ok"`
	Left   string `json:"left"`
	Steps  []struct {
		Step  string  `json:"step"`
		OK    bool    `json:"ok"`
		Found string  `json:"found"`
		Secs  float64 `json:"seconds"`
	} `json:"steps"`
}

func (s smoked) names() (names []string) {
	for _, step := range s.Steps {
		if !step.OK {
			step.Step += " failed"
		}
		names = append(names, step.Step)
	}
	return names
}

// The check of docs/deploy.md with the binaries, on the emulator: as it goes, as it fails, and interrupted. It leaves nobody.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all binaries, and waits for a full minute: left out with -short")
	}
	emulator.Require(t)
	dir := binaries(t)
	t.Parallel()
	u := startUp(t, dir, "--users", "0", "--ticks", "0", "--fault", "401=PKWRONG", "--json")
	p := &operator{t: t, program: dir + "/agenttrader", env: u.environment(t)}
	smoke := func(why, keys string, args ...string) (s smoked) {
		t.Helper()
		out, errs, err := p.run(keys, append([]string{"smoke", "--json"}, args...)...)
		if e := json.Unmarshal([]byte(out), &s); e != nil || (err != nil) != (why != "") || !strings.Contains(errs, why) {
			t.Fatalf("smoke %v: %v, %v; want %q\n%s%s\n%s", args, err, e, why, out, errs, u.log())
		}
		return s
	}
	nobody := func(uid string) {
		t.Helper()
		if out, errs, err := p.run("", "users", "list", "--json"); err != nil || strings.Contains(out, uid) {
			t.Errorf("users list: %v, %s%s; want nobody", err, out, errs)
		}
		p.fails("nothing of theirs", "", "users", "remove", uid, "--yes")
	}
	const keys = "PKCANARYsmoke\ncanary-secret\n"

	s := smoke("Alpaca refuses these keys", "PKWRONG\ncanary-secret\n")
	if want := []string{"user", "keys failed", "clean-up"}; !slices.Equal(s.names(), want) {
		t.Errorf("refused keys: %v, want %v", s.names(), want)
	}
	nobody(s.UserID)

	time.Sleep(time.Until(time.Now().Add(10 * time.Second).Truncate(time.Minute).Add(5 * time.Second))) // no tick comes now
	s = smoke("no sync was tried", keys, "--wait", "1s")
	if want := []string{"user", "keys", "strategy", "snapshot failed", "clean-up"}; !slices.Equal(s.names(), want) {
		t.Errorf("no tick: %v, want %v", s.names(), want)
	}
	nobody(s.UserID)

	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), p.program, "smoke")
	cmd.Env, cmd.Stdin, cmd.Stderr = slices.Concat(p.env, []string{"HOME=" + t.TempDir()}), strings.NewReader(keys), &errs
	read, write := io.Pipe()
	cmd.Stdout = write
	go func() {
		b := make([]byte, 4096)
		for told := false; ; {
			n, err := read.Read(b)
			out.Write(b[:n])
			if err != nil {
				return
			}
			if !told && strings.Contains(out.String(), "strategy") {
				told = true
				_ = cmd.Process.Signal(syscall.SIGINT) // once: a second one ends it
			}
		}
	}()
	err := cmd.Run()
	_ = write.Close()
	if err == nil || !strings.Contains(errs.String(), "interrupted") || !strings.Contains(errs.String(), "user smoke-") {
		t.Errorf("interrupted: %v\n%s", err, errs.String())
	}
	_, after, _ := strings.Cut(errs.String(), "user ")
	uid, _, _ := strings.Cut(after, ";")
	nobody(uid)

	s = smoke("", keys)
	if want := []string{"user", "keys", "strategy", "snapshot", "signal", "clean-up"}; !slices.Equal(s.names(), want) || !s.OK {
		t.Fatalf("%+v, want %v", s, want)
	}
	if found := s.Steps[4].Found; !strings.HasPrefix(found, "buy SPY for $") || !strings.Contains(found, "pending") {
		t.Errorf("signal: %s", found)
	}
	nobody(s.UserID)

	if err := u.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := u.wait(); err != nil {
		t.Errorf("up: %v\n%s%s", err, u.stdout.Bytes(), u.log())
	}
	if all := p.printed.String() + errs.String() + u.log() + u.stdout.String(); strings.Contains(all, "canary") || strings.Contains(all, "CANARY") {
		t.Error("a key was shown")
	}
}
