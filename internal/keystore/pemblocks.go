package keystore

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// pemBlock is a block of PEM (RFC 7468) and the headers that RFC 1421 allowed.
type pemBlock struct {
	label   string
	headers string
	der     []byte
}

// eachBlock calls f with each block of text. encoding/pem passes over a block
// that it cannot read, and with it a certificate that somebody will miss; here
// that is an error, unless the meaning is plain: blocks joined without a line
// break, line breaks as two characters, as blanks or gone, quotation marks,
// indentation, a byte order mark inside.
func eachBlock(text string, f func(n int, b pemBlock) error) error {
	upper := upperASCII(text) // of the same length
	n := 0
	for {
		label, body := marker(upper, "BEGIN ")
		if before := upper[:len(upper)-len(body)]; strings.Contains(before, "-END ") || label == "" && strings.Contains(upper, "-END ") {
			return fmt.Errorf("%w: after block %d of the PEM data there is an END line without its BEGIN line: copy the whole file again", ErrNotKeystore, n)
		}
		if label == "" {
			return nil
		}
		n++
		where := fmt.Sprintf("block %d of the PEM data (%s)", n, redact.Clean(label, 40))
		text, upper = text[len(text)-len(body):], body
		endLabel, after := marker(upper, "END ")
		next, afterNext := marker(upper, "BEGIN ")
		switch {
		case endLabel == "", next != "" && len(afterNext) > len(after):
			return fmt.Errorf("%w: %s is cut off: its END line is missing", ErrNotKeystore, where)
		case endLabel != label:
			return fmt.Errorf("%w: %s ends as %s: copy the whole file again", ErrNotKeystore, where, quoted(endLabel))
		}
		end := strings.Index(upper, "-END ")
		block, ok := decodeBlock(label, text[:end])
		if !ok {
			return fmt.Errorf("%w: %s is damaged: what is in it is not base64", ErrNotKeystore, where)
		}
		if err := f(n, block); err != nil {
			return err
		}
		text, upper = text[len(text)-len(after):], after
	}
}

// marker finds the next line of a kind, BEGIN or END, and returns its label and
// what follows that. The dashes after it may be those before the next marker.
func marker(upper, kind string) (label, after string) {
	_, rest, found := strings.Cut(upper, "-"+kind)
	if !found {
		return "", ""
	}
	end := strings.IndexAny(rest[:min(len(rest), 64)], "-\r\n")
	if end <= 0 {
		return "?", rest
	}
	return strings.Join(strings.Fields(rest[:end]), " "), rest[end:]
}

// decodeBlock decodes what stands between two markers.
func decodeBlock(label, body string) (b pemBlock, ok bool) {
	b.label = label
	if strings.Contains(body, ":") {
		b.headers, body = cutHeaders(body)
	}
	body = strings.Map(func(c rune) rune {
		switch c {
		case ' ', '\t', '\r', '\n', '\v', '\f', '"', '\'', '-':
			return -1
		}
		return c
	}, body)
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	b.der = der
	// An encrypted key in the old form is not decoded, wherever its headers end.
	return b, err == nil || b.encrypted()
}

// cutHeaders splits off the lines with a colon, and those that continue them.
func cutHeaders(body string) (headers, rest string) {
	var h, r strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(body, "\r", "\n")) {
		if strings.Contains(line, ":") {
			h.WriteString(line)
			continue
		}
		r.WriteString(line)
	}
	return h.String(), r.String()
}

// encrypted reports whether b is a key as OpenSSL encrypted it before PKCS#8.
func (b pemBlock) encrypted() bool { return strings.Contains(b.headers, "DEK-Info:") }

// plainText returns data as text without byte order marks, whose dashes and
// blanks are those of the keyboard: a word processor makes others of them.
func plainText(data []byte) string {
	text := string(p12.DecodeText(data))
	if !strings.ContainsFunc(text, func(c rune) bool { return c > unicode.MaxASCII }) {
		return text
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\ufeff':
			return -1
		case unicode.Is(unicode.Pd, c):
			return '-'
		case unicode.Is(unicode.Zs, c):
			return ' '
		}
		return c
	}, text)
}

// pemText returns data as text whose line breaks and letters are ordinary.
func pemText(data []byte) string {
	text := plainText(data)
	if strings.Contains(text, `\`) {
		// Two characters for each line break, as JSON and environment files have
		// them, and four where that was put into JSON once more.
		text = strings.NewReplacer(`\\r`, "", `\\n`, "\n", `\r`, "", `\n`, "\n", "\\\r\n", "\n", "\\\n", "\n").Replace(text)
	}
	return text
}

// upperASCII leaves every byte in its place, whatever text it is.
func upperASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// looksLikePEM reports whether there is the beginning of a block in data.
func looksLikePEM(data []byte) bool {
	return strings.Contains(upperASCII(plainText(data)), "-BEGIN ")
}
