package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/jws"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// exchange trades a signed grant for a token at the token endpoint (RFC 7523
// §2.1), and tries again where that may help.
type exchange struct {
	env      Environment
	clientID string
	source   CredentialSource
	http     *http.Client
	clock    *endpoint.Clock
	log      *slog.Logger
	last     atomic.Pointer[Credential]
	watch    certificateWatch
	signing  signSlots
}

const (
	grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"

	// maxSigning bounds the signatures under way. Thousands at once, for as
	// many customers after a restart, would all be made before the first is
	// sent, and their grants be too old by then.
	maxSigning = 32
)

func newExchange(env Environment, clientID string, source CredentialSource, hc *http.Client, log *slog.Logger) *exchange {
	return &exchange{
		env:      env,
		clientID: clientID,
		source:   source,
		http:     endpoint.NewClient(hc),
		clock:    endpoint.NewClock(log),
		log:      log,
	}
}

func (x *exchange) lastCredential() *Credential { return x.last.Load() }

// fetch gets a token within ctx's deadline. It tries at most three times, with
// a grant signed anew each time, and once more by another clock if a grant is
// refused for its time.
func (x *exchange) fetch(ctx context.Context, r *Request) (*Token, *Credential, error) {
	var (
		got       granted
		err       error
		offset    = x.clock.Offset()
		sent      int
		corrected bool
		company   = true
	)
	attempt := func() {
		send := func(ctx context.Context) (granted, error) { return x.signAndPost(ctx, r, offset) }
		beside := send
		if sent++; !company || sent == endpoint.MaxAttempts {
			beside = nil
		}
		var accompanied bool
		if got, accompanied, err = endpoint.Send(ctx, x.http, settled, send, beside); accompanied {
			sent++
			company = false // once is enough to find a new connection
		}
	}
	endpoint.Retry(ctx, x.log, func() (time.Duration, bool) {
		attempt()
		if x.tryOtherClock(err, &offset) && !corrected {
			corrected = true
			sent--
			attempt()
			x.tryOtherClock(err, &offset)
		}
		if files, ok := x.source.(*fileSource); ok {
			if errors.Is(err, ErrUnknownKey) && files.keyUnknown(got.credential) {
				attempt() // with the key before it
			}
			if err == nil {
				files.keyAccepted(got.credential)
			}
		}
		if err == nil {
			x.clock.Accepted(offset)
		}
		return retryAfter(err), mayRetry(err) && sent < endpoint.MaxAttempts
	})
	return got.token, got.credential, err
}

// tryOtherClock reports whether err is a refusal of a grant for its iat or
// exp, and changes the offset that it was made with for one to try next.
func (x *exchange) tryOtherClock(err error, offset *time.Duration) bool {
	var refusal *Error
	if !errors.As(err, &refusal) || !refusal.aboutTime() {
		return false
	}
	*offset = x.clock.Refused(*offset, refusal.request.skew)
	return true
}

// granted is what came of one grant.
type granted struct {
	token      *Token
	credential *Credential // that signed it
}

// settled reports whether no other attempt may fare better than one that
// returned err.
func settled(err error) bool { return err == nil || !mayRetry(err) }

// signAndPost signs a grant and sends it.
func (x *exchange) signAndPost(ctx context.Context, r *Request, offset time.Duration) (got granted, err error) {
	assertion, cred, err := x.assertion(ctx, r, offset)
	if err != nil {
		return granted{credential: cred}, x.unsent(r, err)
	}
	ctx, done := startAttempt(ctx)
	err = errAttemptLost // unless post returns
	defer func() { done(err) }()
	token, err := x.post(ctx, r, assertion)
	return granted{token, cred}, err
}

var errAttemptLost = errors.New("the HTTP client panicked, or ended its goroutine")

