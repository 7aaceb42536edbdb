package maskinporten

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// Every row of PROTOCOL §3, and what a user sees of it.
var refusals = []struct {
	name        string
	status      int
	code        string
	description string
	mp          string
	is          error
}{
	{"MP-011", 400, "invalid_request", "Invalid parameter", "MP-011", nil},
	{"MP-012", 400, "invalid_grant", "Invalid assertion. Grant already used.", "MP-012", ErrGrantReused},
	{"MP-100", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Unknown client.", "MP-100", ErrUnknownClient},
	{"MP-110", 400, "invalid_grant", "Invalid assertion. Invalid audience.", "MP-110", nil},
	{"MP-120", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Invalid certificate.", "MP-120", nil},
	{"MP-121", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Expired key.", "MP-121", ErrKeyExpired},
	{"MP-122", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Wrong organization.", "MP-122", nil},
	{"MP-123", 400, "invalid_grant", "Invalid assertion. Invalid x5c header.", "MP-123", nil},
	{"MP-124", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Invalid signature.", "MP-124", nil},
	{"MP-130", 400, "invalid_grant", "Invalid assertion. Grant expired.", "MP-130", ErrClock},
	{"issue-time", 400, "invalid_grant", "Invalid assertion. Issue time is after now", "", ErrClock},
	{"unknown-kid", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Unknown key identifier (kid) for client.", "", ErrUnknownKey},
	{"MP-200", 400, "invalid_scope", "Invalid scope", "MP-200", ErrScopeNotAllowed},
	{"MP-201", 400, "invalid_scope", "Scope not allowed for integration type", "MP-201", ErrScopeNotAllowed},
	{"MP-250", 403, "forbidden", "Consumer has not been granted access to the scope", "MP-250", ErrScopeNotAllowed},
	{"MP-251", 403, "forbidden", "Consumer has not delegated access to the scope to supplier", "MP-251", ErrNotDelegated},
	{"MP-301", 400, "invalid_authorization_details", "Unknown type", "MP-301", nil},
	{"MP-302", 400, "invalid_authorization_details", "Unknown field", "MP-302", nil},
	{"MP-303", 400, "invalid_authorization_details", "Invalid value", "MP-303", nil},
	{"customer-configuration", 400, "invalid_altinn_customer_configuration", "System user not found", "", nil},
	{"other", 400, "invalid_request", "Something new", "", nil},
	{"429", 429, "", "", "", ErrUnavailable},
	{"503", 503, "", "", "", ErrUnavailable},
}

func refusalOn(t *testing.T, body string, status int, header ...string) error {
	t.Helper()
	var err error
	synctest.Test(t, func(t *testing.T) { // for the waits between attempts
		w := &wire{reply: func(int, *sentGrant) (*http.Response, error) { return reply(status, body, header...), nil }}
		c := w.client(t, nil)
		_, _, err = c.exchange.fetch(t.Context(), &Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "889640782"}, nil)
	})
	require.Error(t, err)
	return err
}

func TestWhatAUserSees(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			body := map[string]string{"error": tt.code, "error_description": tt.description + " (trace_id: 3566a0c1)"}
			if tt.mp != "" {
				body["error_uri"] = "https://test.maskinporten.no/errors/" + tt.mp
			}
			raw, _ := json.Marshal(body)
			if tt.code == "" {
				raw = []byte("<html>\r\n<title>Service Unavailable</title>")
			}
			err := refusalOn(t, string(raw), tt.status)
			golden(t, "errors/"+tt.name+".txt", err.Error()+"\n")

			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.status, e.StatusCode)
			require.Equal(t, tt.code, e.Code)
			require.Equal(t, tt.mp, e.MPCode)
			require.NotEmpty(t, e.Remedy())
			if tt.code != "" {
				require.Equal(t, "3566a0c1", e.TraceID)
				require.Equal(t, tt.description, e.Description)
			}
			var x *oauth2.RetrieveError
			require.ErrorAs(t, err, &x)
			require.Equal(t, tt.code, x.ErrorCode)
			require.Empty(t, x.Body)
			require.Nil(t, x.Response.Request)
			require.NotEmpty(t, x.Error())
			for _, sentinel := range []error{ErrUnknownClient, ErrKeyExpired, ErrUnknownKey, ErrScopeNotAllowed, ErrNotDelegated, ErrClock, ErrGrantReused, ErrUnavailable} {
				require.Equal(t, sentinel == tt.is, errors.Is(err, sentinel), "%v", sentinel)
			}
		})
	}
}

// The page that errors point to has a section for each of them.
func TestTroubleshootingPageHasEveryAnchor(t *testing.T) {
	page, err := os.ReadFile("docs/troubleshooting.md")
	require.NoError(t, err)
	anchors := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			anchors[anchorOf(heading)] = true
		}
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			anchors[anchorOf(heading)] = true
		}
	}
	for _, tt := range refusals {
		e := &Error{StatusCode: tt.status, Code: tt.code, MPCode: tt.mp, Description: tt.description}
		require.Contains(t, anchors, strings.TrimPrefix(e.page(), endpoint.Troubleshooting))
	}
	require.Contains(t, anchors, strings.TrimPrefix((&Error{StatusCode: 302}).page(), endpoint.Troubleshooting))
}

