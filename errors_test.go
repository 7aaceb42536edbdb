package maskinporten

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
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
			for _, sentinel := range []error{ErrUnknownClient, ErrKeyExpired, ErrScopeNotAllowed, ErrNotDelegated, ErrClock, ErrGrantReused, ErrUnavailable} {
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
		require.Contains(t, anchors, strings.TrimPrefix(e.page(), troubleshooting))
	}
	require.Contains(t, anchors, strings.TrimPrefix((&Error{StatusCode: 302}).page(), troubleshooting))
	for _, tt := range networkFailures {
		require.Contains(t, anchors, tt.anchor)
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

var networkFailures = []struct {
	anchor string
	err    error
}{
	{"name-not-found", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "test.maskinporten.no", IsNotFound: true}}},
	{"refused", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
	{"connect-timeout", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}},
	{"no-route", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}},
	{"proxy", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
	{"tls", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}},
	{"reset", &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
	{"truncated", io.ErrUnexpectedEOF},
	{"timeout", fmt.Errorf("awaiting headers: %w", os.ErrDeadlineExceeded)},
	{"too-large", errTooLarge},
	{"network", errors.New("something else")},
}

func TestNetworkErrors(t *testing.T) {
	hc := &http.Client{Transport: &http.Transport{}}
	for _, tt := range networkFailures {
		t.Run(tt.anchor, func(t *testing.T) {
			wrapped := &url.Error{Op: "Post", URL: Test.TokenURL, Err: tt.err}
			err := explainNetwork(wrapped, Test.TokenURL, hc)
			require.ErrorIs(t, err, tt.err)
			golden(t, "network/"+tt.anchor+".txt", err.Error()+"\n")
		})
	}
}

func TestInterceptingProxyIsNamed(t *testing.T) {
	leaf := testCredential().Certificate()
	for _, err := range []error{
		&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: x509.UnknownAuthorityError{Cert: leaf}},
		x509.UnknownAuthorityError{Cert: leaf},
		x509.HostnameError{Certificate: leaf, Host: "maskinporten.no"},
	} {
		got := explainNetwork(err, Prod.TokenURL, &http.Client{}).Error()
		require.Contains(t, got, "Buypass Class 3 Test4 CA G2 ST Business", "whose certificate was seen")
		require.False(t, mayRetry(explainNetwork(err, Prod.TokenURL, &http.Client{})))
	}
}

func TestProxyAdvice(t *testing.T) {
	through := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:8080", User: url.UserPassword("u", "proxy-password")})}}
	timeout := &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	got := explainNetwork(timeout, Prod.TokenURL, through).Error()
	require.Contains(t, got, "proxy.example:8080")
	require.NotContains(t, got, "proxy-password")
	require.Contains(t, got, "139.105.36.164", "the address that must be open")
	require.Contains(t, got, "443")

	bad := errors.New(`invalid proxy address "http://u:proxy-password@[": parse error`)
	got = explainNetwork(bad, Prod.TokenURL, through).Error()
	require.NotContains(t, got, "proxy-password")
	require.Contains(t, explainNetwork(timeout, Prod.TokenURL, &http.Client{Transport: roundTripper(nil)}).Error(), "HTTPClient")
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
			require.Equal(t, troubleshooting+"other-refusals", e.page())
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

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{"0", "", 0},
		{"-5", "", 0},
		{"99999999999999999999", "", time.Hour},
		{"4000000000", "", time.Hour},
		{"soon", "", 0},
		{now.Add(time.Minute).Format(http.TimeFormat), "", time.Minute},
		{now.Add(-time.Minute).Format(http.TimeFormat), "", 0},
		{now.Add(time.Hour + time.Minute).Format(http.TimeFormat), now.Add(time.Hour).Format(http.TimeFormat), time.Minute},
	} {
		h := http.Header{"Retry-After": {tt.value}, "Date": {tt.date}}
		require.Equal(t, tt.want, retryAfter(h, now), "%q", tt.value)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{tokenJSON(120), `{"access_token":"a","token_type":"Bearer","expires_in":"1e3"}`, "<html>", `{"a":1,"a":2}`, `{"access_token":"e30.e30.e30","token_type":"bearer"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAnswer(body)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NotEmpty(t, a.access)
		require.True(t, visibleASCII(a.access))
		require.Positive(t, a.lifetime)
		token := newToken(a.access, a.scope, time.Now(), a.lifetime)
		require.LessOrEqual(t, token.lifetime, 24*time.Hour)
		require.LessOrEqual(t, token.stale, token.expired)
		require.LessOrEqual(t, token.expired, token.lifetime)
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_grant","error_description":"x (trace_id: 1)","error_uri":"https://x/errors/MP-121"}`), "12345678901")
	f.Add([]byte("<html>\r\nx"), "")
	f.Add([]byte(`{"error":"eyJhbGciOiJSUzI1NiJ9.eyJhbGciOiJSUzI1NiJ9.eyJhbGciOiJSUzI1NiJ9eyJhbGciOiJSUzI1NiJ9"}`), "")
	x := newExchange(Config{Environment: Test, ClientID: "c"}, nil)
	f.Fuzz(func(t *testing.T, body []byte, pid string) {
		if !digits(pid, 11) {
			pid = ""
		}
		e := x.refused(&Request{Scope: "s", PID: pid}, reply(400, ""), body, time.Now())
		text := e.Error()
		require.NotContains(t, text, "\n")
		require.Less(t, len(text), 8000)
		if pid != "" {
			require.NotContains(t, text, pid)
		}
	})
}
