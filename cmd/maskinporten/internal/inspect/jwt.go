package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/jws"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Claim is a claim or a header parameter, and what is to be said of it.
type Claim struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// isJWT reports whether text looks like one, as it stands or as a header of a
// call.
func isJWT(text []byte) bool {
	parts := strings.Split(bareToken(text), ".")
	if len(parts) != 3 {
		return false
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	return err == nil && bytes.HasPrefix(header, []byte("{"))
}

// bareToken takes off what stands before a token in a header.
func bareToken(text []byte) string {
	fields := strings.Fields(string(text))
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1]
}

// jwt reads a token or an assertion, as it says itself.
func (f *File) jwt(token string, now time.Time) {
	parts := strings.Split(token, ".")
	header, err := readObject("its header", parts[0])
	if err != nil {
		f.Kind, f.Verdict = Unknown, Verdict{Text: "a JWT that cannot be read: " + err.Error()}
		return
	}
	claims, err := readObject("its payload", parts[1])
	if err != nil {
		f.Kind, f.Verdict = Unknown, Verdict{Text: "a JWT that cannot be read: " + err.Error()}
		return
	}
	// A grant names the client as its issuer, a token the client beside it.
	if claims.Has("client_id") || claims.Has("consumer") {
		f.accessToken(token, header, claims, now)
		return
	}
	f.assertion(token, header, claims, now)
}

// object is a header or a payload, each value as it is written.
type object struct {
	jws.Object
	raw map[string]json.RawMessage
}

// readObject decodes a part of a JWT. Names that stand there twice are an error.
func readObject(what, part string) (object, error) {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return object{}, errors.New(what + " is not base64url")
	}
	o, err := jws.ParseObject(what, data)
	if err != nil {
		return object{}, err
	}
	raw := make(map[string]json.RawMessage)
	return object{o, raw}, json.Unmarshal(data, &raw)
}

// tokenClaims are those that a token can have, in the order in which they are
// shown.
var tokenClaims = []string{
	"iss", "aud", "client_id", "client_amr", "scope", "consumer", "supplier", "delegation_source", "token_type", "iat", "exp", "jti", "pid", "authorization_details",
}

func (f *File) accessToken(token string, header, claims object, now time.Time) {
	f.Kind, f.Token = AccessToken, token
	for _, name := range []string{"alg", "kid"} {
		if raw, ok := header.raw[name]; ok {
			f.Claims = append(f.Claims, Claim{Name: name, Value: show(name, raw), OK: true})
		}
	}
	for _, name := range tokenClaims {
		if raw, ok := claims.raw[name]; ok {
			f.Claims = append(f.Claims, Claim{Name: name, Value: show(name, raw), OK: true})
		}
	}
	expires, _ := claims.Time("exp")
	issuer, _ := claims.Text("iss")
	f.Verdict = Verdict{Opened: true, OK: now.Before(expires)}
	left := expires.Sub(now).Round(time.Second)
	if f.Verdict.OK {
		f.Verdict.Text = fmt.Sprintf("an access token from %s that lives for %v more; its signature was not verified (--verify does)", environmentOrIssuer(issuer), left)
	} else {
		f.Verdict.Text = fmt.Sprintf("an access token from %s that expired %v ago", environmentOrIssuer(issuer), -left)
	}
}

// environmentOrIssuer names an issuer.
func environmentOrIssuer(issuer string) string {
	switch issuer {
	case maskinporten.Prod.Issuer:
		return "prod"
	case maskinporten.Test.Issuer:
		return "test"
	}
	return fmt.Sprintf("%q", clean(issuer))
}

// show is the value of a claim, without persons.
func show(name string, raw json.RawMessage) string {
	switch name {
	case "pid":
		return redact.Hidden
	case "iat", "exp", "nbf":
		var seconds json.Number
		if json.Unmarshal(raw, &seconds) == nil {
			if n, err := seconds.Float64(); err == nil {
				return fmt.Sprintf("%s (%s)", seconds, time.Unix(int64(n), 0).UTC().Format(time.RFC3339))
			}
		}
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return redact.Clean(persons.ReplaceAllString(text, redact.Hidden), 300)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return ""
	}
	return redact.Clean(persons.ReplaceAllString(compact.String(), redact.Hidden), 500)
}
