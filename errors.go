package maskinporten

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// What a program may act on. Check with errors.Is; the text of an error is for
// people.
var (
	// ErrUnknownClient: there is no such client in this environment (MP-100).
	ErrUnknownClient = errors.New("maskinporten: unknown client")

	// ErrKeyExpired: the key registered on the client has lived its year (MP-121).
	ErrKeyExpired = errors.New("maskinporten: the key registered on the client has expired")

	// ErrScopeNotAllowed: the client, its type or its organisation may not
	// have the scope (MP-200, MP-201, MP-250).
	ErrScopeNotAllowed = errors.New("maskinporten: scope not allowed")

	// ErrNotDelegated: the consumer has not delegated the scope to the
	// supplier in Altinn (MP-251).
	ErrNotDelegated = errors.New("maskinporten: not delegated in Altinn")

	// ErrClock: this machine's clock is too far off (MP-130, "Issue time is after now").
	ErrClock = errors.New("maskinporten: the clock is off")

	// ErrGrantReused: a grant was sent twice (MP-012). This library signs one
	// for every attempt, so something on the way repeated the request.
	ErrGrantReused = errors.New("maskinporten: grant used twice")

	// ErrUnavailable: no answer, or one that is no verdict on the request. The
	// same request may succeed later.
	ErrUnavailable = errors.New("maskinporten: unavailable")

	// ErrWrongConsumer: the token that came speaks for another organisation
	// than the one asked for. It was thrown away.
	ErrWrongConsumer error = errWrongConsumer
)

// Error is an answer from the token endpoint, or from Altinn's exchange, that
// was no token. Its text says what failed, where, the server's words, what to
// do about it, and the trace id to give Digdir; it holds nothing secret.
//
// Every caller gets a value of its own. errors.Is finds the sentinels of this
// package, errors.As also an *oauth2.RetrieveError (without body and request).
type Error struct {
	StatusCode  int
	Code        string        // invalid_grant, invalid_scope, …; empty if the answer held none
	Description string        // error_description, or the first line of an answer that is not JSON
	URI         string        // error_uri
	MPCode      string        // MP-121; empty if the answer held none
	TraceID     string        // for Digdir's support
	RetryAfter  time.Duration // how long the server asked to wait; zero if it did not say

	about about
}

// about is what an error needs to know of the request it came from.
type about struct {
	env      Environment
	clientID string
	scope    string
	consumer string
	persons  func() []string // whom the request is about; a func, because %#v prints what is in a struct
	owner    string          // organisation number in the certificate
	kid      string
	chain    int           // certificates sent; 0 for a key id
	skew     time.Duration // Maskinporten's clock minus ours
	platform string        // of Altinn, for a trade there; else empty
}

func (a about) String() string {
	s := fmt.Sprintf("token for scope %q", a.scope)
	if a.consumer != "" {
		s += " on behalf of " + a.consumer
	}
	if a.platform != "" {
		return "Altinn " + s + " from " + a.platform
	}
	return s + " from " + a.env.name()
}

// Error is one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "maskinporten: %s: HTTP %d", e.about, e.StatusCode)
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
	if e.TraceID != "" {
		b.WriteString(" Trace id for Digdir: " + e.TraceID + ".")
	}
	return b.String()
}

// Temporary tells whether the same request may succeed later without anybody
// doing anything: 429, 5xx and, from Maskinporten, answers without an OAuth
// error code. Altinn's refusals have none.
func (e *Error) Temporary() bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500 || e.Code == "" && e.about.platform == ""
}

// Is reports whether target is the sentinel for what e says.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUnknownClient:
		return e.MPCode == "MP-100"
	case ErrKeyExpired:
		return e.MPCode == "MP-121"
	case ErrScopeNotAllowed:
		return e.MPCode == "MP-200" || e.MPCode == "MP-201" || e.MPCode == "MP-250"
	case ErrNotDelegated:
		return e.MPCode == "MP-251"
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

// aboutTime tells of a grant that was refused for its iat or exp.
func (e *Error) aboutTime() bool {
	return !e.Temporary() && (e.MPCode == "MP-130" || e.MPCode == "" && strings.Contains(strings.ToLower(e.Description), "issue time"))
}

var (
	mpCode  = regexp.MustCompile(`\bMP-\d{3}\b`)
	traceID = regexp.MustCompile(`\((?:trace[_ ]id|correlation[_ ]id): *([\w.:-]{1,100})\)`)
)

// refused reads an answer that is no token (RFC 6749 §5.2). Nothing of it is
// trusted to be what it should: all is cleaned, shortened and searched for
// what must not be printed.
func (x *exchange) refused(r *Request, resp *http.Response, body []byte, now time.Time) *Error {
	a := x.about(r)
	a.skew = x.clock.measured()
	e := &Error{StatusCode: resp.StatusCode, RetryAfter: retryAfter(resp.Header, now), about: a}
	persons := r.persons()
	if said := errorFields(body); said != nil {
		e.Description = redact.Clean(said["error_description"], 500, persons...)
		e.URI = redact.Clean(said["error_uri"], 200, persons...)
		if code := strings.TrimSpace(said["error"]); len(code) <= 100 && visibleASCII(code) {
			e.Code = redact.Clean(code, 100, persons...)
		}
	} else {
		e.Description = redact.FirstLine(body, persons...)
	}
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode/100 == 3 {
		e.Description = "it redirects, which is not followed: the assertion would go along"
	}
	e.MPCode = mpCode.FindString(e.URI)
	if e.MPCode == "" {
		e.MPCode = mpCode.FindString(e.Description)
	}
	if m := traceID.FindStringSubmatchIndex(e.Description); m != nil {
		e.TraceID = e.Description[m[2]:m[3]]
		e.Description = strings.TrimSpace(e.Description[:m[0]] + e.Description[m[1]:])
	}
	return e
}

// errorFields is the texts in a JSON object; nil if body does not begin with
// one. One that is not a text does not spoil the others, nor does what follows
// the object: a refusal must not be taken for an outage.
func errorFields(body []byte) map[string]string {
	var fields map[string]json.RawMessage
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if json.NewDecoder(bytes.NewReader(body)).Decode(&fields) != nil {
		return nil
	}
	texts := make(map[string]string)
	for _, name := range []string{"error", "error_description", "error_uri"} {
		texts[name], _ = stringField(fields, name)
	}
	return texts
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3), capped at an hour.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	var wait time.Duration
	if s, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(s, 3600)) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		if stamped, err := http.ParseTime(h.Get("Date")); err == nil {
			now = stamped // the server's clock, by which its date is meant
		}
		wait = date.Sub(now)
	}
	return min(max(wait, 0), time.Hour)
}

// failureCode is what Stats counts err under.
func failureCode(err error) string {
	var refusal *Error
	switch {
	case errors.As(err, &refusal) && refusal.MPCode != "":
		return refusal.MPCode
	case errors.As(err, &refusal) && refusal.Code != "":
		return refusal.Code
	case refusal != nil && refusal.about.platform != "" && !refusal.Temporary():
		return "altinn"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	}
	return "local"
}
