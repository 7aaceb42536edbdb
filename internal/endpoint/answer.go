package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Answer is a token as the server stated it (RFC 6749 §5.1).
type Answer struct {
	AccessToken string
	Scope       string
	Lifetime    time.Duration // zero if the answer does not say
}

// AnswerError is an answer with status 200 that holds no token.
type AnswerError struct{ Reason string }

func (e *AnswerError) Error() string {
	return "the answer was HTTP 200 but " + e.Reason + ": something on the way may have answered in its place"
}

// ParseAnswer reads an answer with status 200. The error completes the
// sentence "the answer …" and holds nothing secret.
func ParseAnswer(body []byte) (Answer, error) {
	fields, err := jsonObject(body)
	if err != nil {
		return Answer{}, err
	}
	access, err := stringField(fields, "access_token")
	switch {
	case err != nil:
		return Answer{}, err
	case access == "":
		return Answer{}, errors.New("holds no access_token")
	case !visibleASCII(access):
		// It becomes a header: a line break in it would become two.
		return Answer{}, errors.New("its access_token holds a space, a line break or a character outside ASCII")
	}
	tokenType, err := stringField(fields, "token_type")
	switch {
	case err != nil:
		return Answer{}, err
	case !strings.EqualFold(tokenType, "Bearer"):
		return Answer{}, fmt.Errorf("its token_type is %q, not Bearer", redact.Clean(tokenType, 40))
	}
	scope, err := stringField(fields, "scope")
	if err != nil {
		return Answer{}, err
	}
	lifetime, err := expiresIn(fields["expires_in"])
	if err != nil {
		return Answer{}, err
	}
	return Answer{AccessToken: access, Scope: redact.Cut(redact.OneLine(scope), 4096), Lifetime: lifetime}, nil
}

// jsonObject reads the top level of body. A name that comes twice is refused:
// two readers of such an answer could see two different tokens.
func jsonObject(body []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("is not valid JSON")
		}
		key := name.(string)
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("states %q twice", redact.Clean(key, 40))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("is not valid JSON")
		}
		fields[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("is not valid JSON")
	}
	if len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return nil, errors.New("goes on after its JSON object")
	}
	return fields, nil
}

// stringField is a string, or empty when it is absent or null.
func stringField(fields map[string]json.RawMessage, name string) (string, error) {
	var s string
	if raw, ok := fields[name]; ok && json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("its %s is not a string", name)
	}
	return s, nil
}

// expiresIn is a number, or (as some gateways make it) a number in a string;
// zero when it is absent or null.
func expiresIn(raw json.RawMessage) (time.Duration, error) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(n, 1) {
		return 0, fmt.Errorf("its expires_in is %q, not a number of seconds", redact.Clean(text, 40))
	}
	return Lifetime(n)
}

// Lifetime returns n seconds, which must be more than none. The error
// completes the sentence "the answer …".
func Lifetime(n float64) (time.Duration, error) {
	if !(n > 0) {
		return 0, fmt.Errorf("its token lives %v seconds", n)
	}
	return time.Duration(min(n, 1e9) * float64(time.Second)), nil
}

// Refusal is what an answer that is no token says (RFC 6749 §5.2), fit for
// logs and errors. Any of it may be empty.
type Refusal struct {
	Code        string // invalid_grant, invalid_scope, …
	Description string // error_description, or the first line of an answer that is not JSON
	URI         string // error_uri
	MPCode      string // MP-121, from the URI or the description
	TraceID     string
	RetryAfter  time.Duration
}

var (
	mpCode  = regexp.MustCompile(`\bMP-\d{3}\b`)
	traceID = regexp.MustCompile(`\((?:trace[_ ]id|correlation[_ ]id): *([\w.:-]{1,100})\)`)
)

// ParseRefusal reads an answer that is no token. Nothing of it is trusted to
// be what it should: all is cleaned, shortened, and searched for secrets, those
// given and those that look like one.
func ParseRefusal(status int, header http.Header, body []byte, now time.Time, secrets ...string) Refusal {
	r := Refusal{RetryAfter: retryAfter(header, now)}
	if said := errorFields(body); said != nil {
		r.Description = redact.Clean(said["error_description"], 500, secrets...)
		r.URI = redact.Clean(said["error_uri"], 200, secrets...)
		if code := strings.TrimSpace(said["error"]); len(code) <= 100 && visibleASCII(code) {
			r.Code = redact.Clean(code, 100, secrets...)
		}
	} else {
		r.Description = redact.FirstLine(body, secrets...)
	}
	if header.Get("Location") != "" && status/100 == 3 {
		r.Description = "it redirects, which is not followed: the assertion would go along"
	}
	r.MPCode = mpCode.FindString(r.URI)
	if r.MPCode == "" {
		r.MPCode = mpCode.FindString(r.Description)
	}
	if m := traceID.FindStringSubmatchIndex(r.Description); m != nil {
		r.TraceID = r.Description[m[2]:m[3]]
		r.Description = strings.TrimSpace(r.Description[:m[0]] + r.Description[m[1]:])
	}
	return r
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

func visibleASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
