package resourceserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/maskinporten-go/maskinporten"
)

// Require returns middleware that lets a request through only with a valid
// token that grants scope (one, or several separated by spaces, all of them
// required) and, if audiences are given, is restricted to one of them; an
// unrestricted token, with no audience or none but "unspecified", is for
// "unspecified". The handler finds what the token says with [ClaimsFromContext].
//
//	http.Handle("/saldo", verifier.Require("bank:saldo")(saldo))
//
// A token is taken from one Authorization header and nowhere else. Answers to
// requests that are not let through are those of RFC 6750 §3: 401 without an
// error code when there is no token, 401 invalid_token, 403
// insufficient_scope, 400 invalid_request. While it cannot be known whether a
// token is valid, because the environment's keys cannot be fetched or a token's
// key has not been looked for yet, the answer is 503 with Retry-After.
//
// Require panics if scope is empty or malformed, as it would let through
// whoever has a token, or if v is not from [NewVerifier]: those are mistakes in
// the program.
func (v *Verifier) Require(scope string, audience ...string) func(http.Handler) http.Handler {
	if err := (maskinporten.Request{Scope: scope}).Validate(); err != nil {
		panic(fmt.Sprintf("resourceserver: Require: %v", err))
	}
	if v.empty() {
		panic("resourceserver: Require: the Verifier is empty: make it with NewVerifier")
	}
	g := &guard{verifier: v, scopes: strings.Fields(scope), audience: audience}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, failure := g.authorize(r)
			if failure != nil {
				g.writeChallenge(w, failure)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
		})
	}
}

type claimsKey struct{}

// ClaimsFromContext returns what the token says of a request that
// [Verifier.Require] has let through; nil for any other context.
func ClaimsFromContext(ctx context.Context) *Claims {
	claims, _ := ctx.Value(claimsKey{}).(*Claims)
	return claims
}

type guard struct {
	verifier *Verifier
	scopes   []string
	audience []string
}

// authError is why a request was not let through.
type authError struct {
	status      int
	code        string // of RFC 6750 §3.1; empty when there was no token
	description string
}

func (g *guard) authorize(r *http.Request) (*Claims, *authError) {
	token, failure := bearerToken(r.Header)
	if failure != nil {
		return nil, failure
	}
	claims, err := g.verifier.Verify(r.Context(), token)
	switch {
	case errors.Is(err, ErrTokenExpired):
		return nil, &authError{http.StatusUnauthorized, "invalid_token", "The token has expired"}
	case errors.Is(err, ErrTokenInvalid):
		var reason *tokenError
		errors.As(err, &reason)
		return nil, &authError{http.StatusUnauthorized, "invalid_token", "The token is not valid: " + reason.reason}
	case err != nil:
		return nil, &authError{status: http.StatusServiceUnavailable}
	case !g.hasAudience(claims):
		return nil, &authError{http.StatusUnauthorized, "invalid_token", "The token is for another audience"}
	}
	for _, scope := range g.scopes {
		if !claims.HasScope(scope) {
			return nil, &authError{http.StatusForbidden, "insufficient_scope", "The token does not grant the scope"}
		}
	}
	return claims, nil
}

func (g *guard) hasAudience(c *Claims) bool {
	for _, audience := range g.audience {
		if c.HasAudience(audience) {
			return true
		}
	}
	return len(g.audience) == 0
}

// bearerToken is the token of a request (RFC 6750 §2.1). Another scheme than
// Bearer is no token (§3.1); two headers are one too many.
func bearerToken(h http.Header) (string, *authError) {
	values := h["Authorization"]
	if len(values) > 1 {
		return "", &authError{http.StatusBadRequest, "invalid_request", "There is more than one Authorization header"}
	}
	if len(values) == 0 {
		return "", &authError{status: http.StatusUnauthorized}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &authError{status: http.StatusUnauthorized}
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || strings.ContainsFunc(token, func(c rune) bool {
		return !tokenCharacter(c)
	}) {
		return "", &authError{http.StatusBadRequest, "invalid_request", "The Authorization header does not hold one token"}
	}
	return token, nil
}

// tokenCharacter reports whether c may stand in a bearer token (RFC 6750 §2.1).
func tokenCharacter(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("-._~+/=", c)
}

func (g *guard) writeChallenge(w http.ResponseWriter, e *authError) {
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "The keys to verify tokens with cannot be fetched just now.", e.status)
		return
	}
	challenge := `Bearer realm="` + quotable(g.verifier.env.Issuer) + `"`
	if e.code != "" {
		challenge += `, error="` + e.code + `", error_description="` + quotable(e.description) + `"`
	}
	if e.code == "insufficient_scope" {
		challenge += `, scope="` + strings.Join(g.scopes, " ") + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(e.status), e.status)
}

// quotable is s with only what RFC 6750 §3 allows between quotation marks.
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"' || c == '\\':
			return '\''
		case c < ' ' || c > '~':
			return -1
		}
		return c
	}, s)
}
