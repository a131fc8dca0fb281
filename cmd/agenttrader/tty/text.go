// Package tty is what the commands that talk to people share: text that is fit to be shown, tables, a bar.
package tty

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Escape makes a stranger's text fit to be shown: what could steer a terminal, or reorder a line, is written as Go
// writes it in a string. It is cut to n bytes before.
func Escape(s string, n int) string {
	cut := len(s) > n
	if cut {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if unicode.IsPrint(r) && (r != utf8.RuneError || size != 1) {
			b.WriteString(s[:size])
		} else {
			q := strconv.Quote(s[:size])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[size:]
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

// Count is a number of things: "1 user", "2 users".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// Encode writes a line of JSON in which nothing can steer a terminal.
func Encode(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() { // outside of strings, JSON is plain ASCII
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Table writes rows in columns; the last one gets what is left of the width (0: all it needs). Cells are escaped already.
func Table(w io.Writer, width int, rows [][]string) error {
	const gap, least = 2, 16
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	last := len(widths) - 1
	if width > 0 {
		room := width
		for _, n := range widths[:last] {
			room -= n + gap
		}
		for i := last - 1; i > 0 && room < least; i-- { // ids are in the first column: they are never cut
			give := min(max(0, widths[i]-8), least-room)
			widths[i] -= give
			room += give
		}
		widths[last] = max(room, least)
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if cell = fit(cell, widths[i]); i < last {
				cell += strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell)+gap)
			}
			b.WriteString(cell)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fit cuts text to a width.
func fit(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		if used += g.Width(); used > width-1 {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}
