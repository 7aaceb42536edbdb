package maskinporten

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Transport is an [http.RoundTripper] that puts a token on calls to the hosts
// it was made for, and sends a token nowhere else. It is safe for concurrent
// use. Make it with [Client.Transport].
type Transport struct {
	source *TokenSource
	base   http.RoundTripper
	hosts  []host
	plain  []string // those of them that are a name without a port
}

// host is one that may have a token. An empty port means the scheme's own.
type host struct{ name, port string }

// Transport makes a Transport for r over base (nil means
// [http.DefaultTransport]). It costs no I/O, and all transports of a client
// share its tokens.
//
// hosts are the API's, each as host or host:port; without a port, the scheme's
// own. There is no wildcard, and a subdomain is another host. A token goes out
// only over https, or over http to a loopback address. A call to another host
// is an error that says so; a redirect to one goes on without a token, and so
// does what follows it.
//
// A caller's own Authorization header is left alone. On 401 the token is
// dropped, unless this call has just fetched it, and the call is repeated once
// with a new one if it has no body or one that [http.Request.GetBody] gives
// again. An API that refuses every token gets the new ones at growing
// intervals only, up to 30 seconds.
//
// A bad Request or host is a *[FieldError].
func (c *Client) Transport(r Request, base http.RoundTripper, hosts ...string) (*Transport, error) {
	source, err := c.TokenSource(r)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 {
		return nil, invalid("hosts", "are missing: name the API's host, so that the token goes nowhere else")
	}
	t := &Transport{source: source, base: base}
	if base == nil {
		t.base = http.DefaultTransport
	}
	for _, h := range hosts {
		parsed, err := parseHost(h)
		if err != nil {
			return nil, err
		}
		t.hosts = append(t.hosts, parsed)
		if parsed.port == "" && !strings.Contains(parsed.name, ":") {
			t.plain = append(t.plain, parsed.name)
		}
	}
	return t, nil
}

func parseHost(s string) (host, error) {
	fail := func() (host, error) {
		return host{}, invalid("hosts", fmt.Sprintf("%q is not a host: give api.example.no or api.example.no:8443, without scheme, path or wildcard, in ASCII", redact.Clean(s, 100)))
	}
	if ip := net.ParseIP(strings.Trim(s, "[]")); ip != nil {
		return host{name: strings.Trim(s, "[]")}, nil
	}
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || u.User != nil || !visibleASCII(s) || strings.HasSuffix(s, ":") || strings.ContainsAny(s, "*%") {
		return fail()
	}
	return host{name: u.Hostname(), port: u.Port()}, nil
}

// RoundTrip makes one call. It does not change req, closes its body whatever
// happens, and gives it as the answer's Request, so that no log of an answer
// shows the token.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.may(req) {
		if !redirected(req) {
			return nil, t.refuse(req, fmt.Errorf("maskinporten: no token is sent to %s: this transport was made for %s over https; make one for that host if it may have a token", hostOf(req), t.names()))
		}
		return t.pass(req)
	}
	if carriesAuthorization(req.Header) || redirected(req) && t.strayed(req) {
		return t.pass(req)
	}
	token, justFetched, err := t.source.get(req.Context())
	if err != nil {
		return nil, t.refuse(req, err)
	}
	resp, err := t.send(req, req.Body, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		if err == nil && resp.StatusCode < 400 {
			t.source.accepted(token)
		}
		return resp, err
	}
	if !t.source.refused(token, justFetched) {
		return resp, nil
	}
	return t.again(req, resp)
}

// again repeats a call that was answered 401: the API did not carry it out.
// Without a new token or a body that can be had again, the caller gets the 401.
func (t *Transport) again(req *http.Request, refused *http.Response) (*http.Response, error) {
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return refused, nil
		}
		var err error
		if body, err = req.GetBody(); err != nil {
			return refused, nil
		}
	}
	// Read to its end, the answer leaves its connection, and its place at an API
	// that takes few calls at a time; but a hostile one may have no end.
	read, _ := io.ReadAll(io.LimitReader(refused.Body, 64<<10))
	token, _, err := t.source.get(req.Context())
	if err != nil {
		if body != nil {
			body.Close()
		}
		refused.Body = &resumed{io.MultiReader(bytes.NewReader(read), refused.Body), refused.Body}
		return refused, nil
	}
	refused.Body.Close()
	resp, err := t.send(req, body, token)
	switch {
	case err != nil:
	case resp.StatusCode == http.StatusUnauthorized:
		t.source.refused(token, true)
	case resp.StatusCode < 400:
		t.source.accepted(token)
	}
	return resp, err
}

