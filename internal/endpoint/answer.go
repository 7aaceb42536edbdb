package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math"
	"net/http"
	"regexp"
	"slices"
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
	body = withoutMark(body)
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

// Refusal is what an answer that is no token says, fit for logs and errors.
// Any of it may be empty.
type Refusal struct {
	Code        string // invalid_grant, invalid_scope, …
	Description string // error_description, or what a gateway says in its own way
	URI         string // error_uri
	MPCode      string // MP-121, from the URI or the description
	TraceID     string // or the reference number of a gateway's page
	RetryAfter  time.Duration
}

var (
	byteOrderMark = []byte("\ufeff")
	mpCode        = regexp.MustCompile(`(?i)\bMP-\d{3}\b`)
	traceID       = regexp.MustCompile(`\((?:trace[_ ]id|correlation[_ ]id): *([\w.:-]{1,100})\)`)

	// reference finds what a gateway's page asks its reader to quote:
	// "Your support ID is: 1234", "Reference #18.7d6f", "Ray ID: <b>8f2a</b>".
	reference = regexp.MustCompile(`(?i)\b(?:(?:support|incident|event|ray|request|correlation|trace|transaction|error)[ _-]?(?:id|number)|reference(?:[ _-]?(?:id|number|no))?)\b(?:\s|[:#=.]|is\b|<[^<>]*>)+([\w.:-]*[0-9][\w.:-]{3,99})`)
)

// withoutMark returns body without a byte order mark and the white space around
// it.
func withoutMark(body []byte) []byte {
	return bytes.TrimPrefix(bytes.TrimSpace(body), byteOrderMark)
}

// ParseRefusal reads an answer that is no token: of the server (RFC 6749
// §5.2), or of whatever answered in its place. Nothing of it is trusted to be
// what it should: all is cleaned, shortened, and searched for secrets, those
// given and those that look like one.
func ParseRefusal(status int, header http.Header, body []byte, now time.Time, secrets ...string) Refusal {
	clean := func(s string, n int) string { return redact.Clean(s, n, secrets...) }
	body = withoutMark(body)
	said, ok := jsonSays(body)
	if !ok && !bytes.Contains(body, []byte("access_token")) && (status/100 != 2 || !maybeToken(body)) {
		said.description = redact.FirstLine(body, secrets...)
	}
	r := Refusal{
		Code:        clean(strings.TrimSpace(said.code), 100),
		Description: clean(said.description, 500),
		URI:         clean(said.uri, 200),
		RetryAfter:  retryAfter(header, now),
	}
	if header.Get("Location") != "" && status/100 == 3 {
		r.Description = "it redirects, which is not followed: the assertion would go along"
	}
	r.MPCode = strings.ToUpper(mpCode.FindString(r.URI))
	if r.MPCode == "" {
		r.MPCode = strings.ToUpper(mpCode.FindString(r.Description))
	}
	if m := traceID.FindStringSubmatchIndex(r.Description); m != nil {
		r.TraceID = r.Description[m[2]:m[3]]
		r.Description = strings.TrimSpace(r.Description[:m[0]] + r.Description[m[1]:])
	} else if said.reference != "" {
		r.TraceID = clean(said.reference, 100)
	} else if m := reference.FindStringSubmatch(html.UnescapeString(string(body[:min(len(body), 64<<10)]))); m != nil && r.Code == "" {
		r.TraceID = clean(strings.TrimRight(m[1], ".:-"), 100)
	}
	return r
}

// says is what an error in JSON says.
type says struct{ code, description, uri, reference string }

// jsonSays reads the shapes that servers and gateways give their errors: OAuth
// (RFC 6749 §5.2), problem details (RFC 9457), and what frameworks have made
// up. ok is false if body does not begin with a JSON object, or with one that
// says nothing in a field that is known. A field that is not a text does not
// spoil the others, nor does what follows the object: a refusal must not be
// taken for an outage.
func jsonSays(body []byte) (s says, ok bool) {
	fields, s := objectSays(body)
	if s.code == "" && s.description == "" {
		for _, nested := range []json.RawMessage{fields["error"], fields["fault"], firstOf(fields["errors"])} {
			// No deeper: each level costs as much as all of what is in it.
			if _, inner := objectSays(nested); s.description == "" {
				s.description = joined(": ", inner.code, inner.description)
			}
		}
	}
	return s, s != says{}
}

// objectSays reads the fields of one object; it returns nil for anything else.
func objectSays(body []byte) (fields map[string]json.RawMessage, s says) {
	if json.NewDecoder(bytes.NewReader(body)).Decode(&fields) != nil {
		return nil, says{}
	}
	text := func(names ...string) string {
		for _, name := range names {
			if t, _ := stringField(fields, name); strings.TrimSpace(t) != "" {
				return t
			}
		}
		return ""
	}
	s = says{
		code:        text("error"),
		description: text("error_description"),
		uri:         text("error_uri"),
		reference:   text("trace_id", "traceId", "correlation_id", "correlationId", "request_id", "requestId"),
	}
	if isStatusText(s.code) && s.description == "" { // Spring's, say: the status once more, no verdict on the grant
		s.description = joined(": ", s.code, text("message"), text("path"))
		s.code = ""
	}
	if s.description == "" {
		s.description = joined(": ", text("title"), text("detail", "message", "Message", "faultstring"))
	}
	return fields, s
}

func firstOf(array json.RawMessage) json.RawMessage {
	var values []json.RawMessage
	if json.Unmarshal(array, &values) != nil || len(values) == 0 {
		return nil
	}
	return values[0]
}

// isStatusText reports whether s is the words of an HTTP status, such as "Not
// Found", which some write NOT_FOUND. Maskinporten's own code "forbidden" is none.
func isStatusText(s string) bool {
	words := strings.ReplaceAll(strings.TrimSpace(s), "_", " ")
	for status := 400; status < 600; status++ {
		text := http.StatusText(status)
		if s != "" && s == text || strings.Contains(words, " ") && strings.EqualFold(words, text) {
			return true
		}
	}
	return false
}

func joined(separator string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), separator)
}

// maybeToken reports whether an answer with a status of success that could not be read
// may hold a token all the same, and must not be quoted: it does not look like
// a page, nor like a sentence.
func maybeToken(body []byte) bool {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return bytes.Contains(body, []byte("access_token"))
	}
	return bytes.ContainsAny(body, `{["=`) || slices.ContainsFunc(bytes.Fields(body), func(word []byte) bool { return len(word) > 30 })
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
