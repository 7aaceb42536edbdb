// Package resourceserver verifies the access tokens of Maskinporten, for those
// who offer an API. It needs no client and no key.
//
//	verifier, err := resourceserver.NewVerifier(maskinporten.Prod, nil)
//	http.Handle("/saldo", verifier.Require("bank:saldo")(saldo))
//
// The handler finds what the token says with [ClaimsFromContext]. An API that
// is not served over net/http calls [Verifier.Verify].
package resourceserver

import (
	"context"
	"fmt"
	"net/http"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/jws"
)

// Verifier checks access tokens. It is safe for concurrent use; make one, and
// share it: it keeps the environment's public keys for 24 hours. Make it with
// [NewVerifier].
type Verifier struct {
	env    maskinporten.Environment
	tokens *jws.Verifier
}

// NewVerifier returns a Verifier of tokens from env. It does no I/O: the keys
// are fetched from env.JWKSURL with hc (which may be nil) when the first token
// comes. hc is copied, and the copy follows no redirects. The errors are
// *[maskinporten.FieldError].
func NewVerifier(env maskinporten.Environment, hc *http.Client) (*Verifier, error) {
	if err := check(env); err != nil {
		return nil, err
	}
	keys := newKeySet(env.JWKSURL, endpoint.NewClient(hc))
	return &Verifier{env: env, tokens: jws.NewVerifier(env.Issuer, keys.find)}, nil
}

func (v *Verifier) empty() bool { return v == nil || v.tokens == nil }

// check finds what would make every token invalid.
func check(env maskinporten.Environment) error {
	invalid := func(field, problem string) error {
		return &maskinporten.FieldError{Field: field, Problem: problem}
	}
	if env == (maskinporten.Environment{}) {
		return invalid("Environment", "is missing: use maskinporten.Prod or maskinporten.Test")
	}
	if problem := endpoint.CheckURL(env.Issuer); problem != "" {
		return invalid("Environment.Issuer", problem)
	}
	if problem := endpoint.CheckURL(env.JWKSURL); problem != "" {
		return invalid("Environment.JWKSURL", problem)
	}
	for _, known := range []maskinporten.Environment{maskinporten.Prod, maskinporten.Test} {
		if env.Issuer+"/" == known.Issuer {
			return invalid("Environment.Issuer", fmt.Sprintf("%q lacks the slash at its end: Maskinporten's has one, and tokens are compared to the letter", env.Issuer))
		}
		if env.JWKSURL == known.JWKSURL && env.Issuer != known.Issuer {
			return invalid("Environment.JWKSURL", fmt.Sprintf("is the key set of %s, not of %s: give both of one environment", known.Issuer, env.Issuer))
		}
	}
	return nil
}

// Verify checks that token was signed by one of the environment's keys (RS256,
// RS384 or RS512, nothing else), that its issuer is the environment's to the
// letter, and that it has been issued (by a clock up to ten seconds ahead of
// ours), is valid by now (nbf) and has not expired. A token that states a claim
// twice, or in two cases of letters, is invalid, for two readers could see two
// things in it. Whom it is for (audience, scope) is for the API to decide: see
// [Verifier.Require].
//
// A token that fails is [ErrTokenInvalid]; one whose time is over is
// [ErrTokenExpired] too. Keys that cannot be fetched are
// [maskinporten.ErrUnavailable]: that says nothing of the token. No error
// contains the token.
//
// Keys are kept for 24 hours, and for another 24 while no new ones can be had;
// fetching those makes no call wait. A token by an unknown key makes the keys
// be fetched again, and only then is it found invalid. There are few such
// fetches, three at once and one in ten seconds, as anybody can make up a key's
// name: a token that would need more gets [maskinporten.ErrUnavailable].
// Callers wait for the same fetch, each no longer than its ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	if v.empty() {
		return nil, &maskinporten.FieldError{Field: "Verifier", Problem: "is empty: make it with NewVerifier"}
	}
	claims, err := v.tokens.Verify(ctx, token)
	if err != nil {
		return nil, tokenErrorOf(err)
	}
	return readClaims(claims)
}
