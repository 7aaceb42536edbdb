package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Troubleshooting is the page that errors link to; the name of one of its
// sections follows.
const Troubleshooting = "https://github.com/maskinporten-go/maskinporten/blob/main/docs/troubleshooting.md#"

// NetworkError is a request that got no answer, or half of one, with what to
// do about it.
type NetworkError struct {
	what      string // what happened
	remedy    string
	anchor    string // in the troubleshooting page
	untrusted bool
	err       error // fit to be printed, as all that it unwraps to
}

func (e *NetworkError) Error() string {
	return fmt.Sprintf("%s (%v) — %s See %s.", e.what, e.err, e.remedy, Troubleshooting+e.anchor)
}

func (e *NetworkError) Unwrap() error { return e.err }

// What returns what happened, and Remedy what to do about it.
func (e *NetworkError) What() string   { return e.what }
func (e *NetworkError) Remedy() string { return e.remedy }

// Clock reports whether this machine's clock is the most likely cause.
func (e *NetworkError) Clock() bool { return e.anchor == "clock" }

// cause is one kind of network failure: how it is known, what to tell the
// person on call, and the section that says more. In the texts, {host} is the
// server with its port, {name} without, {open} what a firewall must let
// through, {seen} whose certificate came, {now} what this machine's clock shows,
// {variable} what names the proxy, and {proxy} advice about the proxy.
type cause struct {
	anchor  string
	matches func(err error) bool
	what    string
	remedy  string
}

// What Windows says where others say ECONNREFUSED and ECONNRESET: package
// syscall does not take the one for the other. No other system has errors of
// these numbers.
// https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2
const (
	wsaAborted = syscall.Errno(10053)
	wsaReset   = syscall.Errno(10054)
	wsaRefused = syscall.Errno(10061)
)

// causes are tried in this order: a failure to reach the proxy, say, is a
// refused connection too.
var causes = []cause{
	{"proxy", is(errBadProxy), "{variable} is not a URL",
		"Set it to a URL such as http://proxy.example:8080."},
	{"name-not-found", as[*net.DNSError], "the name {dns} was not found",
		"Check this machine's DNS; {proxy}"},
	{"clock", outOfDate, "by this machine's clock, {now}, the TLS certificate of {host} is not valid{seen}",
		"The clock is wrong, most likely: set it by NTP. If it is right, something intercepts the connection with a certificate that is out of date."},
	{"tls", as[*tls.CertificateVerificationError], "the TLS certificate of {host} is not trusted{seen}",
		"If that is not a public issuer, a proxy intercepts the connection: have {name} exempted from it, or add the proxy's CA to this machine's trusted ones."},
	{"tls", Untrusted, "the TLS certificate of {host} is not trusted{seen}",
		"If a proxy intercepts the connection, have {name} exempted from it, or add the proxy's CA to this machine's trusted ones."},
	{"tls", as[tls.RecordHeaderError], "{host} did not answer in TLS",
		"Something other than Maskinporten answered, most likely a proxy or a firewall: check the port; {proxy}"},
	{"tls", as[tls.AlertError], "{host} broke off the TLS handshake",
		"A proxy or firewall may intercept the connection; {proxy}"},
	{"proxy", as[*proxyError], "the proxy answered, and did not let the request through",
		"Check whether it wants a login, and whether it lets {host} through; {proxy}"},
	{"proxy", inOp("proxyconnect"), "the proxy was not reached",
		"Check the proxy's address; {proxy}"},
	{"refused", is(syscall.ECONNREFUSED, wsaRefused), "the connection was refused",
		"Nothing listens there, or a firewall turns it away: open {open}; {proxy}"},
	{"connect-timeout", func(err error) bool { return inOp("dial")(err) && timedOut(err) }, "the connection timed out",
		"That is most often a firewall: open {open}; {proxy}"},
	{"no-route", inOp("dial"), "no connection could be made",
		"Open {open}; {proxy}"},
	{"reset", is(syscall.ECONNRESET, syscall.EPIPE, wsaReset, wsaAborted), "the connection was reset",
		"A firewall or proxy may have cut it; if it happens again and again, open {open}; {proxy}"},
	{"truncated", is(io.ErrUnexpectedEOF, io.EOF), "the connection ended before the answer did",
		"A proxy or firewall may have cut it; {proxy}"},
	{"too-large", is(errTooLarge), "the answer was not one of Maskinporten's",
		"Something else may have answered in its place; {proxy}"},
	{"timeout", timedOut, "no answer came in time",
		"Maskinporten may be slow, or a firewall may swallow what is sent: open {open}; {proxy}"},
	{"network", func(error) bool { return true }, "the request failed",
		"Check the way to {host}; {proxy}"},
}

