//go:build unix

package emulator

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C from the emulator: whoever started it stops it, after the drain.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
