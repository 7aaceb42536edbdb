package maskinporten

import (
	"encoding/json"
	"errors"
	"fmt"
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

// Every documented refusal, and what a user sees of it.
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
	{"registered-keys", 400, "invalid_grant", "Invalid assertion. Client authentication failed. Client requires pre-registered jwk and no key identifier (kid) provided", "", nil},
	{"own-organisation", 400, "invalid_request", "Illegal combination consumer_org in claim and delegation scope", "", nil},
	{"resource", 400, "invalid_target", "Invalid resource", "", nil},
	{"expired-key", 400, "invalid_grant", "Invalid assertion. Client authentication failed. EXPIRED KEY.", "", ErrKeyExpired},
	{"not-granted", 403, "invalid_scope", "Consumer has not been granted access to the scope x", "", ErrScopeNotAllowed},
	{"not-delegated", 403, "invalid_scope", "Consumer has not delegated access to the scope x to supplier y", "", ErrNotDelegated},
	{"expired", 400, "invalid_grant", "Invalid assertion. JWT has expired.", "", ErrClock},
	{"future", 400, "invalid_grant", "Invalid assertion. Issue time is in the future.", "", ErrClock},
	{"unknown-code", 400, "invalid_grant", "Invalid assertion. Expired key.", "MP-101", ErrKeyExpired},
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
		_, _, err = c.exchange.fetch(t.Context(), &Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "889640782"})
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

// What else answers in Maskinporten's place, with any status: the error keeps
// what it said, and leads to the section about it.
func TestWhatAGatewaySays(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       Error
	}{
		{"F5's page", "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult with your administrator.<br><br>Your support ID is: 4518829357123456789<br></body></html>",
			Error{Description: "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected.", TraceID: "4518829357123456789"}},
		{"Akamai's page", "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\nReference&#32;&#35;18&#46;7d6f1002&#46;1609459200&#46;1a2b3c4d\n</BODY>\n</HTML>",
			Error{Description: "<HTML><HEAD> … Access Denied", TraceID: "18.7d6f1002.1609459200.1a2b3c4d"}},
		{"Cloudflare's page", "<html>\n<title>Attention Required!</title>Ray ID: <strong>8f2a41b7</strong>", Error{Description: "Attention Required!", TraceID: "8f2a41b7"}},
		{"a captive portal", "<html>\n<title>Logg inn</title>", Error{Description: "Logg inn"}},
		{"problem details", `{"type":"about:blank","title":"Blocked","detail":"by policy 17","traceId":"00-ab-cd"}`, Error{Description: "Blocked: by policy 17", TraceID: "00-ab-cd"}},
		{"Spring's", `{"timestamp":"2026-01-01T00:00:00Z","status":404,"error":"Not Found","path":"/tokn"}`, Error{Description: "Not Found: /tokn"}},
		{"an error in an error", `{"error":{"code":403,"message":"no route"}}`, Error{Description: "no route"}},
		{"a message", `{"message":"no Route matched","request_id":"77aa"}`, Error{Description: "no Route matched", TraceID: "77aa"}},
		{"an error in a list", `{"errors":[{"message":"no such path"},{"message":"x"}]}`, Error{Description: "no such path"}},
		{"Apigee's", `{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2.InvalidApiKey"}}}`, Error{Description: "Invalid ApiKey"}},
		{"an error too deep in another", `{"title":"x","error":{"error":{"message":"deep"}}}`, Error{Description: "x"}},
		{"SOAP", "<?xml version=\"1.0\"?>\n<soap:Fault>\n<faultstring>Tjenesten er nede</faultstring></soap:Fault>", Error{Description: "Tjenesten er nede"}},
		{"a page whose title has a language", "<!DOCTYPE html>\n<html><title lang=\"no\">Sperret</title>", Error{Description: "Sperret"}},
		{"a page without title", "<!DOCTYPE html>\n<html>\n<body class=\"x\">\n<h1>Ingen tilgang</h1>", Error{Description: "Ingen tilgang"}},
		{"white space before the mark", "\r\n\ufeff" + `{"title":"Blocked"}`, Error{Description: "Blocked"}},
		{"a sentence", "upstream connect error", Error{Description: "upstream connect error"}},
		{"after a byte order mark", "\ufeff" + `{"title":"Blocked"}`, Error{Description: "Blocked"}},
	} {
		for _, status := range []int{200, 400, 404, 403, 502} {
			t.Run(fmt.Sprint(tt.name, " ", status), func(t *testing.T) {
				err := refusalOn(t, tt.body, status)
				var e *Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, status, e.StatusCode)
				require.Contains(t, e.Description, tt.want.Description)
				require.Equal(t, tt.want.TraceID, e.TraceID)
				require.Empty(t, e.Code)
				require.ErrorIs(t, err, ErrUnavailable)
				page := "#another-answer"
				if status >= 500 {
					page = "#unavailable"
				}
				require.Contains(t, err.Error(), page)
				require.Contains(t, err.Error(), tt.want.TraceID)
			})
		}
	}
}

// A refusal is one with status 200, too: it is final.
func TestRefusalWithStatus200(t *testing.T) {
	w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
		return reply(200, `{"error":"invalid_scope","error_description":"x (trace_id: 1)","error_uri":"https://x/errors/MP-200"}`), nil
	}}
	_, err := w.client(t, nil).Token(t.Context(), Request{Scope: "s"})
	require.ErrorIs(t, err, ErrScopeNotAllowed)
	require.NotErrorIs(t, err, ErrUnavailable)
	require.Equal(t, 1, w.sent())
	require.Contains(t, err.Error(), "Trace id for Digdir: 1.")
}

// An answer that holds a token, and cannot be used, is not quoted.
func TestUnusableTokenIsNotQuoted(t *testing.T) {
	for _, body := range []string{
		`{"access_token":"short-secret","expires_in":60}`,
		`{"access_token":"short-secret","token_type":"Bearer"`,
		`short-secret-that-is-a-token-of-its-own`,
		`"short-secret"`,
		`access_token=short-secret&token_type=Bearer`,
		`<response><access_token>short-secret</access_token></response>`,
	} {
		err := refusalOn(t, body, 200)
		require.ErrorIs(t, err, ErrUnavailable)
		require.NotContains(t, err.Error(), "short-secret")
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
	for _, r := range remedies {
		require.Contains(t, anchors, r.anchor)
	}
	for code := range remedyByCode {
		require.Contains(t, anchors, strings.ToLower(code))
	}
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
		{"a code with a space", `{"error":"x y\n"}`, func(t *testing.T, e *Error) {
			require.Equal(t, "x y", e.Code)
			require.False(t, e.Temporary())
		}},
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
		e := x.parseRefusal(&Request{Scope: "s", PID: pid}, reply(400, ""), body, 0, []string{pid})
		text := e.Error()
		require.NotContains(t, text, "\n")
		require.Less(t, len(text), 8000)
		if pid != "" {
			require.NotContains(t, text, pid)
		}
	})
}

func TestCodeInCapitalLetters(t *testing.T) {
	require.ErrorContains(t, &Error{StatusCode: 400, Code: "INVALID_TARGET"}, "#resource")
}
