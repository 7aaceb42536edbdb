package maskinporten

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// What a program may act on. Check with errors.Is; the text of an error is for
// people.
var (
	// ErrUnknownClient is returned when there is no such client in this
	// environment (MP-100).
	ErrUnknownClient = errors.New("maskinporten: unknown client")

	// ErrKeyExpired is returned when the key registered on the client has lived
	// its year (MP-121).
	ErrKeyExpired = errors.New("maskinporten: the key registered on the client has expired")

	// ErrUnknownKey is returned when the key id is not registered on the client
	// in this environment. For some minutes after a key was registered that may
	// only mean that it has not arrived yet.
	ErrUnknownKey = errors.New("maskinporten: the key id is not registered on the client")

	// ErrScopeNotAllowed is returned when the client, its type or its
	// organisation may not have the scope (MP-200, MP-201, MP-250).
	ErrScopeNotAllowed = errors.New("maskinporten: scope not allowed")

	// ErrNotDelegated is returned when the consumer has not delegated the scope
	// to the supplier in Altinn (MP-251).
	ErrNotDelegated = errors.New("maskinporten: not delegated in Altinn")

	// ErrClock is returned when this machine's clock is too far off: a grant was
	// refused for its time (MP-130, "Issue time is after now"), or the server's
	// certificate is not valid by it.
	ErrClock = errors.New("maskinporten: the clock is off")

	// ErrGrantReused is returned when a grant was sent twice (MP-012). This
	// library signs one for every attempt, so something on the way repeated the
	// request, or the HTTPClient given did.
	ErrGrantReused = errors.New("maskinporten: grant used twice")

	// ErrUnavailable is returned when there was no answer, or one that is no
	// verdict on the request. The same request may succeed later.
	ErrUnavailable = errors.New("maskinporten: unavailable")

	// ErrNoToken is returned when the API was not called. It is found in every
	// error that Token, TokenContext, Prefetch, Check, a Transport or an API's
	// client returns in place of a call: for a bad Request, a refusal, a network
	// error, a host that was not named, and a wait for a token or a place that
	// ended with its context. What repeats calls to an API that fails (a
	// CheckRetry of retryablehttp) leaves these alone: the library has tried
	// again already.
	ErrNoToken = errors.New("maskinporten: no token")

	// ErrTokenRejected is returned by a [TokenExchange] whose other side did not
	// take the Maskinporten token.
	ErrTokenRejected = errors.New("maskinporten: the token was rejected")

	// ErrWrongConsumer is returned when the token that came speaks for another
	// organisation, person or systembruker than was asked for. It was thrown away.
	ErrWrongConsumer = errors.New("the token is another consumer's")
)

// Error is an answer from the token endpoint that was no token. Its text says
// what failed, where, the server's words, what to do about it, and the trace id
// to give Digdir; it holds nothing secret.
//
// Every caller gets a value of its own. errors.Is finds the sentinels of this
// package, errors.As also an *oauth2.RetrieveError (without body and request).
type Error struct {
	StatusCode  int
	Code        string        // invalid_grant, invalid_scope, …; empty if the answer held none
	Description string        // error_description, or what else the answer says: title, detail, first line
	URI         string        // error_uri
	MPCode      string        // MP-121; empty if the answer held none
	TraceID     string        // for Digdir's support, or that of whatever answered
	RetryAfter  time.Duration // how long the server asked to wait; zero if it did not say

	reason  string // what is wrong with an answer of status 200, beginning with a verb or "its"
	request requestInfo
}

// requestInfo is what an error needs to know of the request it came from.
type requestInfo struct {
	environment string // its name: prod, test, ver2 or the issuer
	issuer      string
	tokenURL    string
	clientID    string
	scope       string
	consumer    string
	owner       string // organisation number in the certificate
	kid         string
	chain       int           // certificates sent; 0 for a key id
	skew        time.Duration // Maskinporten's clock minus ours
	exchange    string        // which exchange the token is for; empty for a Maskinporten token
}

