package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// way is how this machine gets to the servers of the environment.
type way struct {
	targets []*target
	err     error // a proxy variable is not a URL
}

// target is a server, and what stands between.
type target struct {
	url      *url.URL // something to ask it for that needs no token
	host     string   // name or address
	port     string
	proxy    *url.URL // nil for the direct way
	variable string   // that names the proxy, or would
	exempt   bool     // by NO_PROXY

	connect connected // what the proxy said
}

// connected is the answer of a proxy that was asked for a tunnel.
type connected struct {
	status int
	text   string
}

// wayTo finds the servers of an environment: most often one.
func wayTo(c *configured) (w way) {
	for _, raw := range []string{c.wellKnown, c.environment.TokenURL, c.environment.JWKSURL} {
		t, err := newTarget(raw)
		if err != nil {
			w.err = err
		}
		if t != nil && !slices.ContainsFunc(w.targets, t.same) {
			w.targets = append(w.targets, t)
		}
	}
	return w
}

var errBadProxy = errors.New("the proxy variable is not a URL")

// newTarget is nil for what is no URL, which the step config has told of.
func newTarget(raw string) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, nil
	}
	t := &target{url: u, host: u.Hostname(), port: u.Port()}
	if t.port == "" {
		t.port = map[string]string{"http": "80"}[u.Scheme]
	}
	if t.port == "" {
		t.port = "443"
	}
	for _, name := range []string{strings.ToUpper(u.Scheme) + "_PROXY", strings.ToLower(u.Scheme) + "_proxy"} {
		if os.Getenv(name) != "" {
			t.variable = name
			break
		}
	}
	// net/http takes what is no URL for a host, and its errors hold the variable,
	// in which a password may be.
	if value := os.Getenv(t.variable); strings.Contains(value, "://") {
		if _, err := url.Parse(value); err != nil {
			return t, errBadProxy
		}
	}
	if t.proxy, err = http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil {
		return t, errBadProxy
	}
	t.exempt = t.proxy == nil && t.variable != ""
	return t, nil
}

func (t *target) same(o *target) bool {
	return t.address() == o.address() && t.url.Scheme == o.url.Scheme
}

func (t *target) address() string { return net.JoinHostPort(t.host, t.port) }

// secure reports whether the target speaks TLS.
func (t *target) secure() bool { return t.url.Scheme == "https" }

// proxyHost is the name of the proxy.
func (t *target) proxyHost() string { return t.proxy.Hostname() }

func (t *target) proxyAddress() string {
	port := t.proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[t.proxy.Scheme]
	}
	if port == "" {
		port = "1080" // SOCKS (RFC 1928)
	}
	return net.JoinHostPort(t.proxy.Hostname(), port)
}

// published are the addresses that Digdir asks firewalls to let through
// (https://docs.digdir.no/docs/general/IP, 2024-10-17).
var published = map[string][]string{
	"maskinporten.no":      {"139.105.36.164"},
	"test.maskinporten.no": {"139.105.36.132", "2a02:9cc::301"},
}

// firewall says what must be open for t.
func (t *target) firewall() string {
	open := fmt.Sprintf("outbound port %s to %s", t.port, t.host)
	if addresses := published[t.host]; addresses != nil {
		open += " (" + strings.Join(addresses, " and ") + ")"
	}
	return open
}

// proxyAdvice says which proxy was used, or that none was.
func (t *target) proxyAdvice() string {
	switch {
	case t.proxy != nil:
		return fmt.Sprintf("the proxy %s was used, as %s says: check that it lets this through.", t.proxy.Host, t.variable)
	case t.exempt:
		return fmt.Sprintf("no proxy was used, for NO_PROXY exempts %s.", t.host)
	}
	return "no proxy was used (HTTPS_PROXY is not set): set it if this network needs one."
}