// pass makes the call as it is, without a token.
func (t *Transport) pass(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// resumed is a body of which some has been read.
type resumed struct {
	io.Reader
	io.Closer
}

// send makes the call with token, on a copy of req.
func (t *Transport) send(req *http.Request, body io.ReadCloser, token *Token) (*http.Response, error) {
	outgoing := &struct {
		http.Request
		authorization [1]string // in one allocation with the request
	}{Request: *req, authorization: [1]string{*token.bearer}}
	header := maps.Clone(req.Header)
	if header == nil {
		header = make(http.Header, 1)
	}
	for name, values := range header {
		if cap(values) > len(values) {
			header[name] = slices.Clip(values)
		}
	}
	header["Authorization"] = outgoing.authorization[:]
	outgoing.Header = header
	outgoing.Body = body
	resp, err := t.base.RoundTrip(&outgoing.Request)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// refuse closes the body, as a RoundTripper must also when it fails.
func (t *Transport) refuse(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

// CloseIdleConnections passes through to the base, for [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// may tells whether a token may go where req goes. A Host that differs from
// the URL's is where a gateway would take it, so both must be named.
func (t *Transport) may(req *http.Request) bool {
	u := req.URL
	if u == nil {
		return false
	}
	if u.Scheme == "https" && (req.Host == "" || req.Host == u.Host) && slices.Contains(t.plain, u.Host) {
		return true // as it was named: nearly always
	}
	name, port := u.Hostname(), u.Port()
	standard := ""
	switch {
	case u.Scheme == "https":
		standard = "443"
	case u.Scheme == "http" && endpoint.IsLoopback(name):
		standard = "80"
	default:
		return false
	}
	if !t.named(name, port, standard) {
		return false
	}
	if req.Host == "" || req.Host == u.Host {
		return true
	}
	other := url.URL{Host: req.Host}
	return t.named(other.Hostname(), other.Port(), standard)
}

func (t *Transport) named(name, port, standard string) bool {
	if port == "" {
		port = standard
	}
	for _, h := range t.hosts {
		want := h.port
		if want == "" {
			want = standard
		}
		// The names are ASCII: of equal length, folding compares no other letters.
		if port == want && len(name) == len(h.name) && strings.EqualFold(name, h.name) {
			return true
		}
	}
	return false
}

// redirected tells whether net/http made req in answer to a redirect.
func redirected(req *http.Request) bool { return req.Response != nil }

// strayed tells whether the redirects that led to req have passed a host that
// may not have a token: from there on the way is that host's to choose.
func (t *Transport) strayed(req *http.Request) bool {
	for req.Response != nil {
		if req = req.Response.Request; req == nil || !t.may(req) {
			return true
		}
	}
	return false
}

func carriesAuthorization(h http.Header) bool {
	if len(h["Authorization"]) > 0 {
		return true
	}
	for name := range h {
		if len(name) == len("Authorization") && strings.EqualFold(name, "Authorization") {
			return true
		}
	}
	return false
}

func hostOf(req *http.Request) string {
	if req.URL == nil {
		return "a request without a URL"
	}
	at := req.URL.Scheme + "://" + req.URL.Host
	if req.Host != "" && req.Host != req.URL.Host {
		at += " (Host: " + req.Host + ")"
	}
	return redact.Clean(at, 200)
}

// String names the hosts.
func (t *Transport) String() string { return "Transport{" + t.names() + "}" }

// Format makes every verb print what String does.
func (t *Transport) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

func (t *Transport) names() string {
	var names []string
	for _, h := range t.hosts {
		name := h.name
		if h.port != "" {
			name = net.JoinHostPort(h.name, h.port)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