// assertion asks the source for its credential and signs a grant for r, by
// this machine's clock and offset. Both may hang, in a file system or an HSM
// that does not answer, and Sign takes no context: the flight leaves them
// behind.
func (x *exchange) assertion(ctx context.Context, r *Request, offset time.Duration) (string, *Credential, error) {
	cred, err := x.credential(ctx)
	if err != nil {
		return "", cred, err
	}
	if err := r.checkOwner(cred); err != nil {
		return "", cred, err
	}
	release, err := x.signing.acquire(ctx, cred)
	if err != nil {
		return "", cred, err
	}
	defer release()
	assertion, err := cred.sign(newGrant(x.env, x.clientID, r, time.Now().Add(offset)))
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("signing took too long: %w", ctx.Err())
	}
	return assertion, cred, err
}

// signSlots bounds the signatures under way by one credential. A signer that
// hangs keeps its slot, whatever became of the flight that it was called for:
// another credential has slots of its own.
type signSlots struct {
	mu         sync.Mutex
	credential *Credential
	slots      chan struct{} // one for each signature under way
}

// acquire waits for a slot, and not longer than ctx: a flight whose time is
// over does not begin to sign.
func (s *signSlots) acquire(ctx context.Context, cred *Credential) (release func(), err error) {
	s.mu.Lock()
	if s.credential == nil || !s.credential.same(cred) {
		s.credential, s.slots = cred, make(chan struct{}, maxSigning)
	}
	slots := s.slots
	s.mu.Unlock()
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to sign, as %d others did: %w", maxSigning, ctx.Err())
	}
	release = func() { <-slots }
	if err := ctx.Err(); err != nil {
		release()
		return nil, fmt.Errorf("waiting to sign: %w", err)
	}
	return release, nil
}

// credential is the source's, fit to sign with now.
func (x *exchange) credential(ctx context.Context) (*Credential, error) {
	var (
		cred *Credential
		err  error
	)
	if source, ok := x.source.(loggingSource); ok {
		cred, err = source.credential(ctx, x.log)
	} else {
		cred, err = x.source.Credential(ctx)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("getting the credential: %w", err)
	case cred == nil:
		return nil, errors.New("getting the credential: the source returned neither a credential nor an error")
	}
	x.last.Store(cred)
	now := time.Now()
	x.watch.look(ctx, cred, x.env, now, x.log)
	return cred, cred.usable(now)
}

// checkCredential asks for the credential and sees what Maskinporten would
// refuse it for.
func (x *exchange) checkCredential(ctx context.Context) error {
	cred, err := x.credential(ctx)
	if err == nil {
		err = cred.complete()
	}
	if err == nil && cred.KeyID() == "" && wrongEnvironment(cred.Certificate(), x.env) {
		leaf := cred.Certificate()
		err = invalid("Credential", fmt.Sprintf("is a certificate by %q, which is not one for %s: test certificates work only in test, production certificates only in prod",
			redact.Clean(leaf.Issuer.CommonName, 100), x.env.name()))
	}
	if err == nil {
		return nil
	}
	return &checkError{environment: x.env.name(), err: redact.Error(err)}
}

// post sends a grant.
func (x *exchange) post(ctx context.Context, r *Request, assertion string) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, endpoint.AttemptTimeout)
	defer cancel()
	// Base64url and dots need no escaping, and there are thousands of them.
	form := "grant_type=" + url.QueryEscape(grantType) + "&assertion=" + assertion
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.env.TokenURL, strings.NewReader(form))
	if err != nil {
		return nil, x.wrapError(r, err)
	}
	// A grant can be used once: net/http must not send the body again on
	// another connection, as it does where it can get the body anew.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")

	secrets := append(r.persons(), assertion) // that an answer or an error might echo
	sent := time.Now()
	resp, err := x.http.Do(req)
	if err != nil {
		return nil, x.wrapError(r, endpoint.Explain(err, x.env.TokenURL, x.http, secrets...))
	}
	defer resp.Body.Close()
	skew := x.clock.Learn(ctx, resp.Header, sent, time.Now())
	body, err := endpoint.ReadBody(resp.Body)
	if err != nil {
		return nil, x.wrapError(r, endpoint.Explain(err, x.env.TokenURL, x.http, secrets...))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, x.parseRefusal(r, resp, body, skew, secrets)
	}
	token, err := x.parseToken(r, body, sent)
	if err != nil && !errors.Is(err, ErrWrongConsumer) {
		// Something on the way may have answered, or refused with status 200.
		refusal := x.parseRefusal(r, resp, body, skew, secrets)
		if refusal.Code == "" {
			refusal.reason = err.Error()
		}
		return nil, refusal
	}
	return token, x.wrapError(r, err)
}