// anchorOf is how the page's host makes an anchor of a heading.
func anchorOf(heading string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case alphanumeric(c), c == '-':
			b.WriteRune(c)
		case c == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

func TestErrorAnswersAreCleaned(t *testing.T) {
	long := strings.Repeat("word ", 500)
	for _, tt := range []struct {
		reason string
		body   string
		check  func(t *testing.T, e *Error)
	}{
		{"a gateway's page: its first line", "\r\n  <html>\x1b[31m<h1>Bad\tGateway</h1>\nmore", func(t *testing.T, e *Error) {
			require.Equal(t, "<html>[31m<h1>Bad Gateway</h1>", e.Description)
		}},
		{"at most 200 characters of it", long, func(t *testing.T, e *Error) {
			require.LessOrEqual(t, len([]rune(e.Description)), 200)
		}},
		{"the code in the description", `{"error":"invalid_grant","error_description":"MP-121 Expired key. (correlation id: ab-12)"}`, func(t *testing.T, e *Error) {
			require.Equal(t, "MP-121", e.MPCode)
			require.Equal(t, "ab-12", e.TraceID)
		}},
		{"line breaks", `{"error":"invalid_grant","error_description":"a\nlevel=ERROR msg=forged"}`, func(t *testing.T, e *Error) {
			require.NotContains(t, e.Error(), "\n")
		}},
		{"direction marks", `{"error":"invalid_grant","error_description":"a\u202eb"}`, func(t *testing.T, e *Error) {
			require.Equal(t, "ab", e.Description)
		}},
		{"a code that is none", `{"error":"x y\n"}`, func(t *testing.T, e *Error) { require.Empty(t, e.Code) }},
		{"other types", `{"error":1,"error_description":[]}`, func(t *testing.T, e *Error) { require.Empty(t, e.Code) }},
		{"a refusal is one whatever else is odd", `{"error":" invalid_scope ","error_description":["x"],"error_uri":{}} trailing`, func(t *testing.T, e *Error) {
			require.Equal(t, "invalid_scope", e.Code)
			require.False(t, e.Temporary())
		}},
		{"a byte order mark", "\ufeff" + `{"error":"invalid_scope"}`, func(t *testing.T, e *Error) { require.Equal(t, "invalid_scope", e.Code) }},
		{"a page's title", "<html>\n<head><title>Zscaler</title>", func(t *testing.T, e *Error) {
			require.Equal(t, "<html> … Zscaler", e.Description)
		}},
		{"an unknown code leads to a section that exists", `{"error":"invalid_grant","error_uri":"https://x/errors/MP-777"}`, func(t *testing.T, e *Error) {
			require.Equal(t, endpoint.Troubleshooting+"other-refusals", e.page())
		}},
		{"a JSON string", `"down"`, func(t *testing.T, e *Error) { require.Equal(t, `"down"`, e.Description) }},
		{"nothing", "", func(t *testing.T, e *Error) { require.Empty(t, e.Description) }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var e *Error
			require.ErrorAs(t, refusalOn(t, tt.body, 400), &e)
			tt.check(t, e)
			require.Less(t, len(e.Error()), 2000)
		})
	}
}

func FuzzErrorBody(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_grant","error_description":"x (trace_id: 1)","error_uri":"https://x/errors/MP-121"}`), "12345678901")
	f.Add([]byte("<html>\r\nx"), "")
	f.Add([]byte(`{"error":"eyJhbGciOiJSUzI1NiJ9.eyJhbGciOiJSUzI1NiJ9.eyJhbGciOiJSUzI1NiJ9eyJhbGciOiJSUzI1NiJ9"}`), "")
	x := newExchange(Test, "c", nil, nil, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, body []byte, pid string) {
		if !digits(pid, 11) {
			pid = ""
		}
		e := x.parseRefusal(&Request{Scope: "s", PID: pid}, reply(400, ""), body, 0)
		text := e.Error()
		require.NotContains(t, text, "\n")
		require.Less(t, len(text), 8000)
		if pid != "" {
			require.NotContains(t, text, pid)
		}
	})
}
