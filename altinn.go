package maskinporten

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// AltinnExchange is where Altinn trades Maskinporten tokens for tokens of its
// own, which some of its APIs want
// (https://docs.altinn.studio/authentication/).
// Use [AltinnProd] or [AltinnTT02], or fill one in for another platform.
type AltinnExchange struct {
	// Platform is the platform's address, https://platform.altinn.no. It must
	// be https, unless its host is a loopback address.
	Platform string

	// TestOrg has Altinn take Digdir's own organisation for its test service
	// owner (test=true).
	TestOrg bool
}

// Altinn's production, for tokens from [Prod], and its test environment TT02,
// for tokens from [Test].
var (
	AltinnProd = AltinnExchange{Platform: "https://platform.altinn.no"}
	AltinnTT02 = AltinnExchange{Platform: "https://platform.tt02.altinn.no"}
)

// AltinnClient gets Altinn tokens, each traded for a Maskinporten token of the
// same Request. It keeps them as [Client] keeps Maskinporten's, for as long as
// they themselves say. It is safe for concurrent use; make it with
// [Client.Altinn].
type AltinnClient struct {
	client *Client
	cache  *cache
}

// altinnCaches is the caches of a client's Altinn tokens, one for each
// exchange: what is traded in one environment can never be found in another.
type altinnCaches struct {
	mu sync.Mutex
	of map[AltinnExchange]*cache
}

// Altinn makes a client for Altinn tokens from x. It does no I/O, and those
// made for the same exchange share their tokens. The error is a *[FieldError].
func (c *Client) Altinn(x AltinnExchange) (*AltinnClient, error) {
	x.Platform = strings.TrimRight(x.Platform, "/")
	if err := checkEndpoint("AltinnExchange.Platform", x.Platform); err != nil {
		return nil, err
	}
	c.altinn.mu.Lock()
	defer c.altinn.mu.Unlock()
	kept := c.altinn.of[x]
	if kept == nil {
		kept = newCache(c.exchange, c.cache.static, c.exchange.log)
		trade := &altinnTrade{AltinnExchange: x, exchange: c.exchange, maskinporten: c.cache}
		kept.fetch, kept.about = trade.fetch, trade.about
		if c.altinn.of == nil {
			c.altinn.of = make(map[AltinnExchange]*cache)
		}
		c.altinn.of[x] = kept
	}
	return &AltinnClient{client: c, cache: kept}, nil
}

// Token is [Client.Token] for an Altinn token.
func (a *AltinnClient) Token(ctx context.Context, r Request) (*Token, error) {
	if e := a.cache.find(&r); e != nil {
		if t := a.cache.hit(e); t != nil {
			return t, nil
		}
	}
	source, err := a.TokenSource(r)
	if err != nil {
		return nil, err
	}
	return source.TokenContext(ctx)
}

// TokenSource is [Client.TokenSource] for Altinn tokens.
func (a *AltinnClient) TokenSource(r Request) (*TokenSource, error) {
	key, err := a.client.key(r)
	if err != nil {
		return nil, err
	}
	return &TokenSource{cache: a.cache, key: key}, nil
}

// Transport is [Client.Transport] for Altinn tokens.
func (a *AltinnClient) Transport(r Request, base http.RoundTripper, hosts ...string) (*Transport, error) {
	t, err := a.client.Transport(r, base, hosts...)
	if err != nil {
		return nil, err
	}
	t.source = &TokenSource{cache: a.cache, key: t.source.key}
	return t, nil
}

// Invalidate is [Client.Invalidate] for an Altinn token.
func (a *AltinnClient) Invalidate(accessToken string) { a.cache.invalidate(accessToken) }

// Stats is a snapshot of the trades; the Maskinporten tokens traded are
// counted in [Client.Stats].
func (a *AltinnClient) Stats() Stats {
	s := a.cache.snapshot()
	s.NotAfter = a.client.Stats().NotAfter
	return s
}

// altinnTrade fetches Altinn tokens for a cache.
type altinnTrade struct {
	AltinnExchange
	exchange     *exchange
	maskinporten *cache
}

// fetch gets a Maskinporten token for r and trades it, within ctx's deadline.
// A Maskinporten token that Altinn refuses is dropped, and the next one tried.
func (a *altinnTrade) fetch(ctx context.Context, r *Request, refused *Credential) (*Token, *Credential, error) {
	e := a.maskinporten.entryFor(r)
	before := e.failure.Load()
	var (
		traded   *Token
		cred     *Credential
		err      error
		replaced bool
	)
	endpoint.Retry(ctx, a.exchange.log, func() (time.Duration, bool) {
		for {
			t, _, failed := a.maskinporten.token(ctx, e)
			if failed != nil {
				cred, err = a.exchange.lastCredential(), failed
				if refused != nil && before != nil && e.failure.Load() == before {
					cred, err = refused, errCredentialUnchanged
				}
				return 0, false
			}
			if traded, err = a.trade(ctx, r, t); err == nil {
				a.maskinporten.accept(e, t)
				return 0, false
			}
			var refusal *Error
			if !replaced && errors.As(err, &refusal) && refusal.StatusCode == http.StatusUnauthorized && a.maskinporten.refuse(e, t, false) {
				replaced = true
				continue
			}
			return retryAfter(err), mayRetry(err)
		}
	})
	return traded, cred, err
}

