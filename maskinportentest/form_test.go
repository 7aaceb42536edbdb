package maskinportentest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func TestRequestShape(t *testing.T) {
	const formType = "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, reason string
		make         func(r *http.Request, body string) string
		status       int
		code, says   string
	}{
		{"GET", "only POST", func(r *http.Request, body string) string { r.Method = http.MethodGet; return body }, 405, "invalid_request", "POST"},
		{"JSON", "only a form", func(r *http.Request, body string) string {
			r.Header.Set("Content-Type", "application/json")
			return body
		}, 400, "invalid_request", "Content-Type"},
		{"no content type", "only a form", func(r *http.Request, body string) string { r.Header.Del("Content-Type"); return body }, 400, "invalid_request", "Content-Type"},
		{"in the URL", "it would end in logs", func(r *http.Request, body string) string { r.URL.RawQuery = body; return "" }, 400, "invalid_request", "URL"},
		{"client authentication", "by the assertion alone", func(r *http.Request, body string) string { r.SetBasicAuth("client", "secret"); return body }, 400, "invalid_request", "Authorization"},
		{"consumer_org as a header", "it is a claim", func(r *http.Request, body string) string { r.Header.Set("consumer_org", otherOrg); return body }, 400, "invalid_request", "consumer_org"},
		{"consumer_org in the form", "it is a claim", func(_ *http.Request, body string) string { return body + "&consumer_org=" + otherOrg }, 400, "invalid_request", "consumer_org"},
		{"no form", "cannot be read", func(*http.Request, string) string { return "%zz" }, 400, "invalid_request", "form"},
		{"empty", "no grant_type", func(*http.Request, string) string { return "" }, 400, "invalid_request", "grant_type"},
		{"client credentials", "another grant type", func(*http.Request, string) string { return "grant_type=client_credentials&assertion=x" }, 400, "unsupported_grant_type", "grant_type"},
		{"client credentials as sent", "the grant type first, whatever else is wrong", func(r *http.Request, _ string) string {
			r.SetBasicAuth("client", "secret")
			return "client_id=x&scope=a&grant_type=client_credentials&client_secret=y&scope=b"
		}, 400, "unsupported_grant_type", "grant_type"},
		{"two grant types", "one", func(_ *http.Request, body string) string { return body + "&grant_type=x" }, 400, "invalid_request", "grant_type is repeated"},
		{"unknown parameters", "last, the first by the alphabet", func(_ *http.Request, body string) string { return body + "&scope=a&client_id=b&scope=c" }, 400, "invalid_request", "parameter client_id"},
		{"no assertion", "required", func(_ *http.Request, body string) string { return body[strings.Index(body, "grant_type"):] }, 400, "invalid_request", "assertion"},
		{"two assertions", "one", func(_ *http.Request, body string) string { return body + "&assertion=x" }, 400, "invalid_request", "repeated"},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			req, err := http.NewRequest(http.MethodPost, fake.Environment().TokenURL, nil)
			require.NoError(t, err)
			req.Header.Set("Content-Type", formType)
			body := tt.make(req, form(newRaw(fake.Environment()).sign(t)).Encode())
			req.Body = readCloser(body)
			s := send(t, fake, req)
			require.Equal(t, tt.status, s.Status)
			require.Equal(t, tt.code, s.Error)
			require.Contains(t, s.Description, tt.says)
			require.Equal(t, 1, fake.TokenRequests())
		})
	}
}
