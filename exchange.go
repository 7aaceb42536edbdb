package maskinporten

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// exchange trades a signed grant for a token at the token endpoint (RFC 7523
// §2.1), and tries again where that may help.
type exchange struct {
	env      Environment
	clientID string
	source   CredentialSource
	http     *http.Client
	clock    skewClock
	log      *slog.Logger
	last     atomic.Pointer[Credential]
	watch    certificateWatch
	places   chan struct{} // one for each signature under way
}

const (
	grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"

	// attemptTimeout is for one request: answers of 15 s have been seen.
	attemptTimeout = 20 * time.Second

	mostAttempts = 3

	// mostSigning bounds the signatures under way. Thousands at once, for as
	// many customers after a restart, would all be made before the first is
	// sent, and their grants be too old by then.
	mostSigning = 32

	// firstBackoff bounds the random wait before the second attempt; the
	// bound doubles before the third.
	firstBackoff = 500 * time.Millisecond
)

func newExchange(cfg Config, log *slog.Logger) *exchange {
	x := &exchange{
		env:      cfg.Environment,
		clientID: cfg.ClientID,
		source:   cfg.Credential,
		http:     tokenClient(cfg.HTTPClient),
		log:      log,
	}
	x.clock.log = log
	x.places = make(chan struct{}, mostSigning)
	return x
}

// tokenClient is a copy of hc, or a client of our own, that does not follow
// redirects: a 307 would take the assertion to another host.
func tokenClient(hc *http.Client) *http.Client {
	c := http.Client{Transport: tokenTransport}
	if hc != nil {
		c = *hc
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// tokenTransport is shared by all clients that bring none of their own, so
// that they share connections.
var tokenTransport http.RoundTripper = &http.Transport{
	Proxy:                  http.ProxyFromEnvironment,
	DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	ForceAttemptHTTP2:      true,
	TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	TLSHandshakeTimeout:    10 * time.Second,
	MaxIdleConns:           8,
	MaxIdleConnsPerHost:    4,
	IdleConnTimeout:        90 * time.Second,
	MaxResponseHeaderBytes: 64 << 10,
	DisableCompression:     true, // answers are small; nothing to inflate, so no bomb
}

func (x *exchange) lastCredential() *Credential { return x.last.Load() }

// fetch gets a token within ctx's deadline. It tries at most three times, with
// a grant signed anew each time, and once more if a grant is refused for its
// time. A non-nil refused credential is not tried again: see cache.
func (x *exchange) fetch(ctx context.Context, r *Request, refused *Credential) (*Token, *Credential, error) {
	corrected := false
	for attempt := 1; ; {
		token, cred, err := x.attempt(ctx, r, refused)
		if err == nil {
			return token, cred, nil
		}
		var refusal *Error
		if errors.As(err, &refusal) && refusal.aboutTime() {
			if corrected {
				return nil, cred, err
			}
			corrected = true
			x.clock.correct()
			continue
		}
		if !pauseBefore(ctx, attempt+1, err, x.log) {
			return nil, cred, err
		}
		attempt++
	}
}

// pauseBefore waits for the time of an attempt after one that failed with err,
// and tells whether there may be one.
func pauseBefore(ctx context.Context, attempt int, err error, log *slog.Logger) bool {
	if attempt > mostAttempts || !mayRetry(err) || ctx.Err() != nil {
		return false
	}
	wait := time.Duration(rand.Int64N(int64(firstBackoff << (attempt - 2))))
	var refusal *Error
	if errors.As(err, &refusal) {
		wait = max(wait, refusal.RetryAfter)
	}
	if deadline, ok := ctx.Deadline(); ok && wait >= time.Until(deadline) {
		return false
	}
	log.Debug("maskinporten: trying again", "attempt", attempt, "wait", wait, "error", err.Error())
	sleep(ctx, wait)
	return true
}

func sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// attempt signs a grant and sends it.
func (x *exchange) attempt(ctx context.Context, r *Request, refused *Credential) (*Token, *Credential, error) {
	assertion, cred, err := x.signed(ctx, r, refused)
	switch {
	case errors.Is(err, errSameRefused):
		return nil, cred, err
	case err != nil:
		return nil, cred, x.failed(r, err)
	}
	token, err := x.post(ctx, r, assertion)
	return token, cred, err
}

// signed is an assertion, made when it has a place to.
func (x *exchange) signed(ctx context.Context, r *Request, refused *Credential) (string, *Credential, error) {
	select {
	case x.places <- struct{}{}:
	case <-ctx.Done():
		return "", nil, fmt.Errorf("waiting to sign, as %d others did: %w", mostSigning, ctx.Err())
	}
	// A signer that hangs gives its place back when the flight leaves it behind.
	leave := sync.OnceFunc(func() { <-x.places })
	defer leave()
	defer context.AfterFunc(ctx, leave)()
	return x.assertion(ctx, r, refused)
}

// post sends a grant.
func (x *exchange) post(ctx context.Context, r *Request, assertion string) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	// Base64url and dots need no escaping, and there are thousands of them.
	form := "grant_type=" + url.QueryEscape(grantType) + "&assertion=" + assertion
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.env.TokenURL, strings.NewReader(form))
	if err != nil {
		return nil, x.failed(r, err)
	}
	// A grant can be used once: net/http must not send the body again on
	// another connection, as it does where it can get the body anew.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")

	sent := time.Now()
	resp, err := x.http.Do(req)
	if err != nil {
		return nil, x.failed(r, explainNetwork(err, x.env.TokenURL, x.http))
	}
	defer resp.Body.Close()
	x.clock.learn(resp.Header, sent, time.Now())
	body, err := readBounded(resp.Body)
	if err != nil {
		return nil, x.failed(r, explainNetwork(err, x.env.TokenURL, x.http))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, x.refused(r, resp, body, time.Now())
	}
	answer, err := parseAnswer(body)
	if err != nil {
		return nil, x.failed(r, &answerError{reason: err.Error()})
	}
	if err := checkConsumer(answer.access, r); err != nil {
		return nil, x.failed(r, err)
	}
	if answer.scope == "" || answer.scope == r.Scope {
		answer.scope = r.Scope // one string for all tokens of the key
	}
	return newToken(answer.access, answer.scope, sent, answer.lifetime), nil
}

