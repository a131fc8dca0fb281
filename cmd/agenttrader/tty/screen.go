package tty

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// barFrom is how much is worth a bar.
const barFrom = 20

// IsTerminal says that a stream is one.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width is a terminal's, 0 for anything else.
func Width(w io.Writer, terminal func(stream any) bool) int {
	if !terminal(w) {
		return 0
	}
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}

// Bar is seen on a terminal only, and not for a few things; -1 is for an unknown number. Clear takes it away.
func Bar(w io.Writer, terminal bool, total int, what string) *progressbar.ProgressBar {
	visible := terminal && (total < 0 || total >= barFrom)
	return progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true),
		progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine goes on writing after the end
}
