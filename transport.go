package maskinporten

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

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

	exactHosts []string // those of them that are a name without a port
}

// host is one that may have a token. An empty port means the scheme's own.
type host struct{ name, port string }

// parseHost reads host or host:port.
func parseHost(s string) (host, error) {
	fail := func() (host, error) {
		shown := strconv.Quote(redact.Cut(redact.Secrets(s), 100))
		if strings.Contains(s, "@") {
			shown = redact.Hidden // a password may stand before it
		}
		return host{}, invalid("hosts", fmt.Sprintf("%s is not a host: give api.example.no or api.example.no:8443, without scheme, path or wildcard, in ASCII%s", shown, whiteSpaceHint(s)))
	}
	if ip := net.ParseIP(strings.Trim(s, "[]")); ip != nil {
		return host{name: strings.Trim(s, "[]")}, nil
	}
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || u.User != nil || !visibleASCII(s) || strings.HasSuffix(s, ":") || strings.ContainsAny(s, "*%") || strings.HasPrefix(s, ".") {
		return fail()
	}
	if port, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || port < 1 || port > 65535) {
		return fail()
	}
	return host{name: u.Hostname(), port: u.Port()}, nil
}

// RoundTrip makes one call. It does not change req, closes its body whatever
// happens, and gives it as the answer's Request, so that no log of an answer
// shows the token.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t == nil || t.source == nil {
		return nil, closeBody(req, notMade("Transport", "Client.Transport"))
	}
	if problem := t.problem(req); problem != "" {
		if !redirected(req) {
			return nil, closeBody(req, &callError{text: "no token is sent to " + hostOf(req) + ": " + problem})
		}
		return t.pass(req)
	}
	if carriesAuthorization(req.Header) || redirected(req) && t.passedUnnamedHost(req) {
		return t.pass(req)
	}
	token, justFetched, err := t.source.get(req.Context())
	if err != nil {
		return nil, closeBody(req, err)
	}
	resp, err := t.send(req, req.Body, token)
	if err != nil {
		return nil, err
	}
	if !rejected(resp) || !t.source.reportUnauthorized(req.Context(), token, justFetched) {
		return resp, nil
	}
	return t.retryUnauthorized(req, resp)
}

// retryUnauthorized repeats a call whose token was rejected: the API did not
// carry it out. Without a new token or a body that can be had again, the caller
// gets the API's answer.
func (t *Transport) retryUnauthorized(req *http.Request, answer *http.Response) (*http.Response, error) {
	body := req.Body
	replay := body != nil && body != http.NoBody
	if replay && req.GetBody == nil {
		return answer, nil
	}
	token, _, err := t.source.get(req.Context())
	if err != nil {
		return answer, nil
	}
	if replay {
		if body, err = req.GetBody(); err != nil {
			return answer, nil
		}
	}
	drain(req.Context(), answer.Body)
	resp, err := t.send(req, body, token)
	if err != nil {
		return nil, err
	}
	if rejected(resp) {
		t.source.reportUnauthorized(req.Context(), token, true)
	}
	return resp, nil
}

// Read to its end, an answer leaves its connection for the next call. But a
// hostile one may have no end, or be in no hurry.
const (
	maxDrained = 64 << 10
	drainTime  = 500 * time.Millisecond
)

// drain reads and closes the body of an answer that nobody will see. It reads
// on another goroutine, for a Read may hang until Close.
func drain(ctx context.Context, body io.ReadCloser) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	go func() {
		defer cancel()
		_, _ = io.CopyN(io.Discard, body, maxDrained)
	}()
	<-ctx.Done()
	body.Close()
}

// rejected reports whether an API's answer says that the token is not good: a
// 401, or a 403 with the error code for that (RFC 6750 §3.1).
func rejected(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized ||
		resp.StatusCode == http.StatusForbidden && saysInvalidToken(resp.Header.Values("WWW-Authenticate"))
}