// parseToken reads an answer with status 200 to a grant of sent.
func (x *exchange) parseToken(r *Request, body []byte, sent time.Time) (*Token, error) {
	answer, err := endpoint.ParseAnswer(body)
	if err != nil {
		return nil, err
	}
	if answer.Lifetime == 0 {
		if answer.Lifetime, err = statedLifetime(answer.AccessToken); err != nil {
			return nil, err
		}
	}
	if err := x.checkSubject(answer.AccessToken, r); err != nil {
		return nil, err
	}
	if answer.Scope == "" || answer.Scope == r.Scope {
		answer.Scope = r.Scope // one string for all tokens of the key
	}
	return newToken(answer.AccessToken, answer.Scope, sent, answer.Lifetime), nil
}

// statedLifetime goes by the token's own exp and iat. A token without is
// refused: it must not live for ever.
func statedLifetime(access string) (time.Duration, error) {
	claims, _ := jws.Unverified(access)
	expiry, _ := claims.Time("exp")
	issued, _ := claims.Time("iat")
	if expiry.IsZero() || issued.IsZero() {
		return 0, errors.New("states no expires_in, and its token no exp and iat")
	}
	return endpoint.Lifetime(expiry.Sub(issued).Seconds())
}

// checkSubject refuses a token that speaks for another than r asks for: it would
// give one customer's data to another.
func (x *exchange) checkSubject(access string, r *Request) error {
	subject := jws.Subject{
		Consumer:   r.ConsumerOrg,
		OtherParty: r.OnBehalfOf != "",
		PID:        r.PID,
		SystemUser: r.SystemUser.OrgNumber,
		ConsentID:  r.Consent.ID,
	}
	if cred := x.last.Load(); cred != nil && cred.KeyID() == "" {
		subject.Owner = cred.OrgNumber() // with a key id, the client's owner may be another
	}
	err := subject.Check(access)
	var mismatch *jws.Mismatch
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch):
		return fmt.Errorf("%w: %w; it was thrown away: report this to Digdir", ErrWrongConsumer, err)
	}
	return fmt.Errorf("the token is a JWT that cannot be read: %w", err)
}

// parseRefusal reads an answer that is no token.
func (x *exchange) parseRefusal(r *Request, resp *http.Response, body []byte, skew time.Duration, secrets []string) *Error {
	info := x.requestInfo(r)
	info.skew = skew
	said := endpoint.ParseRefusal(resp.StatusCode, resp.Header, body, time.Now(), secrets...)
	return &Error{
		StatusCode:  resp.StatusCode,
		Code:        said.Code,
		Description: said.Description,
		URI:         said.URI,
		MPCode:      said.MPCode,
		TraceID:     said.TraceID,
		RetryAfter:  said.RetryAfter,
		request:     info,
	}
}

// wrapError returns err with what was being done. Sources, signers and HTTP
// clients may put anything into their errors, so it is cleaned.
func (x *exchange) wrapError(r *Request, err error) error {
	var field *FieldError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &field) && field.err == nil && redact.Error(field, r.persons()...) == error(field):
		return field
	}
	return &fetchError{request: x.requestInfo(r), err: redact.Error(err, r.persons()...)}
}

// unsent is wrapError for one that came before the grant was sent.
func (x *exchange) unsent(r *Request, err error) error {
	err = x.wrapError(r, err)
	if failed, ok := err.(*fetchError); ok {
		failed.unsent = true
	}
	return err
}

func (x *exchange) requestInfo(r *Request) requestInfo {
	info := requestInfo{
		environment: x.env.name(),
		issuer:      x.env.Issuer,
		tokenURL:    x.env.TokenURL,
		clientID:    x.clientID,
		scope:       r.Scope,
		consumer:    r.ConsumerOrg,
	}
	if cred := x.last.Load(); cred != nil {
		info.owner, info.kid = cred.OrgNumber(), cred.key.ID
		if info.kid == "" {
			info.chain = len(cred.key.Chain)
		}
	}
	return info
}
