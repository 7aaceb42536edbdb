package redact

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestClean(t *testing.T) {
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl"
	for _, tt := range []struct {
		name, reason, in, want string
		n                      int
		known                  []string
	}{
		{"line breaks", "a log line is one line", "a\r\nb\tc", "a  b c", 20, nil},
		{"escapes", "a terminal must not obey foreign text", "a\x1b[31mb\x00\u202e", "a[31mb", 20, nil},
		{"length", "in characters", "æøåæøå", "æøå…", 4, nil},
		{"token", "the look of a JWT suffices", "got " + jwt, "got [hidden]", 40, nil},
		{"cut token", "half of a secret is a secret", "0123456789 " + jwt, "0123456789 [hi…", 15, nil},
		{"base64", "a key has no dots", strings.Repeat("QUJD", 16), "[hidden]", 40, nil},
		{"known", "a short one has no look", "token abc123 refused", "token [hidden] refused", 40, []string{"abc123"}},
		{"empty known", "nothing is nothing to take out", "ab", "ab", 40, []string{""}},
		{"host", "a host name is no secret", "inntekt.api.skatteetaten.no", "inntekt.api.skatteetaten.no", 40, nil},
		{"part of a known one", "a server may cut its echo", "got cdefghijklmnopqrstuvwx, sorry", "got [hidden], sorry", 40, []string{"abcdefghijklmnopqrstuvwxyz"}},
		{"two parts", "or wrap it", "abcdefghijklmnop qrstuvwxyzABCDEF", "[hidden] [hidden]", 40, []string{"abcdefghijklmnopqrstuvwxyzABCDEF"}},
		{"another that begins as a known one", "its rest does not look like a token", "got eyJhbGciOiJSUzI1NiIsImtpZCI6ImIifQ.e30.c2ln", "got [hidden]", 40, []string{"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.c2ln"}},
		{"too little of it", "fifteen characters are no part", "abcdefghijklmno", "abcdefghijklmno", 40, []string{"abcdefghijklmnopqrstuvwxyz"}},
		{"a person", "eleven digits", "pid=12345678901.", "pid=[hidden].", 40, nil},
		{"a person in two groups", "as on a passport", "for 123456 78901", "for [hidden]", 40, nil},
		{"a person in other groups", "as a form or another country writes it", "for 123456-78901, 12.34.56 78901, 12 34 56 789 01, 123456 – 78901", "for [hidden], [hidden], [hidden], [hidden]", 80, nil},
		{"a date and a time", "fewer digits", "2026-11-28 03:22:51.123456", "2026-11-28 03:22:51.123456", 40, nil},
		{"a UUID of digits", "longer groups and shorter ones", "12345678-1234-1234-1234-123456789012", "12345678-1234-1234-1234-123456789012", 40, nil},
		{"a known person in other groups", "as a server may write it", "for 12 34 56-789 01", "for [hidden]", 40, []string{"12345678901"}},
		{"an organisation", "nine digits are public", "0192:974760673", "0192:974760673", 40, nil},
		{"a longer number", "a support id", "123456789012", "123456789012", 40, nil},
		{"digits in a trace id", "hexadecimal", "a12345678901f 12345678901f", "a12345678901f 12345678901f", 40, nil},
		{"a person in a URL", "an escape is no part of the number", "urn%3Ano%3A12345678901%2F1", "urn%3Ano%3A[hidden]%2F1", 40, nil},
		{"a person behind the number's name", "as a log line has it", "fnr12345678901 PID12345678901", "fnr[hidden] PID[hidden]", 40, nil},
		{"an address", "eleven digits, and dots", "139.105.36.164", "139.105.36.164", 40, nil},
		{"two numbers", "not six and five digits", "HTTP 400 12345678", "HTTP 400 12345678", 40, nil},
		{"longer groups", "six and more than five digits", "123456 789012", "123456 789012", 40, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, Clean(tt.in, tt.n, tt.known...), tt.reason)
		})
	}
}

func TestFirstLine(t *testing.T) {
	assert.Equal(t, "<html> … Request Rejected", FirstLine([]byte("\n \n<html>\n<title>Request Rejected</title>")), "a page says whose it is in its title")
	assert.Equal(t, "<html><title>Gone</title>", FirstLine([]byte("<html><title>Gone</title>\nmore")), "the title is not said twice")
	assert.Empty(t, FirstLine([]byte(" \n\t")))

	style := "<style>" + strings.Repeat("a{color:red}", 40) + "</style>"
	assert.Equal(t, "<html><title>Avvist</title>", FirstLine([]byte("<html>"+style+"<title>Avvist</title>")), "a page on one line has its style before the title")
	assert.Equal(t, "<html> … Blocked", FirstLine([]byte("<html>\n<script>\nvar x\n</script>\nBlocked")), "a script says nothing")
	assert.Equal(t, "<html> … Blocked", FirstLine([]byte("<html>\n<!--\n a licence\n-->\nBlocked")), "nor does a comment")
	meta := strings.Repeat(`<meta name="x" content="y">`, 20)
	assert.Contains(t, FirstLine([]byte("<html>"+meta+"<title>Avvist</title>")), "… Avvist", "whatever stands before it")
	assert.Equal(t, "a < b", FirstLine([]byte("a < b")))
}
