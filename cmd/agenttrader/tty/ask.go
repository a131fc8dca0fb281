package tty

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ReadHidden asks on a terminal, and does not show what is typed. If ctx ends before, the terminal is as it was.
func ReadHidden(ctx context.Context, in *os.File, out io.Writer, prompt string) (string, error) {
	fd := int(in.Fd())
	was, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("%s: this is no terminal: %w", strings.TrimSpace(prompt), err)
	}
	if _, err := fmt.Fprint(out, prompt); err != nil {
		return "", err
	}
	type typed struct {
		text []byte
		err  error
	}
	read := make(chan typed, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		read <- typed{b, err}
	}()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(out)
		return "", errors.Join(errors.New("interrupted: nothing was done"), term.Restore(fd, was))
	case t := <-read:
		_, _ = fmt.Fprintln(out)
		if t.err != nil {
			return "", fmt.Errorf("%s: %w", strings.TrimSpace(prompt), t.err)
		}
		return strings.TrimSpace(string(t.text)), nil
	}
}

// Confirm asks for a word, and refuses to go on with any other. It is not to be asked where nobody types.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question, word string) error {
	if _, err := fmt.Fprintf(out, "%s\nType %s to go on: ", question, word); err != nil {
		return err
	}
	read := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		read <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return errors.New("interrupted: nothing was done")
	case line := <-read:
		if line != word {
			return fmt.Errorf("that was not %s: nothing was done", word)
		}
		return nil
	}
}

// Note says something to a person, beside the result.
func Note(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}
