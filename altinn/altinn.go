// Package altinn trades Maskinporten tokens for Altinn's own, which some of
// Altinn's APIs want (https://docs.altinn.studio/authentication/).
//
//	altinnClient := client.WithExchange(altinn.Prod)
//	transport, err := altinnClient.Transport(maskinporten.Request{Scope: "altinn:…"}, nil, "platform.altinn.no")
package altinn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/jws"
)

// Exchange is where Altinn trades tokens: a [maskinporten.TokenExchange] for
// [maskinporten.Client.WithExchange]. Use [Prod] or [TT02], or fill one in for
// another platform.
type Exchange struct {
	// Platform is the platform's address, https://platform.altinn.no. It must
	// be https, unless its host is a loopback address.
	Platform string

	// TestOrg has Altinn take Digdir's own organisation for its test service
	// owner (test=true).
	TestOrg bool
}

var _ maskinporten.TokenExchange = Exchange{}

// Altinn's production, for tokens from [maskinporten.Prod], and its test
// environment TT02, for tokens from [maskinporten.Test].
var (
	Prod = Exchange{Platform: "https://platform.altinn.no"}
	TT02 = Exchange{Platform: "https://platform.tt02.altinn.no"}
)

// Validate returns a *[maskinporten.FieldError] if no token may be sent to the
// platform.
func (x Exchange) Validate() error {
	if problem := endpoint.CheckURL(strings.TrimRight(x.Platform, "/")); problem != "" {
		return &maskinporten.FieldError{Field: "altinn.Exchange.Platform", Problem: problem}
	}
	return nil
}

// String names the platform.
func (x Exchange) String() string { return "Altinn at " + strings.TrimRight(x.Platform, "/") }

// Exchange trades t. It tries three times where that may help. The token that
// it returns lives as long as Altinn says in it. The error is an *[Error], or
// the [maskinporten.FieldError] of [Exchange.Validate].
func (x Exchange) Exchange(ctx context.Context, hc *http.Client, t *maskinporten.Token, r maskinporten.Request) (traded maskinporten.ExchangedToken, err error) {
	if err := x.Validate(); err != nil {
		return maskinporten.ExchangedToken{}, err
	}
	if hc == nil {
		hc = endpoint.NewClient(nil)
	}
	endpoint.Retry(ctx, slog.New(slog.DiscardHandler), func() (time.Duration, bool) {
		var failed *Error
		if traded, failed = x.trade(ctx, hc, t, r); failed != nil {
			err = failed
			return failed.RetryAfter(), failed.Temporary()
		}
		err = nil
		return 0, false
	})
	return traded, err
}

// trade is one attempt.
func (x Exchange) trade(ctx context.Context, hc *http.Client, t *maskinporten.Token, r maskinporten.Request) (maskinporten.ExchangedToken, *Error) {
	none := maskinporten.ExchangedToken{}
	platform := strings.TrimRight(x.Platform, "/")
	failed := &Error{platform: platform, scope: r.Scope, consumer: r.ConsumerOrg}
	because := func(err error) *Error { failed.err = err; return failed }

	ctx, cancel := context.WithTimeout(ctx, endpoint.AttemptTimeout)
	defer cancel()
	address := platform + "/authentication/api/v1/exchange/maskinporten"
	if x.TestOrg {
		address += "?test=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return none, because(err)
	}
	req.Header.Set("Authorization", "Bearer "+t.AccessToken())
	req.Header.Set("Accept", "text/plain, application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return none, because(endpoint.Explain(err, address, hc, secrets(t, r)...))
	}
	defer resp.Body.Close()
	body, err := endpoint.ReadBody(resp.Body)
	if err != nil {
		return none, because(endpoint.Explain(err, address, hc, secrets(t, r)...))
	}
	if resp.StatusCode != http.StatusOK {
		said := endpoint.ParseRefusal(resp.StatusCode, resp.Header, body, time.Now(), secrets(t, r)...)
		failed.StatusCode, failed.Description, failed.retryAfter = resp.StatusCode, said.Description, said.RetryAfter
		failed.environment = environmentOf(t)
		if resp.StatusCode/100 == 3 && resp.Header.Get("Location") != "" {
			failed.Description = "it redirects, which is not followed: the token would go along"
		}
		return none, failed
	}
	access, lifetime, err := parse(body, resp.Header, time.Now())
	if err != nil {
		reason := err.Error()
		if said := endpoint.ParseRefusal(resp.StatusCode, resp.Header, body, time.Now(), secrets(t, r)...).Description; said != "" && isPage(body) {
			reason += fmt.Sprintf(" (%s)", said)
		}
		return none, because(&endpoint.AnswerError{Reason: reason})
	}
	return maskinporten.ExchangedToken{AccessToken: access, Lifetime: lifetime}, nil
}

// isPage reports whether an answer is markup or an object: others may be a token
// of some kind.
func isPage(body []byte) bool {
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	return strings.HasPrefix(text, "<") || strings.HasPrefix(text, "{")
}

// secrets is what Altinn's answer may echo and nobody may read: the token, and
// the persons that the request is about.
func secrets(t *maskinporten.Token, r maskinporten.Request) []string {
	known := []string{t.AccessToken(), r.PID}
	if pid, ok := strings.CutPrefix(r.Consent.From, "urn:altinn:person:identifier-no:"); ok {
		known = append(known, pid)
	}
	return known
}

// parse reads a token, plain or as a JSON string, and how long it lives.
func parse(body []byte, h http.Header, now time.Time) (access string, lifetime time.Duration, err error) {
	access = strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	if strings.HasPrefix(access, `"`) {
		if json.Unmarshal([]byte(access), &access) != nil {
			return "", 0, errors.New("is not valid JSON")
		}
	}
	if strings.ContainsFunc(access, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", 0, errors.New("holds no token, but text with a space, a line break or a character outside ASCII")
	}
	if strings.ContainsAny(access, "{}[]<>\"',:;&?") { // around a token they would go along with it
		return "", 0, errors.New("holds no token, but an object or text")
	}
	claims, err := jws.Unverified(access)
	switch {
	case errors.Is(err, jws.ErrNotJWT):
		return "", 0, errors.New("holds no token")
	case err != nil:
		return "", 0, errors.New("its token is no JWT")
	}
	lifetime, err = lifetimeOf(claims, h, now)
	return access, lifetime, err
}

// environmentOf names the environment that t is from, as far as t says.
func environmentOf(t *maskinporten.Token) string {
	claims, _ := jws.Unverified(t.AccessToken()) // an opaque token does not say
	issuer, _ := claims.Text("iss")
	switch issuer {
	case maskinporten.Prod.Issuer:
		return "prod"
	case maskinporten.Test.Issuer:
		return "test"
	}
	return ""
}

// lifetimeOf counts from when Altinn made the token, both by Altinn's clock.
// iat may be older: Altinn takes it over from Maskinporten's token, and states
// nbf itself. Without either, the answer's Date is Altinn's clock.
func lifetimeOf(claims jws.Object, h http.Header, now time.Time) (time.Duration, error) {
	expiry, err := claims.Time("exp")
	if err != nil || expiry.IsZero() {
		return 0, errors.New("its token states no exp")
	}
	made, _ := claims.Time("iat")
	if notBefore, _ := claims.Time("nbf"); notBefore.After(made) {
		made = notBefore
	}
	if made.IsZero() {
		made = now
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			made = date
		}
	}
	return endpoint.Lifetime(expiry.Sub(made).Seconds())
}
