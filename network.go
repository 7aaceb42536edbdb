package maskinporten

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
	"strings"
	"syscall"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// networkError is a request that got no answer, or half of one, with what to
// do about it.
type networkError struct {
	what   string // what happened
	remedy string
	anchor string // in the troubleshooting page
	err    error
}

func (e *networkError) Error() string {
	return fmt.Sprintf("%s (%v) — %s See %s.", e.what, e.err, e.remedy, troubleshooting+e.anchor)
}

func (e *networkError) Unwrap() error { return e.err }

// explainNetwork says what err, from a request to endpoint, means to the
// person on call.
func explainNetwork(err error, endpoint string, hc *http.Client) error {
	if wrapped, ok := err.(*url.Error); ok {
		err = wrapped.Err // the rest of its text repeats the endpoint
	}
	if strings.Contains(err.Error(), "invalid proxy address") {
		err = errBadProxy // net/http prints the variable, which may hold a password
	}
	u, _ := url.Parse(endpoint)
	proxy := proxyFor(endpoint, hc)
	say := func(anchor, what, remedy string) error {
		return &networkError{what: what, remedy: remedy, anchor: anchor, err: err}
	}
	var (
		dns          *net.DNSError
		op           *net.OpError
		timeout      net.Error
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		alert        tls.AlertError
	)
	switch {
	case errors.Is(err, errBadProxy):
		return say("proxy", "the proxy variable is not a URL", "Set HTTPS_PROXY to a URL such as http://proxy.example:8080.")
	case errors.As(err, &dns):
		return say("name-not-found", "the name "+dns.Name+" was not found", "Check this machine's DNS; "+proxy.advice())
	case errors.As(err, &verification):
		return say("tls", "the TLS certificate of "+u.Host+" is not trusted"+seen(verification.UnverifiedCertificates),
			"If that is not a public issuer, a proxy intercepts the connection: have "+u.Hostname()+" exempted from it, or add the proxy's CA to this machine's trusted ones.")
	case untrusted(err):
		return say("tls", "the TLS certificate of "+u.Host+" is not trusted"+seenIn(err),
			"If a proxy intercepts the connection, have "+u.Hostname()+" exempted from it, or add the proxy's CA to this machine's trusted ones.")
	case errors.As(err, &record):
		return say("tls", u.Host+" did not answer in TLS", "Something other than Maskinporten answered, most likely a proxy or a firewall: check the port; "+proxy.advice())
	case errors.As(err, &alert):
		return say("tls", u.Host+" broke off the TLS handshake", "A proxy or firewall may intercept the connection; "+proxy.advice())
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return say("proxy", "the proxy was not reached", "Check the proxy's address; "+proxy.advice())
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("refused", "the connection was refused", "Nothing listens there, or a firewall turns it away: open "+firewall(u)+"; "+proxy.advice())
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return say("connect-timeout", "the connection timed out", "That is most often a firewall: open "+firewall(u)+"; "+proxy.advice())
	case errors.As(err, &op) && op.Op == "dial":
		return say("no-route", "no connection could be made", "Open "+firewall(u)+"; "+proxy.advice())
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return say("reset", "the connection was reset", "A firewall or proxy may have cut it; if it happens again and again, open "+firewall(u)+"; "+proxy.advice())
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return say("truncated", "the connection ended before the answer did", "A proxy or firewall may have cut it; "+proxy.advice())
	case errors.Is(err, errTooLarge):
		return say("too-large", "the answer was not one of Maskinporten's", "Something else may have answered in its place; "+proxy.advice())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return say("timeout", "no answer came in time", "Maskinporten may be slow, or a firewall may swallow what is sent: open "+firewall(u)+"; "+proxy.advice())
	}
	return say("network", "the request failed", "Check the way to "+u.Host+"; "+proxy.advice())
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
	invalid bool
}

const errBadProxy = constError("invalid proxy variable")

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
	return proxyUse{known: true, host: u.Host} // without its password
}

func (p proxyUse) advice() string {
	switch {
	case p.invalid:
		return "the proxy variable (HTTPS_PROXY) is not a URL."
	case p.host != "":
		return "the proxy " + p.host + " was used, as HTTPS_PROXY or HTTP_PROXY says: check that it lets this through."
	case p.known:
		return "no proxy was used (HTTPS_PROXY is not set, or NO_PROXY exempts the host): set it if this network needs one."
	}
	return "check the proxy settings of the HTTPClient given."
}

// seen tells whose certificate came, which gives an intercepting proxy away.
func seen(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return ""
	}
	return fmt.Sprintf(": it was issued to %q by %q", redact.Clean(chain[0].Subject.String(), 200), redact.Clean(chain[0].Issuer.String(), 200))
}

func seenIn(err error) string {
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) && authority.Cert != nil {
		return seen([]*x509.Certificate{authority.Cert})
	}
	var hostname x509.HostnameError
	if errors.As(err, &hostname) && hostname.Certificate != nil {
		return seen([]*x509.Certificate{hostname.Certificate})
	}
	return ""
}
