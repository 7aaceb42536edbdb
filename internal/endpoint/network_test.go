package endpoint

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
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

	"github.com/stretchr/testify/require"
)

const (
	testURL = "https://test.maskinporten.no/token"
	prodURL = "https://maskinporten.no/token"
)

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
			wrapped := &url.Error{Op: "Post", URL: testURL, Err: tt.err}
			err := Explain(wrapped, testURL, hc)
			require.ErrorIs(t, err, tt.err)
			golden(t, "network/"+tt.anchor+".txt", err.Error()+"\n")
		})
	}
}

func TestInterceptingProxyIsNamed(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "maskinporten.no"}, Issuer: pkix.Name{CommonName: "Corporate Proxy CA"}}
	for _, err := range []error{
		&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: x509.UnknownAuthorityError{Cert: leaf}},
		x509.UnknownAuthorityError{Cert: leaf},
		x509.HostnameError{Certificate: leaf, Host: "maskinporten.no"},
	} {
		got := Explain(err, prodURL, &http.Client{}).Error()
		require.Contains(t, got, "Corporate Proxy CA", "whose certificate was seen")
		require.True(t, Untrusted(Explain(err, prodURL, &http.Client{})))
	}
}

func TestProxyAdvice(t *testing.T) {
	through := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:8080", User: url.UserPassword("u", "proxy-password")})}}
	timeout := &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	got := Explain(timeout, prodURL, through).Error()
	require.Contains(t, got, "proxy.example:8080")
	require.NotContains(t, got, "proxy-password")
	require.Contains(t, got, "139.105.36.164", "the address that must be open")
	require.Contains(t, got, "443")

	bad := errors.New(`invalid proxy address "http://u:proxy-password@[": parse error`)
	got = Explain(bad, prodURL, through).Error()
	require.NotContains(t, got, "proxy-password")
	require.Contains(t, Explain(timeout, prodURL, &http.Client{Transport: roundTripper(nil)}).Error(), "HTTPClient")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// The page that errors point to has a section for each cause.
func TestTroubleshootingPageHasEveryCause(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	require.NoError(t, err)
	sections := strings.ToLower(strings.ReplaceAll(string(page), " ", "-"))
	for _, c := range causes {
		require.Contains(t, sections, "\n###-"+c.anchor+"\n")
	}
}
