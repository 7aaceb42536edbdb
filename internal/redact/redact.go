// Package redact makes text that others wrote fit for logs and errors: one
// short line, without control characters, and without what must not be
// printed. Servers, certificates and proxies may put anything there, also an
// echo of what they were sent.
package redact

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
)

// Hidden stands where something was taken out.
const Hidden = "[hidden]"

// Clean returns s as one line of at most n characters, without secrets,
// without those texts that the caller knows to be secret, and without persons.
// What is secret is taken out before the text is cut, for half of a secret is
// not seen to be one.
func Clean(s string, n int, secrets ...string) string {
	return Cut(Persons(Secrets(OneLine(s), secrets...)), n)
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
// and whatever looks like an assertion, a token or a key. Of a long one that is
// known, parts are taken out as well, last of all: tokens begin alike, and the
// rest of one does not look like a token. A national identity number is taken
// out also where it is written in groups.
func Secrets(s string, known ...string) string {
	for _, secret := range known {
		switch {
		case secret == "":
		case isPerson(secret):
			grouped := regexp.MustCompile(strings.Join(strings.Split(secret, ""), `[ .-]?`))
			s = grouped.ReplaceAllString(s, Hidden)
		default:
			s = strings.ReplaceAll(s, secret, Hidden)
		}
	}
	s = secretLooking.ReplaceAllString(s, Hidden)
	for _, secret := range known {
		s = withoutParts(s, secret)
	}
	return s
}

// minPart is how much of a secret gives it away: 16 characters of base64 are
// 96 bits.
const minPart = 16

// withoutParts returns s without what it has in common with secret.
func withoutParts(s, secret string) string {
	if len(s) < minPart || len(secret) <= minPart {
		return s
	}
	parts := make(map[string]bool, len(secret))
	for i := range len(secret) - minPart + 1 {
		parts[secret[i:i+minPart]] = true
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		end := i
		for j := i; j+minPart <= len(s) && j <= end && parts[s[j:j+minPart]]; j++ {
			end = j + minPart
		}
		if end > i {
			b.WriteString(Hidden)
			i = end
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// Persons returns s without numbers of eleven digits, as Norwegian national
// identity numbers are, also those with a blank, a dot or a dash after the date
// or within it. Digits that are part of a longer number or a word, such as a
// trace id, stay.
func Persons(s string) string {
	return personLike.ReplaceAllStringFunc(s, func(match string) string {
		if isPerson(separators.ReplaceAllString(match, "")) {
			return Hidden
		}
		return match
	})
}

// personLike takes in whole words, so that it finds no part of one; an escape of
// a URL and the name of such a number are words of their own.
var (
	personLike = regexp.MustCompile(`%[0-9A-Fa-f]{2}|(?i:fnr|pid|ssn|f[oø]dselsnummer|personnummer)|[0-9]{2}[ .]?[0-9]{2}[ .]?[0-9]{2}[ .\p{Pd}]{0,3}[0-9]{3} ?[0-9]{2}(?:[\pL\pN]+)?|[\pL\pN]+`)
	separators = regexp.MustCompile(`[ .\p{Pd}]`)
)

func isPerson(s string) bool {
	return len(s) == 11 && strings.Trim(s, "0123456789") == ""
}

var (
	// unseen is what a browser does not show, and the title can stand behind.
	unseen    = regexp.MustCompile(`(?is)<style\b.*?</style\s*>|<script\b.*?</script\s*>|<!--.*?-->`)
	htmlTitle = regexp.MustCompile(`(?is)<title\b[^>]*>(.*?)</title>`)
	tag       = regexp.MustCompile(`<[^>]*>`)
)

// FirstLine returns what a gateway's page says first, and whose it is: its
// title, or the first words of a page without one. It is as clean as what
// [Clean] returns.
func FirstLine(body []byte, secrets ...string) string {
	const maxLine = 200
	if bytes.ContainsRune(body, '<') {
		body = unseen.ReplaceAll(body[:min(len(body), maxPage)], nil)
	}
	for line := range strings.Lines(string(body)) {
		if line = OneLine(line); line == "" {
			continue
		}
		m := htmlTitle.FindSubmatch(body)
		switch {
		case m != nil && !strings.Contains(Cut(line, maxLine), OneLine(string(m[1]))):
			line = Cut(line, maxLine/2) + " … " + string(m[1])
		case m == nil && tag.ReplaceAllString(line, "") == "":
			line += " " + firstWords(body)
		}
		return Clean(line, maxLine, secrets...)
	}
	return ""
}

// maxPage is how much of a page is looked through.
const maxPage = 64 << 10

// firstWords returns the first line of a page that is not only tags.
func firstWords(page []byte) string {
	text := tag.ReplaceAllString(string(page[:min(len(page), maxPage)]), "")
	for line := range strings.Lines(text) {
		if line = OneLine(line); line != "" {
			return "… " + line
		}
	}
	return ""
}
