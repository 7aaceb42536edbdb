package maskinporten

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// iso6523Norway is the code of the Norwegian register of legal entities in ISO
// 6523. With it in front, Maskinporten writes a number in tokens.
const iso6523Norway = "0192:"

// ParseOrgNumber reads a Norwegian organisation number as people and systems
// write it: 910753614, 910 753 614, 0192:910753614 (ISO 6523) or
// NTRNO-910753614 (in a virksomhetssertifikat). It returns the nine digits, as
// they are wherever this library asks for an organisation. The numbers of
// synthetic test organisations are taken too.
//
// The error is a *[FieldError]: not nine digits, or digits that fail the modulus
// 11 check.
func ParseOrgNumber(s string) (string, error) {
	number, ok := strings.CutPrefix(s, "NTRNO-")
	if !ok {
		number = strings.TrimPrefix(s, iso6523Norway)
	}
	number = strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Zs, c) {
			return ' ' // web pages print one that does not break, or a narrow one
		}
		return c
	}, number)
	if len(number) == 11 && number[3] == ' ' && number[7] == ' ' {
		number = number[:3] + number[4:7] + number[8:]
	}
	if !digits(number, 9) {
		return "", invalid("OrgNumber", maskNumber(s)+" is not nine digits"+whiteSpaceHint(s))
	}
	if !modulus11(number) {
		return "", invalid("OrgNumber", maskNumber(s)+" fails the modulus 11 check: look for a mistyped digit")
	}
	return number, nil
}

// digits reports whether s is n ASCII digits.
func digits(s string, n int) bool {
	return len(s) == n && !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
}

// modulus11 checks nine digits as Brønnøysundregistrene assigns them: weights
// 3 2 7 6 5 4 3 2, and no number whose check digit would be 10.
func modulus11(number string) bool {
	sum := 0
	for i, weight := range [...]int{3, 2, 7, 6, 5, 4, 3, 2} {
		sum += weight * int(number[i]-'0')
	}
	check := (11 - sum%11) % 11
	return check == int(number[8]-'0')
}

// personLike is eleven digits or more, however they are spaced.
var personLike = regexp.MustCompile(`\p{Nd}(?:[\s\p{Zs}\p{Pd}.]*\p{Nd}){10,}`)

// maskNumber quotes a bad number for an error. White space is shown, for it may
// be what is wrong; what may be a person's number, given in the wrong place, is
// not.
func maskNumber(s string) string {
	return strconv.Quote(redact.Cut(redact.Secrets(personLike.ReplaceAllString(s, redact.Hidden)), 40))
}

// whiteSpaceHint points out white space around a value, which is easily
// overlooked.
func whiteSpaceHint(s string) string {
	if strings.TrimSpace(s) != s {
		return "; white space stands before or after it: leave that out"
	}
	return ""
}
