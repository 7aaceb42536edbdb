package jws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Object is a JSON object, each value still as it is written. No name stands
// in it twice, nor in two cases of letters: encoding/json takes either for
// both, so two readers of such an object could see two different claims.
//
// It is also the claims of a token that jwt checks.
type Object map[string]json.RawMessage

var _ jwt.Claims = Object(nil)

// ParseObject reads the top level of data. Its errors go on after a subject,
// such as "its payload".
func ParseObject(data []byte) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	o := make(Object)
	folded := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, errors.New("is not valid JSON")
		}
		if key := fold(name); folded[key] {
			return nil, fmt.Errorf("states %q twice", redact.Clean(name, 40))
		} else {
			folded[key] = true
		}
		o[name] = value
	}
	if _, err := d.Token(); err != nil || len(bytes.TrimSpace(data[d.InputOffset():])) > 0 {
		return nil, errors.New("is not valid JSON")
	}
	return o, nil
}

// fold returns what names that encoding/json takes for one have in common:
// each letter is the least of those that differ from it only in case.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		for {
			next := unicode.SimpleFold(c)
			if next <= c {
				return next
			}
			c = next
		}
	}, name)
}

// UnmarshalJSON reads data as claims. It is for jwt.
func (o *Object) UnmarshalJSON(data []byte) error {
	claims, err := ParseObject(data)
	if err != nil {
		return invalid("its payload " + err.Error())
	}
	*o = claims
	return nil
}

// absent reports whether o states nothing under name: null says as little as
// no value.
func (o Object) absent(name string) bool {
	value := o[name]
	return len(value) == 0 || string(value) == "null"
}

// Text returns the string under name; empty if there is none.
func (o Object) Text(name string) (string, error) {
	var s string
	if !o.absent(name) && json.Unmarshal(o[name], &s) != nil {
		return "", invalid("its " + name + " is not a string")
	}
	return s, nil
}

// Texts returns the strings under name, which may be one or an array of them,
// as aud may be (RFC 7519 §4.1.3); nil if there are none.
func (o Object) Texts(name string) ([]string, error) {
	if o.absent(name) {
		return nil, nil
	}
	var all []string
	if o[name][0] != '[' {
		one, err := o.Text(name)
		if one != "" {
			all = []string{one}
		}
		return all, err
	}
	if json.Unmarshal(o[name], &all) != nil {
		return nil, invalid("its " + name + " is neither a string nor an array of strings")
	}
	return all, nil
}

// Time returns the date under name, in seconds since 1970 that may have a
// fraction (RFC 7519 §2); the zero Time if there is none.
func (o Object) Time(name string) (time.Time, error) {
	if o.absent(name) {
		return time.Time{}, nil
	}
	const year10000 = 253402300800
	var n float64
	if json.Unmarshal(o[name], &n) != nil || n < 0 || n >= year10000 {
		return time.Time{}, invalid("its " + name + " is no time")
	}
	seconds, fraction := math.Modf(n)
	return time.Unix(int64(seconds), int64(fraction*1e9)), nil
}

// Object returns the object under name; nil if there is none.
func (o Object) Object(name string) (Object, error) {
	if o.absent(name) {
		return nil, nil
	}
	inner, err := ParseObject(o[name])
	if err != nil {
		return nil, invalid("its " + name + " " + err.Error())
	}
	return inner, nil
}

// Array returns the values in the array under name; nil if there is none.
func (o Object) Array(name string) ([]json.RawMessage, error) {
	var values []json.RawMessage
	if !o.absent(name) && json.Unmarshal(o[name], &values) != nil {
		return nil, invalid("its " + name + " is not an array")
	}
	return values, nil
}

// Organisation is an organisation as Maskinporten names one.
type Organisation struct{ Authority, ID string }

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
	member := "ID"
	if inner.absent(member) {
		member = "id"
	}
	id, err := inner.Text(member)
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
