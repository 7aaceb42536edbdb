package maskinporten

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// OrgNumber is a Norwegian organisation number: nine digits that pass the
// modulus 11 check. Synthetic numbers of test organisations pass it too. The
// zero value is no organisation.
type OrgNumber string

// ParseOrgNumber reads an organisation number as people and systems write it:
// 910753614, 910 753 614, 0192:910753614 (ISO 6523) or NTRNO-910753614 (in a
// virksomhetssertifikat). The error is a *[FieldError].
func ParseOrgNumber(s string) (OrgNumber, error) {
	number, ok := strings.CutPrefix(s, "NTRNO-")
	if !ok {
		number = strings.TrimPrefix(s, iso6523Norway)
	}
	number = strings.ReplaceAll(number, "\u00a0", " ") // as web pages print it
	if len(number) == 11 && number[3] == ' ' && number[7] == ' ' {
		number = number[:3] + number[4:7] + number[8:]
	}
	if !digits(number, 9) {
		return "", invalid("OrgNumber", fmt.Sprintf("%q is not nine digits", shown(s)))
	}
	if !modulus11(number) {
		return "", invalid("OrgNumber", fmt.Sprintf("%q fails the modulus 11 check: look for a mistyped digit", number))
	}
	return OrgNumber(number), nil
}

// iso6523Norway is the code of the Norwegian register of legal entities in ISO 6523.
const iso6523Norway = "0192:"

// ISO6523 is the number as Maskinporten writes it in tokens, 0192:910753614;
// empty for the zero value.
func (n OrgNumber) ISO6523() string {
	if n == "" {
		return ""
	}
	return iso6523Norway + string(n)
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

var elevenDigits = regexp.MustCompile(`[0-9]{11}`)

// shown is a bad number as an error shows it: what was given in its place may
// be a person's.
func shown(s string) string { return redact.Clean(elevenDigits.ReplaceAllString(s, redact.Hidden), 40) }
