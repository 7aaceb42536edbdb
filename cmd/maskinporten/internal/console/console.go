// Package console prints results and reports for people and for programs: text
// or JSON, with colour and marks only where a terminal shows them.
package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Console is where the results of a command go (Out), and everything else (Err).
type Console struct {
	Out, Err io.Writer

	// JSON has the result printed as JSON rather than text.
	JSON bool

	// ASCII keeps all output to ASCII.
	ASCII bool

	colour, outTerminal, errTerminal bool

	progress bool // there is one to be taken away
	failed   error
}

// Failed returns why something of the result could not be written, such as that
// the disk is full; nil if all was.
func (c *Console) Failed() error { return c.failed }

// write writes a part of the result.
func (c *Console) write(data []byte) error {
	_, err := c.Out.Write(data)
	if err != nil && c.failed == nil {
		c.failed = err
	}
	return err
}

// New is the console of this process. Its locale and NO_COLOR
// (https://no-color.org) are obeyed.
func New() *Console {
	c := &Console{Out: os.Stdout, Err: os.Stderr, ASCII: !utf8Locale()}
	c.outTerminal = isTerminal(os.Stdout)
	c.errTerminal = isTerminal(os.Stderr)
	c.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return c
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) && showsEscapes(f) }

// utf8Locale reports whether what reads the output takes UTF-8. On Windows the
// console's code page says so, elsewhere the first of the three variables that
// is set (POSIX, XBD 8.2).
func utf8Locale() bool {
	if runtime.GOOS == "windows" {
		return utf8CodePage()
	}
	if runtime.GOOS == "darwin" && os.Getenv("LC_ALL")+os.Getenv("LC_CTYPE")+os.Getenv("LANG") == "" {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := os.Getenv(name); value != "" {
			value = strings.ToLower(value)
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

// Terminal reports whether a person reads the results as they come.
func (c *Console) Terminal() bool { return c.outTerminal && !c.JSON }

// Print prints a line of text to Out.
func (c *Console) Print(format string, args ...any) {
	c.write([]byte(c.fit(fmt.Sprintf(format, args...)) + "\n"))
}

// Note prints a line to Err.
func (c *Console) Note(format string, args ...any) {
	io.WriteString(c.Err, c.fit(fmt.Sprintf(format, args...))+"\n")
}

// Object prints v to Out as one JSON object, on lines of its own.
func (c *Console) Object(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	return c.write(c.fitJSON(b.Bytes()))
}

// Line prints v to Out as JSON on one line.
func (c *Console) Line(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	return c.write(c.fitJSON(b.Bytes()))
}

// Progress shows how far long work has come, on a terminal and nowhere else.
// An empty text takes the last one away.
func (c *Console) Progress(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !c.errTerminal || text == "" && !c.progress {
		return
	}
	c.progress = text != ""
	fmt.Fprintf(c.Err, "\r\x1b[K%s", c.fit(text))
}

// ReadPassword reads one line from standard input, on a terminal without
// showing it.
func (c *Console) ReadPassword() (string, error) {
	stdin := int(os.Stdin.Fd())
	if term.IsTerminal(stdin) {
		fmt.Fprint(c.Err, "Password: ")
		shown, _ := term.GetState(stdin)
		password, err := Interruptible(func() ([]byte, error) { return term.ReadPassword(stdin) })
		if errors.Is(err, errInterrupted) && shown != nil {
			term.Restore(stdin, shown)
		}
		fmt.Fprintln(c.Err)
		return string(password), err
	}
	// As in a password's file: a line break at its end does not count.
	data, err := Interruptible(func() ([]byte, error) { return io.ReadAll(io.LimitReader(os.Stdin, 1<<20)) })
	return strings.TrimRight(string(data), "\r\n"), err
}

// Interrupted is closed when this process is told to end; nil if that ends it
// anyway.
var Interrupted <-chan struct{}

var errInterrupted = errors.New("interrupted")

// Interruptible returns what read does, or an error as soon as the process is
// told to end: nothing else ends a read from a terminal or a pipe.
func Interruptible(read func() ([]byte, error)) ([]byte, error) {
	type outcome struct {
		data []byte
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		data, err := read()
		done <- outcome{data, err}
	}()
	select {
	case o := <-done:
		return o.data, o.err
	case <-Interrupted:
		return nil, errInterrupted
	}
}

// Confirm asks a question on a terminal, and reports whether the answer was yes.
// Where nobody can answer there is no question, and it is.
func (c *Console) Confirm(format string, args ...any) bool {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !c.errTerminal {
		return true
	}
	io.WriteString(c.Err, c.fit(fmt.Sprintf(format, args...))+" [y/N] ")
	var answer string
	fmt.Fscanln(os.Stdin, &answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// fit makes s ASCII if that is all there is.
func (c *Console) fit(s string) string {
	if !c.ASCII {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else if plain, ok := plainText[r]; ok {
			b.WriteString(plain)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}

var plainText = map[rune]string{
	'—': "-", '–': "-", '…': "...", '→': "->", '✓': "+", '✗': "x", '§': "section ", '·': "-",
	'æ': "ae", 'ø': "oe", 'å': "aa", 'Æ': "AE", 'Ø': "OE", 'Å': "AA",
	'é': "e", 'è': "e", 'ê': "e", 'ó': "o", 'ò': "o", 'ô': "o", 'ö': "o", 'ä': "a", 'ü': "u", 'É': "E", 'Ö': "O", 'Ä': "A", 'Ü': "U",
	'“': `"`, '”': `"`, '‘': "'", '’': "'", '«': `"`, '»': `"`,
}

// fitJSON writes what is not ASCII as escapes, which mean the same (RFC 8259,
// section 7).
func (c *Console) fitJSON(data []byte) []byte {
	if !c.ASCII {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteByte(byte(r))
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