// Explain returns err, from a request to endpoint by hc, as a [NetworkError]
// that says what it means. Servers, proxies and certificates have a hand in the
// text of such an error: it is cleaned, of the secrets given too, and so is all
// that it unwraps to.
func Explain(err error, endpoint string, hc *http.Client, secrets ...string) error {
	if wrapped, ok := err.(*url.Error); ok {
		err = wrapped.Err // the rest of its text repeats the endpoint
	}
	if strings.Contains(err.Error(), "invalid proxy address") {
		err = errBadProxy // net/http prints the variable, which may hold a password
	}
	if inOp("proxyconnect")(err) && proxyFor(endpoint, hc).odd() {
		err = errBadProxy // the resolver would be blamed
	}
	u, _ := url.Parse(endpoint)
	var dns net.DNSError
	if d := (*net.DNSError)(nil); errors.As(err, &d) {
		dns = *d
	}
	fill := strings.NewReplacer(
		"{host}", u.Host,
		"{name}", u.Hostname(),
		"{dns}", redact.Clean(dns.Name, 100, secrets...),
		"{seen}", seen(err),
		"{open}", firewall(u),
		"{now}", time.Now().UTC().Format(time.RFC3339),
		"{variable}", proxyVariable(u),
		"{proxy}", proxyFor(endpoint, hc).advice(),
	)
	for _, c := range causes {
		if c.matches(err) {
			return &NetworkError{
				what:      fill.Replace(c.what),
				remedy:    fill.Replace(c.remedy),
				anchor:    c.anchor,
				untrusted: Untrusted(err),
				err:       redact.Error(err, secrets...),
			}
		}
	}
	panic("unreachable: the last cause matches every error")
}

func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
}

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func inOp(op string) func(error) bool {
	return func(err error) bool {
		var e *net.OpError
		return errors.As(err, &e) && e.Op == op
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// outOfDate reports whether a certificate is not valid yet, or no longer.
func outOfDate(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// Untrusted reports whether err is about a certificate, which will not become
// another by asking again.
func Untrusted(err error) bool {
	var network *NetworkError
	if errors.As(err, &network) {
		return network.untrusted
	}
	return as[x509.CertificateInvalidError](err) || as[*tls.CertificateVerificationError](err) || as[x509.UnknownAuthorityError](err) || as[x509.HostnameError](err)
}

// seen says whose certificate came, which gives an intercepting proxy away.
func seen(err error) string {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		cert         *x509.Certificate
	)
	switch {
	case errors.As(err, &verification) && len(verification.UnverifiedCertificates) > 0:
		cert = verification.UnverifiedCertificates[0]
	case errors.As(err, &authority):
		cert = authority.Cert
	case errors.As(err, &hostname):
		cert = hostname.Certificate
	}
	if cert == nil {
		return ""
	}
	return fmt.Sprintf(": it was issued to %q by %q", redact.Clean(cert.Subject.String(), 200), redact.Clean(cert.Issuer.String(), 200))
}

// firewall names what must be open. The addresses are Digdir's
// (https://docs.digdir.no/docs/general/IP, 2024-10-17).
func firewall(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	addresses := map[string]string{
		"maskinporten.no":      " (139.105.36.164)",
		"test.maskinporten.no": " (139.105.36.132 and 2a02:9cc::301)",
	}
	return "outbound port " + port + " to " + u.Hostname() + addresses[u.Hostname()]
}

// proxyUse is whether requests went through a proxy.
type proxyUse struct {
	host    string
	known   bool
	used    bool
	invalid bool
}

var errBadProxy = errors.New("invalid proxy variable")

// proxyError is a proxy that answered a CONNECT with a refusal. net/http would
// make an error of the words in its status line alone.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered HTTP %d %s", e.status, http.StatusText(e.status))
}

// checkConnect is a transport's OnProxyConnectResponse.
func checkConnect(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{resp.StatusCode}
	}
	return nil
}

// proxyVariable names the variable that net/http takes the proxy for u from.
func proxyVariable(u *url.URL) string {
	names := []string{"HTTPS_PROXY", "https_proxy"}
	if u.Scheme == "http" {
		names = []string{"HTTP_PROXY", "http_proxy"}
	}
	for _, name := range names {
		if os.Getenv(name) != "" {
			return "the variable " + name
		}
	}
	return "the proxy of the HTTPClient given"
}

func proxyFor(endpoint string, hc *http.Client) proxyUse {
	t, ok := hc.Transport.(*http.Transport)
	if hc.Transport == nil {
		t, ok = http.DefaultTransport.(*http.Transport)
	}
	if !ok {
		return proxyUse{}
	}
	if t.Proxy == nil {
		return proxyUse{known: true}
	}
	req, err := http.NewRequest(http.MethodPost, endpoint, nil)
	if err != nil {
		return proxyUse{}
	}
	u, err := t.Proxy(req)
	switch {
	case err != nil:
		return proxyUse{invalid: true}
	case u == nil:
		return proxyUse{known: true}
	}
	return proxyUse{known: true, used: true, host: u.Host} // without its password
}

// odd reports whether the proxy's host is what net/http makes of a variable that
// is no URL: of "http//proxy", of one in quotation marks, with a blank or empty.
func (p proxyUse) odd() bool {
	name, _, _ := strings.Cut(strings.ToLower(p.host), ":")
	return p.used && (name == "" || name == "http" || name == "https" || strings.ContainsAny(name, `"' `))
}

func (p proxyUse) advice() string {
	switch {
	case p.invalid:
		return "the proxy variable is not a URL."
	case p.host != "":
		return "the proxy " + p.host + " was used, as HTTPS_PROXY or HTTP_PROXY says: check that it lets this through."
	case p.known:
		return "no proxy was used (HTTPS_PROXY is not set, or NO_PROXY exempts the host): set it if this network needs one."
	}
	return "check the proxy settings of the HTTPClient given."
}
