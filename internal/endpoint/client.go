// Package endpoint makes one HTTP exchange with a server that gives tokens,
// keys or metadata: a client with time limits and without redirects, an answer
// bounded and read with care, network errors explained to the person on call,
// repeated attempts, and what the server's clock says about ours.
package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// AttemptTimeout is for one request: answers of 15 s have been seen.
const AttemptTimeout = 20 * time.Second

// NewClient returns a copy of hc, or of a client of our own if hc is nil, that
// does not follow redirects: a 307 would take an assertion to another host. If
// hc's transport is an *[http.Transport], the copy has one of its own that
// notices when an HTTP/2 connection has died.
func NewClient(hc *http.Client) *http.Client {
	c := http.Client{Transport: transport}
	if hc != nil {
		c = *hc
		if c.Transport == nil {
			c.Transport = http.DefaultTransport
		}
		if t, ok := c.Transport.(*http.Transport); ok {
			c.Transport = withPings(t)
		}
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// transport is shared by all clients that bring none of their own, so that
// they share connections.
var transport = newTransport(&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second})

// newTransport returns a transport with time limits and bounds. The dialer's
// time limit is divided among the addresses of a name, so that one that leads
// nowhere does not use it up; an IPv6 address gets 300 ms of a start.
func newTransport(dialer *net.Dialer) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkConnect,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: maxSilence, PingTimeout: pingTimeout},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           8,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // answers are small; nothing to inflate, so no bomb
	}
}

// Get returns a public JSON document: metadata or a key set.
func Get(ctx context.Context, hc *http.Client, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, AttemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return nil, Explain(err, url, hc)
	}
	defer resp.Body.Close()
	body, err := ReadBody(resp.Body)
	if err != nil {
		return nil, Explain(err, url, hc)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d: %s", resp.StatusCode, redact.FirstLine(body))
	}
	return body, nil
}

// MaxBody bounds what is read of any answer.
const MaxBody = 1 << 20

var errTooLarge = errors.New("the answer is larger than 1 MiB")

// ReadBody returns the whole of an answer's body, which may hold up to
// [MaxBody] bytes. The caller closes it.
func ReadBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > MaxBody {
		return nil, errTooLarge
	}
	return body, nil
}

// CheckURL returns what is wrong with raw as a URL that a grant, a token or
// trust in keys may depend on, and what would be right; it returns an empty
// string for a good one.
func CheckURL(raw string) (problem string) {
	if raw == "" {
		return "is missing: give its https URL"
	}
	shown := strconv.Quote(redact.Cut(redact.Secrets(raw), 100))
	if strings.Contains(raw, "@") {
		shown = redact.Hidden // a password may stand before it
	}
	u, err := url.Parse(raw)
	switch {
	case strings.ContainsFunc(raw, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }):
		return "holds white space: " + shown
	case err != nil: // its text holds the URL, and with it a password
		return "is not a URL: give it as https://host/path"
	case u.User != nil:
		return "holds a user name or a password: leave them out"
	case u.Scheme == "" || u.Host == "" && u.Opaque != "":
		return shown + " does not begin with https://: give it as https://host/path"
	case u.Hostname() == "":
		return "is not a URL: give it as https://host/path"
	case strings.ContainsAny(raw, "?#"):
		return "has a query or a fragment: leave it out"
	case u.Scheme == "https", u.Scheme == "http" && IsLoopback(u.Hostname()):
		return ""
	}
	return shown + " is not https: only a loopback address may be called without TLS"
}

// IsLoopback reports whether host, a name or an address without a port, is
// this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
