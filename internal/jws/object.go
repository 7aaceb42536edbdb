package jws

import (
	"bytes"
	"encoding/json"
	"errors"
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

// ParseObject reads the top level of data. Its errors go on after a subject,
// such as "its payload".
func ParseObject(data []byte) (Object, error) {
	if !json.Valid(data) {
		return nil, errors.New("is not valid JSON")
	}
	return parseValid(data)
}

// parseValid reads the top level of data, which is valid JSON: that spares the
// time that json.Decoder takes, a third of that for the signature.
func parseValid(data []byte) (Object, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return nil, errors.New("is not a JSON object")
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
			return nil, errors.New("is not valid JSON")
		}
		if len(o) == maxMembers {
			return nil, fmt.Errorf("states more than %d values", maxMembers)
		}
		if o.states(name) {
			return nil, fmt.Errorf("states %q twice", redact.Clean(name, 40))
		}
		rest = bytes.TrimSpace(rest[n:])
		rest = bytes.TrimSpace(rest[1:]) // the colon
		n = lengthOf(rest)
		o = append(o, member{name, rest[:n:n]})
		rest = bytes.TrimSpace(rest[n:])
	}
	return o, nil
}

// states reports whether o has a member of this name, in any case of letters.
// Like encoding/json, it counts such as the long s, which is an s in Unicode.
func (o Object) states(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return strings.EqualFold(m.name, name) })
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
	claims, err := parseValid(bytes.Clone(data))
	if err != nil {
		return invalid("its payload " + err.Error())
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
	inner, err := parseValid(value)
	if err != nil {
		return nil, invalid("its " + name + " " + err.Error())
	}
	return inner, nil
}

// Array returns the values in the array under name; nil if there is none.
func (o Object) Array(name string) ([]json.RawMessage, error) {
	var values []json.RawMessage
	return values, o.Decode(name, &values)
}

// Decode decodes the value under name into v, as [json.Unmarshal] does; it
// leaves v alone if there is none.
func (o Object) Decode(name string, v any) error {
	value := o.value(name)
	if value != nil && json.Unmarshal(value, v) != nil {
		return invalid("its " + name + " is of another type")
	}
	return nil
}

// Organisation is an organisation as Maskinporten names one.
type Organisation struct{ Authority, ID string }

const iso6523 = "iso6523-actorid-upis"

// Number returns the Norwegian organisation number in o, nine digits; empty if
// there is none. ISO 6523 allows a third part, which names something within the
// organisation. The check digit is not looked at.
func (o Organisation) Number() string {
	var number string
	switch o.Authority {
	case iso6523:
		number, _ = strings.CutPrefix(o.ID, "0192:")
		number, _, _ = strings.Cut(number, ":")
	case "etsi-en-319-412":
		number, _ = strings.CutPrefix(o.ID, "NTRNO-")
	}
	if len(number) != 9 || strings.ContainsFunc(number, func(c rune) bool { return c < '0' || c > '9' }) {
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