// failed is an error with what was being done.
func (x *exchange) failed(r *Request, err error) error {
	var field *FieldError
	if errors.As(err, &field) && field.err == nil {
		return field
	}
	return &fetchError{about: x.about(r), err: err}
}

func (x *exchange) about(r *Request) about {
	a := about{env: x.env, clientID: x.clientID, scope: r.Scope, consumer: r.ConsumerOrg, persons: r.persons}
	if cred := x.last.Load(); cred != nil {
		a.owner, a.kid = cred.OrgNumber(), cred.kid
		if a.kid == "" {
			a.chain = len(cred.chain)
		}
	}
	return a
}

// fetchError is a fetch that failed without a refusal: the network, an answer
// that is none, the credential.
type fetchError struct {
	about about
	err   error
}

func (e *fetchError) Error() string {
	var persons []string
	if e.about.persons != nil {
		persons = e.about.persons()
	}
	return fmt.Sprintf("maskinporten: %s: %s", e.about, redact.Secrets(e.err.Error(), persons...))
}

func (e *fetchError) Unwrap() error { return e.err }

// Is makes what may pass ErrUnavailable.
func (e *fetchError) Is(target error) bool {
	if target != ErrUnavailable {
		return false
	}
	var network *networkError
	var answer *answerError
	return errors.As(e.err, &network) || errors.As(e.err, &answer)
}

// mayRetry tells whether another attempt in this flight may fare better.
func mayRetry(err error) bool {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Temporary() && refusal.StatusCode >= 400
	}
	var network *networkError
	if errors.As(err, &network) {
		return !untrusted(err)
	}
	var answer *answerError
	return errors.As(err, &answer)
}

// temporary tells whether err may pass without anybody doing anything.
func temporary(err error) bool {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Temporary()
	}
	var field *FieldError
	return !errors.As(err, &field) && !errors.Is(err, errWrongConsumer)
}

// untrusted tells of a certificate that will not become another by asking again.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname)
}

// ownError is a copy of err for one of several who get it: a caller may write
// into its *Error, and wraps what is its own.
func ownError(err error) error {
	switch e := err.(type) {
	case *Error:
		own := *e
		return &own
	case *fetchError:
		own := *e
		return &own
	case *FieldError:
		own := *e
		return &own
	}
	return fmt.Errorf("%w", err)
}
