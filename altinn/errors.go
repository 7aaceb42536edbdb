package altinn

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// Error is an exchange that gave no token. Its text says for what it was, what
// Altinn or the network said, and what to do about it; it holds nothing secret.
//
// errors.Is finds [maskinporten.ErrUnavailable] in one that may pass, and
// [maskinporten.ErrTokenRejected] in a 401.
type Error struct {
	StatusCode  int    // zero if no answer came
	Description string // the first line of the answer

	platform    string
	scope       string
	consumer    string
	environment string // that the token is from; empty if that is not known
	retryAfter  time.Duration
	err         error // of the network, or what is wrong with an answer of status 200
}

// Error is one line, with what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "maskinporten: Altinn token for scope %q", e.scope)
	if e.consumer != "" {
		b.WriteString(" on behalf of " + e.consumer)
	}
	fmt.Fprintf(&b, " from %s: ", e.platform)
	if e.err != nil {
		return b.String() + e.err.Error()
	}
	fmt.Fprintf(&b, "HTTP %d", e.StatusCode)
	if e.Description != "" {
		b.WriteString(": " + e.Description)
	}
	fmt.Fprintf(&b, " — %s See %saltinn.", e.Remedy(), endpoint.Troubleshooting)
	return b.String()
}

// Unwrap returns what happened on the network; nil for a refusal.
func (e *Error) Unwrap() error { return e.err }

// Is reports whether target is the sentinel for what e says.
func (e *Error) Is(target error) bool {
	switch target {
	case maskinporten.ErrUnavailable:
		return e.unavailable()
	case maskinporten.ErrTokenRejected:
		return e.StatusCode == http.StatusUnauthorized
	}
	return false
}

// RetryAfter returns how long Altinn asked to wait; zero if it did not say.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// Temporary reports whether the same request may succeed soon without anybody
// doing anything: 429, 5xx, an answer that is not Altinn's, and network errors
// save those about a certificate.
func (e *Error) Temporary() bool { return e.unavailable() && !endpoint.Untrusted(e.err) }

func (e *Error) unavailable() bool {
	var network *endpoint.NetworkError
	var answer *endpoint.AnswerError
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500 || errors.As(e.err, &network) || errors.As(e.err, &answer)
}

// Remedy is what to do about a refusal, in one or two sentences for the person
// on call.
func (e *Error) Remedy() string {
	switch {
	case e.err != nil:
		return "Check the way to " + e.platform + "."
	case e.StatusCode == http.StatusUnauthorized:
		from := ""
		if e.environment != "" {
			from = " from " + e.environment
		}
		return fmt.Sprintf("Altinn did not take the Maskinporten token%s, nor a new one: the two must be of the same environment (prod with %s, test with %s). Altinn also answers so when something of its own is out of order.",
			from, Prod.Platform, TT02.Platform)
	case e.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("Altinn knows the token, but does not trade it: check that the scope %q is one that Altinn's APIs take.", e.scope)
	case e.StatusCode == http.StatusNotFound, e.StatusCode/100 == 3:
		return fmt.Sprintf("Check the platform's address, %s, and whether a proxy answers in its place.", e.platform)
	case e.StatusCode == http.StatusTooManyRequests:
		return "Too many requests: the library waits as long as Altinn asks. If this goes on, see that one Client is made and shared."
	case e.StatusCode >= 500:
		return "Altinn, or something in front of it, is out of order: the library tries again by itself."
	}
	return "Check the platform's address and Altinn's page on the exchange of tokens."
}