func (i requestInfo) String() string {
	s := fmt.Sprintf("token for scope %q", i.scope)
	if i.consumer != "" {
		s += " on behalf of " + i.consumer
	}
	s += " from " + i.environment
	if i.exchange != "" {
		s += ", exchanged by " + i.exchange
	}
	return s
}

// Error is one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "maskinporten: %s: HTTP %d", e.request, e.StatusCode)
	if e.reason != "" {
		b.WriteString(" but " + e.reason)
	}
	for _, code := range []string{e.Code, e.MPCode} {
		if code != "" {
			b.WriteString(" " + code)
		}
	}
	if e.Description != "" {
		b.WriteString(": " + e.Description)
	}
	if r := e.Remedy(); r != "" {
		b.WriteString(" — " + r)
	}
	b.WriteString(" See " + e.page() + ".")
	switch {
	case e.TraceID != "" && e.Code != "":
		b.WriteString(" Trace id for Digdir: " + e.TraceID + ".")
	case e.TraceID != "":
		b.WriteString(" Its reference: " + e.TraceID + ".")
	}
	return b.String()
}

// Temporary reports whether the same request may succeed later without anybody
// doing anything: 429, 5xx and answers without an OAuth error code.
func (e *Error) Temporary() bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500 || e.Code == ""
}

// Is reports whether target is the sentinel for what e says.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNoToken:
		return true
	case ErrUnknownClient:
		return e.MPCode == "MP-100"
	case ErrKeyExpired:
		return e.MPCode == "MP-121" || e.says("Expired key")
	case ErrUnknownKey:
		return e.says("Unknown key identifier")
	case ErrScopeNotAllowed:
		return e.MPCode == "MP-200" || e.MPCode == "MP-201" || e.MPCode == "MP-250" || e.says("has not been granted access to the scope")
	case ErrNotDelegated:
		return e.MPCode == "MP-251" || e.says("has not delegated access to the scope")
	case ErrClock:
		return e.aboutTime()
	case ErrGrantReused:
		return e.MPCode == "MP-012"
	case ErrUnavailable:
		return e.Temporary()
	}
	return false
}

// As gives errors.As an *oauth2.RetrieveError, for code that knows only x/oauth2.
func (e *Error) As(target any) bool {
	t, ok := target.(**oauth2.RetrieveError)
	if !ok {
		return false
	}
	*t = &oauth2.RetrieveError{
		Response: &http.Response{
			StatusCode: e.StatusCode,
			Status:     strings.TrimSpace(strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)),
			Header:     http.Header{},
			Body:       http.NoBody,
		},
		ErrorCode:        e.Code,
		ErrorDescription: e.Description,
		ErrorURI:         e.URI,
	}
	return true
}

// aboutTime reports whether a grant was refused for its iat or exp.
func (e *Error) aboutTime() bool {
	return e.MPCode == "MP-130" && !e.Temporary() || e.says("Issue time is", "JWT has expired")
}

// says reports whether e is a refusal with one of texts in its description,
// and without a code of Maskinporten's that is known: older refusals, and some
// that are new, have no other mark.
func (e *Error) says(texts ...string) bool {
	if _, known := remedyByCode[e.MPCode]; known || e.Temporary() {
		return false
	}
	said := strings.ToLower(e.Description)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(said, strings.ToLower(text)) })
}

// A FieldError is bad input: which field, what is wrong with it and what
// would be right. It is returned before anything is sent.
type FieldError struct {
	Field   string // ClientID, Request.Scope, MASKINPORTEN_ENV, …
	Problem string

	err error
}

// Error is one line, with the field and what is wrong with it.
func (e *FieldError) Error() string { return fmt.Sprintf("maskinporten: %s %s", e.Field, e.Problem) }