// trade is one attempt.
func (a *altinnTrade) trade(ctx context.Context, r *Request, t *Token) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, endpoint.AttemptTimeout)
	defer cancel()
	address := a.Platform + "/authentication/api/v1/exchange/maskinporten"
	if a.TestOrg {
		address += "?test=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, a.failed(r, err)
	}
	req.Header.Set("Authorization", *t.bearer)
	req.Header.Set("Accept", "text/plain, application/json")

	sent := time.Now()
	resp, err := a.exchange.http.Do(req)
	if err != nil {
		return nil, a.failed(r, endpoint.Explain(err, address, a.exchange.http))
	}
	defer resp.Body.Close()
	body, err := endpoint.ReadBody(resp.Body)
	if err != nil {
		return nil, a.failed(r, endpoint.Explain(err, address, a.exchange.http))
	}
	if resp.StatusCode != http.StatusOK {
		refusal := a.exchange.parseRefusal(r, resp, body)
		refusal.request = a.about(r)
		if refusal.Description == "" {
			refusal.Description = redact.FirstLine(body, r.persons()...)
		}
		return nil, refusal
	}
	access, lifetime, err := parseAltinn(body, resp.Header, time.Now())
	if err != nil {
		return nil, a.failed(r, &endpoint.AnswerError{Reason: err.Error()})
	}
	if err := checkConsumer(access, r); err != nil {
		return nil, a.failed(r, err)
	}
	return newToken(access, t.scope, sent, lifetime), nil
}

// parseAltinn reads a token, plain or as a JSON string, and how long it lives.
func parseAltinn(body []byte, h http.Header, now time.Time) (access string, lifetime time.Duration, err error) {
	access = strings.TrimSpace(string(body))
	if strings.HasPrefix(access, `"`) {
		if json.Unmarshal(body, &access) != nil {
			return "", 0, errors.New("is not valid JSON")
		}
	}
	if !visibleASCII(access) {
		return "", 0, errors.New("holds no token, but text with a space, a line break or a character outside ASCII")
	}
	parts, err := split(access)
	if err != nil {
		return "", 0, errors.New("holds no token")
	}
	lifetime, err = parts.lifetime(h, now)
	return access, lifetime, err
}

// lifetime counts from when Altinn made the token, both by Altinn's clock. iat
// may be older: Altinn takes it over from Maskinporten's token, and states nbf
// itself. Without either, the answer's Date is Altinn's clock.
func (p jwtParts) lifetime(h http.Header, now time.Time) (time.Duration, error) {
	payload, err := base64url.DecodeString(p.payload)
	var times struct {
		Expires   float64 `json:"exp"`
		IssuedAt  float64 `json:"iat"`
		NotBefore float64 `json:"nbf"`
	}
	if err != nil || json.Unmarshal(payload, &times) != nil {
		return 0, errors.New("its token is no JWT")
	}
	if times.Expires <= 0 {
		return 0, errors.New("its token states no exp")
	}
	made := max(times.IssuedAt, times.NotBefore)
	if made <= 0 {
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		made = float64(now.Unix())
	}
	return endpoint.Lifetime(times.Expires - made)
}

func (a *altinnTrade) about(r *Request) requestInfo {
	at := a.exchange.requestInfo(r)
	at.platform = a.Platform
	return at
}

func (a *altinnTrade) failed(r *Request, err error) error {
	return &fetchError{request: a.about(r), err: err}
}

// altinnRemedy is what to do about a refusal by Altinn's exchange.
func (e *Error) altinnRemedy() string {
	platform := e.request.platform
	switch {
	case e.StatusCode == http.StatusUnauthorized:
		return fmt.Sprintf("Altinn did not take the Maskinporten token from %s, nor a new one: the two must be of the same environment (prod with %s, test with %s). Altinn also answers so when something of its own is out of order.",
			e.request.environment, AltinnProd.Platform, AltinnTT02.Platform)
	case e.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("Altinn knows the token, but does not trade it: check that the scope %q is one that Altinn's APIs take.", e.request.scope)
	case e.StatusCode == http.StatusNotFound, e.StatusCode/100 == 3:
		return fmt.Sprintf("Check the platform's address, %s, and whether a proxy answers in its place.", platform)
	case e.StatusCode == http.StatusTooManyRequests:
		return "Too many requests: the library waits as long as Altinn asks. If this goes on, see that one Client is made and shared."
	case e.Temporary():
		return "Altinn, or something in front of it, is out of order: the library tries again by itself."
	}
	return "Check the platform's address and Altinn's page on the exchange of tokens."
}
