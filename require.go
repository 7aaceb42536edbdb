package maskinporten

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Require makes middleware that lets a request through only with a valid
// token that grants scope (one, or several separated by spaces, all of them
// required) and, if audiences are given, is restricted to one of them; the
// audience of an unrestricted token is "unspecified". The handler finds what
// the token says with [ClaimsFromContext].
//
//	http.Handle("/saldo", verifier.Require("bank:saldo")(saldo))
//
// A token is taken from one Authorization header and nowhere else. Answers to
// requests that are not let through are those of RFC 6750 §3: 401 without an
// error code when there is no token, 401 invalid_token, 403
// insufficient_scope, 400 invalid_request. While the environment's keys cannot
// be fetched the answer is 503: that is not the caller's fault.
//
// Require panics if scope is empty or malformed, as it would let through
// whoever has a token: that is a mistake in the program.
func (v *Verifier) Require(scope string, audience ...string) func(http.Handler) http.Handler {
	if err := checkScope(scope); err != nil {
		panic("maskinporten: Require: the scope is missing or malformed")
	}
	g := &guard{verifier: v, scopes: strings.Fields(scope), audience: audience}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, refusal := g.admit(r)
			if refusal != nil {
				g.refuse(w, refusal)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
		})
	}
}

type claimsKey struct{}

// ClaimsFromContext is what the token of a request says that
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

// turnedAway is why a request was not let through.
type turnedAway struct {
	status      int
	code        string // of RFC 6750 §3.1; empty when there was no token
	description string
}

func (g *guard) admit(r *http.Request) (*Claims, *turnedAway) {
	token, refusal := bearerToken(r.Header)
	if refusal != nil {
		return nil, refusal
	}
	claims, err := g.verifier.Verify(r.Context(), token)
	switch {
	case errors.Is(err, ErrTokenExpired):
		return nil, &turnedAway{http.StatusUnauthorized, "invalid_token", "The token has expired"}
	case errors.Is(err, ErrTokenInvalid):
		var reason *tokenError
		errors.As(err, &reason)
		return nil, &turnedAway{http.StatusUnauthorized, "invalid_token", "The token is not valid: " + reason.reason.Error()}
	case err != nil:
		return nil, &turnedAway{status: http.StatusServiceUnavailable}
	case !g.audienceIn(claims):
		return nil, &turnedAway{http.StatusUnauthorized, "invalid_token", "The token is for another audience"}
	}
	for _, scope := range g.scopes {
		if !claims.HasScope(scope) {
			return nil, &turnedAway{http.StatusForbidden, "insufficient_scope", "The token does not grant the scope"}
		}
	}
	return claims, nil
}

func (g *guard) audienceIn(c *Claims) bool {
	for _, audience := range g.audience {
		if c.HasAudience(audience) {
			return true
		}
	}
	return len(g.audience) == 0
}

// bearerToken is the token of a request (RFC 6750 §2.1). Another scheme than
// Bearer is no token (§3.1); two headers are one too many.
func bearerToken(h http.Header) (string, *turnedAway) {
	values := h["Authorization"]
	if len(values) > 1 {
		return "", &turnedAway{http.StatusBadRequest, "invalid_request", "There is more than one Authorization header"}
	}
	if len(values) == 0 {
		return "", &turnedAway{status: http.StatusUnauthorized}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &turnedAway{status: http.StatusUnauthorized}
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || strings.ContainsFunc(token, func(c rune) bool {
		return !alphanumeric(c) && !strings.ContainsRune("-._~+/=", c)
	}) {
		return "", &turnedAway{http.StatusBadRequest, "invalid_request", "The Authorization header does not hold one token"}
	}
	return token, nil
}

func (g *guard) refuse(w http.ResponseWriter, t *turnedAway) {
	if t.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "The keys to verify tokens with cannot be fetched just now.", t.status)
		return
	}
	challenge := `Bearer realm="` + quotable(g.verifier.env.Issuer) + `"`
	if t.code != "" {
		challenge += `, error="` + t.code + `", error_description="` + quotable(t.description) + `"`
	}
	if t.code == "insufficient_scope" {
		challenge += `, scope="` + strings.Join(g.scopes, " ") + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(t.status), t.status)
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
