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
	if env == (maskinporten.Environment{}) {
		return nil, &maskinporten.FieldError{Field: "Environment", Problem: "is missing: use maskinporten.Prod or maskinporten.Test"}
	}
	for _, check := range []struct{ field, url string }{{"Environment.Issuer", env.Issuer}, {"Environment.JWKSURL", env.JWKSURL}} {
		if problem := endpoint.CheckURL(check.url); problem != "" {
			return nil, &maskinporten.FieldError{Field: check.field, Problem: problem}
		}
	}
	keys := newKeySet(env.JWKSURL, endpoint.NewClient(hc))
	return &Verifier{env: env, tokens: jws.NewVerifier(env.Issuer, keys.find)}, nil
}

// Verify checks that token was signed by one of the environment's keys (RS256,
// RS384 or RS512, nothing else), that its issuer is the environment's to the
// letter, and that it has been issued and has not expired. Whom it is for
// (audience, scope) is for the API to decide: see [Verifier.Require].
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
	claims, err := v.tokens.Verify(ctx, token)
	if err != nil {
		return nil, tokenErrorOf(err)
	}
	return readClaims(claims)
}
