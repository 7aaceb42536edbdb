package maskinportentest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// Denied is why an API turns a call away (RFC 6750 §3).
type Denied struct {
	Status    int    // 400, 401 or 403
	Challenge string // for the WWW-Authenticate header
	Reason    string
}

// Error is the status and the reason.
func (d *Denied) Error() string { return fmt.Sprintf("maskinportentest: %d: %s", d.Status, d.Reason) }

// Guard lets calls through to api that carry a valid token of the Fake's with
// the scope, and answers others as an API does: 401 to a token that is missing,
// expired, forged or revoked, 403 to one that lacks the scope, both with a
// WWW-Authenticate header as RFC 6750 has it. An empty scope takes any token.
// api gets the token's claims from [ClaimsFromContext].
func (f *Fake) Guard(scope string, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, denied := f.Check(r, scope)
		if denied != nil {
			w.Header().Set("WWW-Authenticate", denied.Challenge)
			http.Error(w, denied.Reason, denied.Status)
			return
		}
		api.ServeHTTP(w, withClaims(r, claims))
	})
}

func withClaims(r *http.Request, c resourceserver.Claims) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), claimsKey{}, c))
}

type claimsKey struct{}

// ClaimsFromContext are the claims of the token that [Fake.Guard] let through; the
// zero Claims in a handler that it does not guard.
func ClaimsFromContext(ctx context.Context) resourceserver.Claims {
	c, _ := ctx.Value(claimsKey{}).(resourceserver.Claims)
	return c
}

// Check is what [Fake.Guard] does, for an API that words its refusals itself:
// the token's claims, or why the call is turned away.
func (f *Fake) Check(r *http.Request, scope string) (resourceserver.Claims, *Denied) {
	return check(r, scope, f.verify)
}

func check(r *http.Request, scope string, verify func(token string) (resourceserver.Claims, error)) (resourceserver.Claims, *Denied) {
	deny := func(status int, code, reason string) (resourceserver.Claims, *Denied) {
		challenge := `Bearer realm="api"`
		if code != "" {
			challenge += fmt.Sprintf(`, error=%q, error_description=%q`, code, reason)
		}
		if code == "insufficient_scope" {
			challenge += fmt.Sprintf(`, scope=%q`, scope)
		}
		return resourceserver.Claims{}, &Denied{Status: status, Challenge: challenge, Reason: reason}
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return deny(http.StatusUnauthorized, "", "a token is missing")
	}
	if len(headers) > 1 {
		return deny(http.StatusBadRequest, "invalid_request", "there is more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return deny(http.StatusUnauthorized, "", "a bearer token is missing")
	}
	claims, err := verify(token)
	if err != nil {
		return deny(http.StatusUnauthorized, "invalid_token", err.Error())
	}
	if scope != "" && !slices.Contains(claims.Scopes, scope) {
		return deny(http.StatusForbidden, "insufficient_scope", "the token lacks the scope")
	}
	return claims, nil
}
