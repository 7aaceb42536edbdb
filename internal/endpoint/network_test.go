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
	"net/http/httptest"
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

// Windows has numbers of its own for what others call by the same names.
func TestErrorsOfWindows(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{10061: "the connection was refused", 10054: "the connection was reset", 10053: "the connection was reset"} {
		op := "read"
		if errno == wsaRefused {
			op = "dial"
		}
		err := Explain(&net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError("wsarecv", errno)}, testURL, &http.Client{})
		require.ErrorContains(t, err, want)
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

func TestProxyVariableIsNamed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "")
	t.Setenv("http_proxy", "")
	bad := &url.Error{Op: "Post", URL: testURL, Err: errors.New(`invalid proxy address "proxy intern": parse "http://proxy intern": invalid character " " in host name`)}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		t.Setenv("HTTPS_PROXY", "")
		t.Setenv("https_proxy", "")
		t.Setenv(name, "proxy intern")
		err := Explain(bad, testURL, &http.Client{Transport: &http.Transport{}})
		require.ErrorContains(t, err, "the variable "+name+" is not a URL")
		require.NotContains(t, err.Error(), "intern", "it may hold a password")
	}
	t.Setenv("https_proxy", "")
	require.ErrorContains(t, Explain(bad, testURL, &http.Client{Transport: &http.Transport{}}), "the proxy of the HTTPClient given is not a URL")
}

// A clock that is wrong for TLS is the clock's fault, not a proxy's.
func TestClockThatIsWrongForTLS(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "maskinporten.no"}}
	expired := x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired, Detail: "current time 2001-01-01T00:00:00Z is before 2026-01-01T00:00:00Z"}
	for _, err := range []error{expired, &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: expired}} {
		explained := Explain(err, testURL, &http.Client{})
		require.ErrorContains(t, explained, "set it by NTP")
		require.ErrorContains(t, explained, "#clock")
		require.NotContains(t, explained.Error(), "proxy")
		require.True(t, explained.(*NetworkError).Clock())
		require.True(t, Untrusted(explained), "trying again at once does not help")
		var invalid x509.CertificateInvalidError
		require.ErrorAs(t, explained, &invalid)
	}
	other := Explain(x509.CertificateInvalidError{Cert: leaf, Reason: x509.NotAuthorizedToSign}, testURL, &http.Client{})
	require.ErrorContains(t, other, "#tls")
	require.False(t, other.(*NetworkError).Clock())
}

// A certificate's names are foreign text, too.
func TestNamesInCertificatesAreCleaned(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "a\r\nlevel=ERROR msg=forged\x1b[31m"}, DNSNames: []string{"b\nc"}}
	err := Explain(&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: x509.HostnameError{Certificate: leaf, Host: "maskinporten.no"}}, testURL, &http.Client{})
	for ; err != nil; err = errors.Unwrap(err) {
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "\x1b")
	}
}

// A proxy that answers and does not let a request through has a status.
func TestProxyThatRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer proxy.Close()
	u, _ := url.Parse(proxy.URL)
	for _, transport := range []*http.Transport{newTransport(&net.Dialer{}), {}} {
		transport.Proxy = http.ProxyURL(u)
		_, err := Get(t.Context(), NewClient(&http.Client{Transport: transport}), "https://token.test/")
		require.ErrorContains(t, err, "HTTP 407 Proxy Authentication Required")
		require.ErrorContains(t, err, "did not let the request through")
	}
}
