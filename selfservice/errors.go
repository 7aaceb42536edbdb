package selfservice

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// What a program may act on. Check with errors.Is.
var (
	// ErrNotFound is returned for an integration or a key that does not exist,
	// or that the admin client may not see.
	ErrNotFound = errors.New("selfservice: not found")

	// ErrConflict is returned when what is to be made exists already, be it
	// deactivated.
	ErrConflict = errors.New("selfservice: it exists already, perhaps deactivated")

	// ErrForbidden is returned when the admin client may not make the call.
	ErrForbidden = errors.New("selfservice: the admin client may not do this")

	// ErrTooManyKeys is returned when a client would have more than the five
	// keys that Digdir allows.
	ErrTooManyKeys = errors.New("selfservice: a client has five keys at most")

	// ErrOwnKey is returned when a key would be removed that is still signed
	// with: the admin client's own, or the one that a rotation replaces.
	ErrOwnKey = errors.New("selfservice: this key is still signed with")

	// ErrChangedMeanwhile is returned when what is read after writing is not
	// what was written: another writer came between, or the API did not take
	// all of it. What was written may or may not be in force.
	ErrChangedMeanwhile = errors.New("selfservice: something else than what was written is there now")

	// ErrUnclear is returned when it is not known whether an integration was
	// made. It is not tried again, since that could make two.
	ErrUnclear = errors.New("selfservice: it is not known whether the integration was made: list the integrations before trying again")

	// ErrUnavailable is returned when the API could not be reached, or was out
	// of order, for as long as it was tried.
	ErrUnavailable = errors.New("selfservice: the self-service API is not available")
)

// Error is an answer of the API that is not a success. It unwraps to nothing;
// errors.Is finds [ErrNotFound], [ErrConflict], [ErrForbidden] and
// [ErrUnavailable] by its status. No field holds anything secret.
type Error struct {
	StatusCode    int
	Fields        []FieldFault // what the API says is wrong with what it was sent
	Code          string       // error
	Description   string       // error_description, or the first line of an answer that is not JSON
	CorrelationID string       // for Digdir's support

	doing string
}

// FieldFault is one thing that the API says is wrong.
type FieldFault struct {
	Field   string // empty if the fault is not one field's
	Message string
}

// Error is one line: what was being done, what the API said, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "selfservice: %s: HTTP %d", e.doing, e.StatusCode)
	var said []string
	for _, f := range e.Fields {
		if f.Field != "" {
			said = append(said, f.Field+": "+f.Message)
		} else {
			said = append(said, f.Message)
		}
	}
	if len(said) == 0 && e.Description != "" {
		said = append(said, e.Description)
	}
	if len(said) > 0 {
		b.WriteString(": " + strings.Join(said, "; "))
	}
	if r := e.Remedy(); r != "" {
		b.WriteString(" — " + r)
	}
	if e.CorrelationID != "" {
		b.WriteString(" Correlation id for Digdir: " + e.CorrelationID + ".")
	}
	return b.String()
}

// Remedy is what to do about e, in one sentence.
func (e *Error) Remedy() string {
	switch {
	case e.StatusCode == http.StatusNotFound:
		return "Check the client id, and that it was made in this environment for an organisation that the admin client may act for."
	case e.StatusCode == http.StatusConflict:
		return "It exists already, perhaps deactivated: list the integrations with the inactive ones."
	case e.StatusCode == http.StatusUnauthorized, e.StatusCode == http.StatusForbidden:
		return "See that the admin client has the scope idporten:dcr.read, idporten:dcr.modify or idporten:dcr.write that this call needs."
	case e.StatusCode/100 == 3:
		return "It redirects, which is not followed: check the base URL."
	case e.StatusCode == http.StatusTooManyRequests, e.StatusCode >= 500:
		return "The self-service API is out of order: try again later."
	}
	return "Mend what it names; nothing was changed."
}

// Is reports whether target is the sentinel of e's status.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.StatusCode == http.StatusNotFound
	case ErrConflict:
		return e.StatusCode == http.StatusConflict
	case ErrForbidden:
		return e.StatusCode == http.StatusForbidden || e.StatusCode == http.StatusUnauthorized
	case ErrUnavailable:
		return e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests
	}
	return false
}

// parseError reads an answer that is no success. errors[] comes first: error
// and error_description hold little but the number of them.
func parseError(doing string, resp *http.Response, body []byte) *Error {
	e := &Error{StatusCode: resp.StatusCode, doing: doing}
	var said struct {
		CorrelationID json.RawMessage `json:"correlation_id"`
		Code          json.RawMessage `json:"error"`
		Description   json.RawMessage `json:"error_description"`
		Errors        []struct {
			Message json.RawMessage `json:"errorMessage"`
			Field   json.RawMessage `json:"fieldIdentifier"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &said) != nil {
		e.anotherSays(resp, body)
		return e
	}
	for _, fault := range said.Errors {
		if f := (FieldFault{Field: text(fault.Field, 100), Message: text(fault.Message, 300)}); f != (FieldFault{}) {
			e.Fields = append(e.Fields, f)
		}
		if len(e.Fields) == maxFaults {
			break
		}
	}
	e.Code, e.Description, e.CorrelationID = text(said.Code, 100), text(said.Description, 500), text(said.CorrelationID, 100)
	if len(e.Fields) == 0 && e.Description == "" {
		e.anotherSays(resp, body)
	}
	return e
}

// anotherSays reads an answer that is not as the API writes them: something in
// front of it has answered, most likely.
func (e *Error) anotherSays(resp *http.Response, body []byte) {
	said := endpoint.ParseRefusal(resp.StatusCode, resp.Header, body, time.Now())
	e.Description = cmp.Or(said.Description, said.Code)
	if said.TraceID != "" && said.TraceID != e.CorrelationID {
		e.Description += " (its reference: " + said.TraceID + ")"
	}
}

// pageSays is what a page says that came in place of an answer. Anything else
// may be what the API keeps of a client, and is not quoted.
func pageSays(body []byte) string {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return ""
	}
	return ": " + redact.FirstLine(body)
}

const maxFaults = 20

// text is a JSON string made fit for a log; another kind of value does not
// spoil the rest of an answer.
func text(raw json.RawMessage, n int) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return redact.Clean(s, n)
}