// Unwrap is what reading the field failed with, if it was read.
func (e *FieldError) Unwrap() error { return e.err }

// Is makes it an ErrNoToken: whoever asks for a token with a bad Request gets
// none.
func (e *FieldError) Is(target error) bool { return target == ErrNoToken }

func invalid(field, problem string) error { return &FieldError{Field: field, Problem: problem} }

func invalidBecause(field string, err error) error {
	reason := strings.ReplaceAll(err.Error(), "maskinporten: ", "") // once is enough
	var inner *FieldError
	if errors.As(err, &inner) && inner.Field == field {
		return err
	}
	return &FieldError{Field: field, Problem: "cannot be used: " + reason, err: err}
}

// fetchError is a fetch that failed without a refusal: the network, an answer
// that is none, the credential.
type fetchError struct {
	request requestInfo
	unsent  bool // no grant was sent: it says nothing of a refusal that is remembered
	err     error
}

func (e *fetchError) Error() string { return fmt.Sprintf("maskinporten: %s: %v", e.request, e.err) }

func (e *fetchError) Unwrap() error { return e.err }

// Is makes it ErrNoToken, and what may pass ErrUnavailable.
func (e *fetchError) Is(target error) bool {
	var network *endpoint.NetworkError
	switch target {
	case ErrNoToken:
		return true
	case ErrUnavailable:
		return errors.As(e.err, &network)
	case ErrClock:
		return errors.As(e.err, &network) && network.Clock()
	}
	return false
}

// checkError is what [Client.Check] has found before anything was sent.
type checkError struct {
	environment string
	err         error
}

func (e *checkError) Error() string {
	return fmt.Sprintf("maskinporten: not ready for %s: %s", e.environment, strings.ReplaceAll(e.err.Error(), "maskinporten: ", ""))
}

func (e *checkError) Unwrap() error { return e.err }

// Is makes it an ErrNoToken.
func (e *checkError) Is(target error) bool { return target == ErrNoToken }

// nothingSent reports whether err came before a grant was sent: from the
// credential source or the signer.
func nothingSent(err error) bool {
	var failed *fetchError
	return errors.As(err, &failed) && failed.unsent
}

// retryAfter returns how long a server that refused asked to wait.
func retryAfter(err error) time.Duration {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.RetryAfter
	}
	var exchange *exchangeError
	if errors.As(err, &exchange) {
		return exchange.retryAfter
	}
	return 0
}

// mayRetry reports whether another attempt in this flight may fare better.
func mayRetry(err error) bool {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Temporary() && refusal.StatusCode/100 != 3
	}
	var network *endpoint.NetworkError
	return errors.As(err, &network) && !endpoint.Untrusted(err)
}

// temporary reports whether err may pass without anybody doing anything.
func temporary(err error) bool {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Temporary()
	}
	var exchange *exchangeError
	if errors.As(err, &exchange) {
		return exchange.temporary
	}
	var field *FieldError
	return !errors.As(err, &field) && !errors.Is(err, ErrWrongConsumer)
}

// cloneError returns a copy of err for one of several who get it: a caller may
// write into its *Error, and wraps what is its own.
func cloneError(err error) error {
	switch e := err.(type) {
	case *Error:
		own := *e
		return &own
	case *fetchError:
		own := *e
		return &own
	case *exchangeError:
		own := *e
		return &own
	case *FieldError:
		own := *e
		return &own
	}
	return fmt.Errorf("%w", err)
}

// exchangeError is a [TokenExchange] that failed.
type exchangeError struct {
	text       string
	temporary  bool
	retryAfter time.Duration
	err        error
}

func (e *exchangeError) Error() string { return e.text }

func (e *exchangeError) Unwrap() error { return e.err }

// Is makes it an ErrNoToken, and what may pass ErrUnavailable.
func (e *exchangeError) Is(target error) bool {
	return target == ErrNoToken || target == ErrUnavailable && e.temporary
}
