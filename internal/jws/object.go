package jws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Object is a JSON object, each value still as it is written. No name stands
// in it twice, nor in two cases of letters: encoding/json takes either for
// both, so two readers of such an object could see two different claims.
//
// It is also the claims of a token that jwt checks.
type Object []member

type member struct {
	name  string
	value json.RawMessage
}

var _ jwt.Claims = Object(nil)

// maxMembers is far above what a token states. It bounds the work for one that
// somebody has made up.
const maxMembers = 100

// ParseObject reads the top level of data. A name that is one of known but for
// the case of its letters is refused, too. The error is an *[Error], whose
// reason begins with what data is.
func ParseObject(what string, data []byte, known ...string) (Object, error) {
	if !json.Valid(data) {
		return nil, invalid(what + " is not valid JSON")
	}
	return parseValid(what, data, known)
}

// parseValid is ParseObject for data that is valid JSON: that spares the time
// that json.Decoder takes, a third of that for the signature.
func parseValid(what string, data []byte, known []string) (Object, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return nil, invalid(what + " is not a JSON object")
	}
	o := make(Object, 0, 16)
	rest := bytes.TrimSpace(data[1:])
	for rest[0] != '}' {
		if rest[0] == ',' {
			rest = bytes.TrimSpace(rest[1:])
		}
		n := lengthOf(rest)
		name, err := text(rest[:n])
		if err != nil {
			return nil, invalid(what + " is not valid JSON")
		}
		if len(o) == maxMembers {
			return nil, invalid(fmt.Sprintf("%s states more than %d values", what, maxMembers))
		}
		if err := o.checkName(what, name, known); err != nil {
			return nil, err
		}
		rest = bytes.TrimSpace(rest[n:])
		rest = bytes.TrimSpace(rest[1:]) // the colon
		n = lengthOf(rest)
		o = append(o, member{name, rest[:n:n]})
		rest = bytes.TrimSpace(rest[n:])
	}
	return o, nil
}

// checkName refuses a name that one reader takes for another's. Like
// encoding/json, strings.EqualFold takes even the long s for an s.
func (o Object) checkName(what, name string, known []string) error {
	for _, m := range o {
		if strings.EqualFold(m.name, name) {
			return &Error{Reason: fmt.Sprintf("%s states %q twice", what, printable(name)), Ambiguous: true}
		}
	}
	for _, exact := range known {
		if name != exact && strings.EqualFold(name, exact) {
			return &Error{Reason: fmt.Sprintf("%s states %q for %s", what, printable(name), exact), Ambiguous: true}
		}
	}
	return nil
}

// printable is a text of a token for an error. What stands there in place of
// what is expected may be a person.
func printable(s string) string {
	digits := 0
	for _, c := range s {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	if digits >= 11 {
		return redact.Hidden
	}
	return redact.Clean(s, 40)
}

// lengthOf returns the length of the value that data, which is valid JSON from
// here on, begins with.
func lengthOf(data []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return i // of the object that the value stands in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n'):
			return i
		}
	}
	return len(data)
}

// text reads a JSON string, most of which need no decoding.
func text(value []byte) (s string, err error) {
	for i, c := range value {
		if c == '\\' || c >= utf8.RuneSelf || c == '"' != (i == 0 || i == len(value)-1) {
			err = json.Unmarshal(value, &s)
			return s, err
		}
	}
	return string(value[1 : len(value)-1]), nil
}

// UnmarshalJSON reads data as claims. It is for jwt.
func (o *Object) UnmarshalJSON(data []byte) error {
	claims, err := parseValid("its payload", bytes.Clone(data), claimNames)
	if err != nil {
		return err
	}
	*o = claims
	return nil
}

// value returns what is written under name; nil if nothing is, or null, which
// says as little.
func (o Object) value(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name && string(m.value) != "null" {
			return m.value
		}
	}
	return nil
}

// Has reports whether o states anything under name, be it null.
func (o Object) Has(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return m.name == name })
}

// Text returns the string under name; empty if there is none.
func (o Object) Text(name string) (string, error) {
	value := o.value(name)
	if value == nil {
		return "", nil
	}
	s, err := text(value)
	if err != nil {
		return "", invalid("its " + name + " is not a string")
	}
	return s, nil
}

// Texts returns the strings under name, which may be one or an array of them,
// as aud may be (RFC 7519 §4.1.3); nil if there are none.
func (o Object) Texts(name string) ([]string, error) {
	value := o.value(name)
	if value == nil {
		return nil, nil
	}
	if value[0] != '[' {
		one, err := o.Text(name)
		if one == "" {
			return nil, err
		}
		return []string{one}, nil
	}
	var all []string
	if json.Unmarshal(value, &all) != nil {
		return nil, invalid("its " + name + " is neither a string nor an array of strings")
	}
	return all, nil
}

