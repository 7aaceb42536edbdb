package jws

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// issuedAhead is how far ahead of ours the clock of Maskinporten may be: as
// much as Maskinporten tolerates itself. Nothing is added to exp and nbf.
const issuedAhead = 10 * time.Second

// Key is a key that verifies.
type Key struct {
	RSA *rsa.PublicKey
	Alg string // the only algorithm it may be used with; empty when its key set does not say
}

// KnownAlgorithm reports whether alg is one that Maskinporten signs with.
func KnownAlgorithm(alg string) bool { return methods[alg] != nil }

// Verifier verifies the tokens of one issuer. It is safe for concurrent use;
// make it with [NewVerifier].
type Verifier struct {
	issuer string
	find   func(ctx context.Context, kid string) (*Key, error)
	parser *jwt.Parser

	// header is the last one of a good token: as long as the key is the same
	// all have the same, and need not be looked at again.
	header atomic.Pointer[header]
}

// NewVerifier returns a Verifier of the tokens of issuer, whose keys find
// finds by their kid.
func NewVerifier(issuer string, find func(ctx context.Context, kid string) (*Key, error)) *Verifier {
	return &Verifier{
		issuer: issuer,
		find:   find,
		parser: jwt.NewParser(
			jwt.WithValidMethods(slices.Sorted(maps.Keys(methods))),
			jwt.WithIssuer(issuer),
			jwt.WithExpirationRequired(),
			jwt.WithStrictDecoding(),
		),
	}
}

// Verify returns the claims of a token that one of the issuer's keys has
// signed with RS256, RS384 or RS512, and that is valid now. The error is an
// *[Error] or [ErrNotJWT], or what finding the key failed with.
func (v *Verifier) Verify(ctx context.Context, token string) (Object, error) {
	encoded, _, _, err := split(token)
	if err != nil {
		return nil, err
	}
	known := v.header.Load()
	h := known
	if h == nil || h.encoded != encoded {
		if h, err = parseHeader(encoded); err != nil {
			return nil, err
		}
	}
	var claims Object
	var notFound error
	_, err = v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if err := v.checkIssuer(claims); err != nil {
			return nil, err // whatever its key: none need be found
		}
		key, err := v.find(ctx, h.kid)
		if err != nil {
			notFound = err
			return nil, err
		}
		if key.Alg != "" && key.Alg != h.alg {
			return nil, invalid(fmt.Sprintf("its alg is %s, but its key is for %s", h.alg, key.Alg))
		}
		t.Method = methods[h.alg] // any package of the program may have put another into jwt's registry
		return key.RSA, nil
	})
	if notFound != nil {
		return nil, notFound
	}
	if err != nil {
		return nil, v.explain(token, claims, err)
	}
	if err := checkIssued(claims); err != nil {
		return nil, err
	}
	if h != known {
		v.header.Store(h)
	}
	return claims, nil
}

// explain says what err of jwt's parser means. A token that is wrong in
// several ways has expired only if it is wrong in no other.
func (v *Verifier) explain(token string, claims Object, err error) error {
	var reason *Error
	switch {
	case errors.As(err, &reason):
		return reason
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("its signature is wrong")
	case errors.Is(err, jwt.ErrTokenMalformed):
		if _, err := Unverified(token); err != nil {
			return err
		}
		return invalid("its signature is not base64url")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return invalid("it states no exp")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return invalid("it is not valid yet: its nbf is in the future")
	case errors.Is(err, jwt.ErrTokenExpired):
		if err := checkIssued(claims); err != nil {
			return err
		}
		expiry, _ := claims.Time("exp")
		return &Error{Reason: "it expired at " + expiry.UTC().Format(time.RFC3339), Expired: true}
	}
	return invalid("it cannot be verified")
}

// checkIssuer finds tokens of other environments.
func (v *Verifier) checkIssuer(claims Object) error {
	issuer, err := claims.Text("iss")
	if err == nil && issuer != v.issuer {
		return invalid(fmt.Sprintf("its issuer is %q, not %q", redact.Clean(issuer, 100), v.issuer))
	}
	return err
}

// checkIssued holds iat to our clock, with the tolerance that jwt gives to all
// times of a token or to none.
func checkIssued(claims Object) error {
	issued, err := claims.Time("iat")
	switch {
	case err != nil:
		return err
	case issued.IsZero():
		return invalid("it states no iat")
	case issued.After(time.Now().Add(issuedAhead)):
		return invalid("it is issued in the future: one of the clocks is off")
	}
	return nil
}

// header is what a token's header says. It is immutable.
type header struct{ encoded, alg, kid string }

func parseHeader(encoded string) (*header, error) {
	decoded, err := decoder.DecodeSegment(encoded)
	if err != nil {
		return nil, invalid("its header is not base64url")
	}
	h, err := ParseObject("its header", decoded, "alg", "kid", "crit")
	if err != nil {
		return nil, err
	}
	alg, err := h.Text("alg")
	if err != nil {
		return nil, err
	}
	kid, err := h.Text("kid")
	if err != nil {
		return nil, err
	}
	switch {
	case methods[alg] == nil:
		return nil, invalid(fmt.Sprintf("its alg is %q: Maskinporten signs with RS256, RS384 or RS512", redact.Clean(alg, 20)))
	case h.Has("crit"):
		return nil, invalid("its header demands an extension (crit) that is not known here")
	case kid == "":
		return nil, invalid("its header names no key (kid)")
	}
	return &header{encoded: strings.Clone(encoded), alg: alg, kid: kid}, nil
}