// pass makes the call as it is, without a token.
func (t *Transport) pass(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// send makes the call with token, on a copy of req.
func (t *Transport) send(req *http.Request, body io.ReadCloser, token *Token) (*http.Response, error) {
	outgoing := &struct {
		http.Request
		authorization [1]string // in one allocation with the request
	}{Request: *req, authorization: [1]string{token.bearer()}}
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

// closeBody closes req's body, as a RoundTripper must also when it fails, and
// returns err.
func closeBody(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

// notMade is the error of a zero value, or of a nil pointer.
func notMade(what, by string) error {
	return &callError{text: "this " + what + " was not made by " + by + ": use what that returns"}
}

// callError is a call that was not made.
type callError struct{ text string }

func (e *callError) Error() string { return "maskinporten: " + e.text }

// Is makes it an ErrNoToken.
func (e *callError) Is(target error) bool { return target == ErrNoToken }

// CloseIdleConnections passes through to the base, for [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if t == nil {
		return
	}
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// problem returns why no token may go where req goes; it is empty if one may.
func (t *Transport) problem(req *http.Request) string {
	if !t.allowed(req) {
		return "this transport was made for " + t.names() + " over https; make one for that host if it may have a token"
	}
	if !t.allowedTarget(req) {
		return "the request line would name another server than the URL does (CONNECT, URL.Opaque, a path that does not begin with a slash or a blank in the query); a gateway goes by that"
	}
	return ""
}

// allowed reports whether the host that req goes to may have a token. A Host
// that differs from the URL's is where a gateway would take it, so both must be
// named.
func (t *Transport) allowed(req *http.Request) bool {
	u := req.URL
	if u == nil {
		return false
	}
	if u.Scheme == "https" && (req.Host == "" || req.Host == u.Host) && slices.Contains(t.exactHosts, u.Host) {
		return true // as it was named: nearly always
	}
	standard := standardPort(u)
	if standard == "" || !t.matchesHost(u, standard) {
		return false
	}
	return req.Host == "" || req.Host == u.Host || t.matchesHost(&url.URL{Host: req.Host}, standard)
}

// standardPort is that of a scheme over which a token may go to u's host; it is
// empty if there is none.
func standardPort(u *url.URL) string {
	switch {
	case u.Scheme == "https":
		return "443"
	case u.Scheme == "http" && endpoint.IsLoopback(u.Hostname()):
		return "80"
	}
	return ""
}

// matchesHost reports whether the host of u, at this port if it states none, is
// one of those named.
func (t *Transport) matchesHost(u *url.URL, standard string) bool {
	name, port := u.Hostname(), cmp.Or(u.Port(), standard)
	for _, h := range t.hosts {
		// The names are ASCII: of equal length, folding compares no other letters.
		if port == cmp.Or(h.port, standard) && len(name) == len(h.name) && strings.EqualFold(name, h.name) {
			return true
		}
	}
	return false
}

// allowedTarget reports whether the request target is a path, an asterisk, or
// a URL of a host that was named: to a gateway that takes a request by its
// target, anything else names another server (RFC 9112 §3.2.2).
func (t *Transport) allowedTarget(req *http.Request) bool {
	u := req.URL
	if req.Method == http.MethodConnect && u.Path == "" {
		return false // net/http writes a host
	}
	if strings.Contains(u.RawQuery, " ") {
		return false // a request line has three words, and some servers read more
	}
	if u.Opaque == "" && (u.Path == "" || u.Path[0] == '/') && (u.RawPath == "" || u.RawPath[0] == '/') {
		return true
	}
	target := u.RequestURI()
	if strings.Contains(target, " ") {
		return false
	}
	if target[0] == '/' || target == "*" {
		return true
	}
	absolute, err := url.Parse(target)
	return err == nil && absolute.Scheme == u.Scheme && absolute.User == nil && t.matchesHost(absolute, standardPort(u))
}

// redirected reports whether net/http made req in answer to a redirect.
func redirected(req *http.Request) bool { return req.Response != nil }

// maxHops is how many redirects are followed back. net/http follows ten; a
// chain without an end is one that somebody tied into a ring.
const maxHops = 100

// passedUnnamedHost reports whether the redirects that led to req have passed a
// host that may not have a token: from there on the way is that host's to
// choose.
func (t *Transport) passedUnnamedHost(req *http.Request) bool {
	for range maxHops {
		if req.Response == nil {
			return false
		}
		if req = req.Response.Request; req == nil || t.problem(req) != "" {
			return true
		}
	}
	return true
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
func (t *Transport) String() string {
	if t == nil {
		return "Transport{}"
	}
	return "Transport{" + t.names() + "}"
}

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

// saysInvalidToken reports whether one of the challenges in these WWW-Authenticate
// headers is a Bearer one with the error invalid_token. The grammar is that of
// RFC 9110 §11.6.1: a comma separates parameters as well as challenges.
func saysInvalidToken(headers []string) bool {
	for _, rest := range headers {
		bearer := false
		for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			word := rest[:len(rest)-len(strings.TrimLeftFunc(rest, inChallengeWord))]
			if word == "" {
				break // not a challenge: what follows cannot be told apart
			}
			rest = strings.TrimLeft(rest[len(word):], " \t")
			if !strings.HasPrefix(rest, "=") {
				bearer = strings.EqualFold(word, "Bearer")
				continue
			}
			var value string
			value, rest = challengeValue(strings.TrimLeft(rest[1:], " \t"))
			if bearer && strings.EqualFold(word, "error") && value == "invalid_token" {
				return true
			}
		}
	}
	return false
}

// challengeValue reads a token or a quoted string, and returns what follows it.
// Scopes and URLs hold characters that must be quoted, and often are not.
func challengeValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " \t,")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:]
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "" // it does not end
}

// inChallengeWord is what schemes, names and tokens are made of; the slash is a
// token68's alone.
func inChallengeWord(c rune) bool {
	return alphanumeric(c) || strings.ContainsRune("!#$%&'*+-.^_`|~/", c)
}
