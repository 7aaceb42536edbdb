// Package redact makes text that others wrote fit for logs and errors: one
// short line, without control characters, and without what must not be
// printed. Servers, certificates and proxies may put anything there, also an
// echo of what they were sent.
package redact

import (
	"regexp"
	"strings"
	"unicode"
)

// Hidden stands where something was taken out.
const Hidden = "[hidden]"

// Clean returns s as one line of at most n characters, without secrets and
// without those texts that the caller knows to be secret. What is secret is
// taken out before the text is cut, for half of a secret is not seen to be one.
func Clean(s string, n int, secrets ...string) string {
	return Cut(Secrets(OneLine(s), secrets...), n)
}

// OneLine returns s with every kind of white space made a blank and what does
// not print left out.
func OneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case !unicode.IsPrint(c), c == unicode.ReplacementChar:
			return -1
		}
		return c
	}, s))
}

// Cut returns the first n characters of s, with an ellipsis if there are more.
func Cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// secretLooking is what assertions, tokens and keys look like: a JWT or its
// beginning, or a long run of base64. No label of a host name is as long.
var secretLooking = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*|[A-Za-z0-9_+/=-]{64,}`)

// Secrets returns s without secrets: those that the caller knows, literally,
// and whatever looks like an assertion, a token or a key.
func Secrets(s string, known ...string) string {
	for _, secret := range known {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, Hidden)
		}
	}
	return secretLooking.ReplaceAllString(s, Hidden)
}

var htmlTitle = regexp.MustCompile(`(?is)<title>(.*?)</title>`)

// FirstLine returns what a gateway's page says first, and whose it is: its
// title. It is as clean as what [Clean] returns.
func FirstLine(body []byte, secrets ...string) string {
	for line := range strings.Lines(string(body)) {
		if line = OneLine(line); line == "" {
			continue
		}
		if m := htmlTitle.FindSubmatch(body); m != nil && !strings.Contains(line, OneLine(string(m[1]))) {
			line += " … " + string(m[1])
		}
		return Clean(line, 200, secrets...)
	}
	return ""
}
