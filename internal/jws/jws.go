// Package jws makes and reads tokens in the compact form of a JSON Web
// Signature (RFC 7515 §3.1), over golang-jwt: a grant is signed by any
// crypto.Signer, an access token verified by a key of a key set, or read
// without verifying it. What golang-jwt leaves to its callers is here too: a
// bound on the size, line breaks, critical extensions, and names that are
// stated twice.
package jws

import (
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken is far above any token of Maskinporten: those with a long consent
// have a few thousand characters.
const maxToken = 64 << 10

// ErrNotJWT is returned for text that is not a JWT of three parts. A token of
// that kind may be an opaque one, which only its issuer can read.
var ErrNotJWT = errors.New("it is not a JWT of three parts")

// Error is what is wrong with a token. Its text begins with "it" or "its" and
// holds nothing of the token but what has been made fit to print.
type Error struct {
	Reason    string
	Expired   bool // the token was valid, and its time is over
	Ambiguous bool // two readers could read two different things in it
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

func invalid(reason string) error { return &Error{Reason: reason} }

// decoder decodes the parts of a token. It is strict: a token has one spelling.
var decoder = jwt.NewParser(jwt.WithStrictDecoding())

// split returns the parts of a token, still encoded.
func split(token string) (header, payload, signature string, err error) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	switch {
	case !ok || strings.Contains(signature, "."):
		return "", "", "", ErrNotJWT
	case len(token) > maxToken:
		return "", "", "", invalid(fmt.Sprintf("it is longer than %d characters", maxToken))
	case strings.ContainsAny(token, "\r\n"):
		return "", "", "", invalid("it holds a line break") // which base64 would skip
	}
	return header, payload, signature, nil
}

// Unverified returns what token says of itself: nobody has checked who signed
// it, whether it has expired or whose it is. The error is [ErrNotJWT], or an
// *[Error] for a JWT that cannot be read.
func Unverified(token string) (Object, error) {
	_, payload, _, err := split(token)
	if err != nil {
		return nil, err
	}
	decoded, err := decoder.DecodeSegment(payload)
	if err != nil {
		return nil, invalid("its payload is not base64url")
	}
	return ParseObject("its payload", decoded, claimNames...)
}

// claimNames is the claims that decide what a token is good for.
var claimNames = []string{"iss", "iat", "nbf", "exp", "scope", "aud", "client_id", "consumer", "supplier", "pid", "authorization_details"}