// Time returns the date under name, in seconds since 1970 that may have a
// fraction (RFC 7519 §2); the zero Time if there is none.
func (o Object) Time(name string) (time.Time, error) {
	value := o.value(name)
	if value == nil {
		return time.Time{}, nil
	}
	const year10000 = 253402300800
	n, err := strconv.ParseFloat(string(value), 64)
	if err != nil || n < 0 || n >= year10000 {
		return time.Time{}, invalid("its " + name + " is no time")
	}
	seconds, fraction := math.Modf(n)
	return time.Unix(int64(seconds), int64(fraction*1e9)), nil
}

// Object returns the object under name; nil if there is none.
func (o Object) Object(name string) (Object, error) {
	value := o.value(name)
	if value == nil {
		return nil, nil
	}
	return parseValid("its "+name, value, nil)
}

// Array returns the values in the array under name; nil if there is none.
func (o Object) Array(name string) ([]json.RawMessage, error) {
	value := o.value(name)
	if value == nil {
		return nil, nil
	}
	var values []json.RawMessage
	if json.Unmarshal(value, &values) != nil {
		return nil, invalid("its " + name + " is not an array")
	}
	return values, nil
}

// Objects returns the objects in the array under name; nil if there is none.
func (o Object) Objects(name string) ([]Object, error) {
	values, err := o.Array(name)
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, value := range values {
		inner, err := parseValid("its "+name, value, nil)
		if err != nil {
			return nil, err
		}
		objects = append(objects, inner)
	}
	return objects, nil
}

// Map returns the strings in the object under name; nil if there is none.
func (o Object) Map(name string) (map[string]string, error) {
	inner, err := o.Object(name)
	if err != nil || inner == nil {
		return nil, err
	}
	all := make(map[string]string, len(inner))
	for _, m := range inner {
		if all[m.name], err = inner.Text(m.name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Organisation is an organisation as Maskinporten names one.
type Organisation struct{ Authority, ID string }

const iso6523 = "iso6523-actorid-upis"

// Number returns the Norwegian organisation number in o, nine digits; empty if
// there is none. ISO 6523 allows a third part, which names something within the
// organisation. The check digit is not looked at.
func (o Organisation) Number() string {
	var number string
	var norwegian bool
	switch o.Authority {
	case iso6523:
		number, norwegian = strings.CutPrefix(o.ID, "0192:")
		number, _, _ = strings.Cut(number, ":")
	case "etsi-en-319-412":
		number, norwegian = strings.CutPrefix(o.ID, "NTRNO-")
	}
	if !norwegian || len(number) != 9 || strings.ContainsFunc(number, func(c rune) bool { return c < '0' || c > '9' }) {
		return ""
	}
	return number
}

// Organisation returns the organisation under name; the zero one if there is
// none. Its ID may be written id, as on some of Altinn's pages.
func (o Object) Organisation(name string) (Organisation, error) {
	inner, err := o.Object(name)
	if err != nil {
		return Organisation{}, err
	}
	authority, err := inner.Text("authority")
	if err != nil {
		return Organisation{}, err
	}
	name = "ID"
	if inner.value(name) == nil {
		name = "id"
	}
	id, err := inner.Text(name)
	return Organisation{authority, id}, err
}

// GetExpirationTime returns exp.
func (o Object) GetExpirationTime() (*jwt.NumericDate, error) { return o.date("exp") }

// GetIssuedAt returns iat.
func (o Object) GetIssuedAt() (*jwt.NumericDate, error) { return o.date("iat") }

// GetNotBefore returns nbf.
func (o Object) GetNotBefore() (*jwt.NumericDate, error) { return o.date("nbf") }

// GetIssuer returns iss.
func (o Object) GetIssuer() (string, error) { return o.Text("iss") }

// GetSubject returns sub.
func (o Object) GetSubject() (string, error) { return o.Text("sub") }

// GetAudience returns aud.
func (o Object) GetAudience() (jwt.ClaimStrings, error) {
	audience, err := o.Texts("aud")
	return audience, err
}

func (o Object) date(name string) (*jwt.NumericDate, error) {
	at, err := o.Time(name)
	if err != nil || at.IsZero() {
		return nil, err
	}
	return &jwt.NumericDate{Time: at}, nil
}
