package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agenttrader/agenttrader/cmd/agenttrader/tty"
	"github.com/agenttrader/agenttrader/pkg/secret"
)

// maxInput is more than two keys ever take.
const maxInput = 64 << 10

// Read reads a pair of keys where nobody else sees them: from a file ("-" is standard input), by a prompt if a person sits
// there, else from standard input. No error quotes what it read.
func Read(ctx context.Context, c *cobra.Command, path string, terminal func(stream any) bool) (secret.Credentials, error) {
	in := c.InOrStdin()
	switch f, isFile := in.(*os.File); {
	case path != "" && path != "-":
		return readFile(c, path)
	case path == "" && isFile && terminal(in):
		return prompt(ctx, f, c.ErrOrStderr())
	}
	return parseKeys(in, "standard input")
}

func prompt(ctx context.Context, in *os.File, out io.Writer) (secret.Credentials, error) {
	keyID, err := tty.ReadHidden(ctx, in, out, "Alpaca key id (not shown): ")
	if err != nil {
		return secret.Credentials{}, err
	}
	secretKey, err := tty.ReadHidden(ctx, in, out, "Alpaca secret key (not shown): ")
	if err != nil {
		return secret.Credentials{}, err
	}
	return secret.NewCredentials(keyID, secretKey)
}

func readFile(c *cobra.Command, path string) (secret.Credentials, error) {
	f, err := os.Open(path) //nolint:gosec // the caller's own
	if err != nil {
		return secret.Credentials{}, fmt.Errorf("--file: %w", err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		tty.Note(c.ErrOrStderr(), "%s can be read by others (%s): 'chmod 600' it, or better delete it afterwards", tty.Escape(path, shownReason), info.Mode().Perm())
	}
	return parseKeys(f, "--file "+tty.Escape(path, shownReason))
}

// parseKeys takes a secret's payload, {"key_id": "…", "secret_key": "…"}, or the two on a line each.
func parseKeys(r io.Reader, from string) (secret.Credentials, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	defer clear(b)
	switch {
	case err != nil:
		return secret.Credentials{}, fmt.Errorf("%s: %w", from, err)
	case len(b) > maxInput:
		return secret.Credentials{}, fmt.Errorf("%s: more than %d bytes are no pair of keys", from, maxInput)
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff"))
	if strings.HasPrefix(text, "{") {
		creds, err := secret.ParsePayload([]byte(text))
		if err != nil {
			err = fmt.Errorf("%s: %w", from, err)
		}
		return creds, err
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) != 2 {
		return secret.Credentials{}, fmt.Errorf(`%s: want {"key_id": "…", "secret_key": "…"}, or the key id and the secret key on a line each; got %s: nothing was stored`, from, tty.Count(len(lines), "line"))
	}
	creds, err := secret.NewCredentials(strings.TrimSpace(lines[0]), strings.TrimSpace(lines[1]))
	if err != nil {
		err = fmt.Errorf("%s: %w", from, err)
	}
	return creds, err
}

// oneUser takes the user's id, and no key: others of this machine see a command's arguments, and the shell remembers them.
func oneUser(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("whose keys? Name the user's id")
	case len(args) > 1:
		return errors.New("want the user's id alone. Keys are never given as arguments, which others see: they are asked for, or read from standard input or --file. If those were keys, make new ones at Alpaca")
	}
	return nil
}
