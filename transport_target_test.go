package maskinporten_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

// roundTripFunc is an API in the place of the network.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answer(status int, body string, header ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// A gateway takes a request by its request line, which need not be what
// URL.Host says.
func TestTokenGoesByTheRequestTarget(t *testing.T) {
	for _, tt := range []struct {
		reason string
		change func(*http.Request)
		sent   bool
	}{
		{"a path", func(r *http.Request) {}, true},
		{"no path", func(r *http.Request) { r.URL.Path = "" }, true},
		{"a path with a query", func(r *http.Request) { r.URL.RawQuery = "to=http://other.example.no/" }, true},
		{"an escaped path", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" }, true},
		{"the server as a whole", func(r *http.Request) { r.Method, r.URL.Path = "OPTIONS", "*" }, true},
		{"CONNECT with a path, as RPC over HTTP has it", func(r *http.Request) { r.Method, r.URL.Path = "CONNECT", "/_goRPC_" }, true},
		{"opaque: a path", func(r *http.Request) { r.URL.Opaque = "/a%2Fb" }, true},
		{"opaque: the named host without its scheme", func(r *http.Request) { r.URL.Opaque = "//api.example.no/x" }, true},
		{"opaque: the named host in other letters", func(r *http.Request) { r.URL.Opaque = "//API.example.no:443/x" }, true},
		{"opaque: a URL of the named host", func(r *http.Request) { r.URL.Opaque = "https://api.example.no/x" }, true},

		{"a query with an escaped blank", func(r *http.Request) { r.URL.RawQuery = "q=a%20b" }, true},

		{"a query with a word more", func(r *http.Request) { r.URL.RawQuery = "q http://other.example.no/" }, false},
		{"a query with a version", func(r *http.Request) { r.URL.RawQuery = "q HTTP/1.0" }, false},
		{"opaque: another host without its scheme", func(r *http.Request) { r.URL.Opaque = "//other.example.no/x" }, false},
		{"opaque: a URL of another host", func(r *http.Request) { r.URL.Opaque = "http://other.example.no/x" }, false},
		{"opaque: two words", func(r *http.Request) { r.URL.Opaque = "/x http://other.example.no/" }, false},
		{"opaque: another port", func(r *http.Request) { r.URL.Opaque = "//api.example.no:8443/x" }, false},
		{"opaque: another scheme", func(r *http.Request) { r.URL.Opaque = "http://api.example.no/x" }, false},
		{"opaque: a user name that looks like the host", func(r *http.Request) { r.URL.Opaque = "//api.example.no@other.example.no/x" }, false},
		{"opaque: a user name before the host", func(r *http.Request) { r.URL.Opaque = "//other.example.no@api.example.no/x" }, false},
		{"opaque: an authority alone", func(r *http.Request) { r.URL.Opaque = "other.example.no:443" }, false},
		{"opaque: an asterisk and more", func(r *http.Request) { r.URL.Opaque = "*.example.no" }, false},
		{"opaque: no URL", func(r *http.Request) { r.URL.Opaque = "//[x" }, false},
		{"a path without a slash in front", func(r *http.Request) { r.URL.Path = "other.example.no:443" }, false},
		{"a path that is a URL", func(r *http.Request) { r.URL.Path = "http://other.example.no/x" }, false},
		{"a raw path without a slash in front", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/x", "%2Fx" }, false},
		{"CONNECT", func(r *http.Request) { r.Method, r.URL.Path = "CONNECT", "" }, false},
		{"CONNECT to another", func(r *http.Request) {
			r.Method, r.URL.Path, r.URL.Opaque = "CONNECT", "", "other.example.no:443"
		}, false},
		{"CONNECT to another, with a path", func(r *http.Request) { r.Method, r.URL.Opaque = "CONNECT", "other.example.no:443" }, false},
		{"a percent in the host", func(r *http.Request) { r.URL.Host = "api%2eexample.no" }, false},
		{"a host with a dot at its end", func(r *http.Request) { r.URL.Host = "api.example.no." }, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			calls := 0
			tr, err := newClient(t, fake).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
				calls++
				require.NotEmpty(t, req.Header.Get("Authorization"))
				return answer(200, ""), nil
			}), "api.example.no")
			require.NoError(t, err)
			req, err := http.NewRequest("GET", "https://api.example.no/v1/25922947409", nil)
			require.NoError(t, err)
			tt.change(req)
			_, err = tr.RoundTrip(req)
			if tt.sent {
				require.NoError(t, err)
				require.Equal(t, 1, calls)
				return
			}
			require.ErrorIs(t, err, maskinporten.ErrNoToken)
			require.ErrorContains(t, err, "no token is sent to")
			require.NotContains(t, err.Error(), "25922947409", "a path may hold a person")
			require.Zero(t, calls)
			require.Zero(t, fake.TokenRequests())
		})
	}
}

// What was found: StripPrefix takes the slash off, ReverseProxy hands the path
// on, and the request line names another site on the gateway.
func TestReverseProxySendsNoTokenToAnotherSite(t *testing.T) {
	gateway, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer gateway.Close()
	var mu sync.Mutex
	var lines []string
	go func() {
		for {
			conn, err := gateway.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				line, _ := bufio.NewReader(conn).ReadString('\n')
				mu.Lock()
				lines = append(lines, line)
				mu.Unlock()
				io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			}()
		}
	}()
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, nil, gateway.Addr().String())
	require.NoError(t, err)
	proxy := httptest.NewServer(http.StripPrefix("/api/", &httputil.ReverseProxy{
		Transport: tr,
		ErrorLog:  nil,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", gateway.Addr().String(), ""
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}))
	defer proxy.Close()
	for _, path := range []string{"/api/other.example.no:443", "/api/http://other.example.no/x"} {
		req, err := http.NewRequest("GET", proxy.URL, nil)
		require.NoError(t, err)
		req.URL.Opaque = path
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusBadGateway, resp.StatusCode, path)
		require.Contains(t, string(body), "request line")
	}
	resp, err := http.Get(proxy.URL + "/api//fine")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"GET /fine HTTP/1.1\r\n"}, lines)
}

// hops is what a base sees of a call that is redirected from URL to URL.
func hops(t *testing.T, hosts []string, urls ...string) (authorized []bool) {
	t.Helper()
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
		authorized = append(authorized, req.Header.Get("Authorization") != "")
		if len(authorized) < len(urls) {
			return answer(307, "", "Location", urls[len(authorized)]), nil
		}
		return answer(200, ""), nil
	}), hosts...)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: tr}).Get(urls[0])
	require.NoError(t, err)
	resp.Body.Close()
	return authorized
}

func TestRedirectChains(t *testing.T) {
	const named, second, other = "https://api.example.no/", "https://second.example.no/", "https://other.example.no/"
	hosts := []string{"api.example.no", "second.example.no"}
	for _, tt := range []struct {
		reason string
		urls   []string
		token  []bool
	}{
		{"within the host", []string{named, named}, []bool{true, true}},
		{"to another that was named", []string{named, second, named}, []bool{true, true, true}},
		{"away", []string{named, other}, []bool{true, false}},
		{"away and back: the way is the other's choice", []string{named, other, named}, []bool{true, false, false}},
		{"away, back, and on: all hops are looked at, not the last alone", []string{named, other, named, named, second}, []bool{true, false, false, false, false}},
		{"to the host without TLS", []string{named, "http://api.example.no/", named}, []bool{true, false, false}},
		{"to another port", []string{named, "https://api.example.no:8443/", named}, []bool{true, false, false}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			require.Equal(t, tt.token, hops(t, hosts, tt.urls...))
		})
	}
}

// A request can be given an answer that leads back to it.
func TestRingOfRedirectsEnds(t *testing.T) {
	calls := 0
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
		calls++
		require.Empty(t, req.Header.Get("Authorization"))
		return answer(200, ""), nil
	}), "api.example.no")
	require.NoError(t, err)
	first, _ := http.NewRequest("GET", "https://api.example.no/", nil)
	second, _ := http.NewRequest("GET", "https://api.example.no/", nil)
	first.Response = &http.Response{Request: first}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := tr.RoundTrip(first)
		require.NoError(t, err)
		first.Response, second.Response = &http.Response{Request: second}, &http.Response{Request: first}
		_, err = tr.RoundTrip(first)
		require.NoError(t, err)
		second.Response = new(http.Response) // whose request is not known
		_, err = tr.RoundTrip(second)
		require.NoError(t, err)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("RoundTrip spins")
	}
	require.Equal(t, 3, calls)
}

func TestHostWithAPortIsNotOneWithout(t *testing.T) {
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(*http.Request) (*http.Response, error) {
		t.Error("sent")
		return answer(200, ""), nil
	}), "api.example.no:8443")
	require.NoError(t, err)
	_, err = (&http.Client{Transport: tr}).Get("https://api.example.no/")
	require.ErrorContains(t, err, "no token is sent to")
}

func TestHostsWithAPercentAreRefused(t *testing.T) {
	client := newClient(t, maskinportentest.New())
	for _, host := range []string{"api%2eexample.no", "api.example.no%00", "[fe80::1%25eth0]", "fe80::1%eth0"} {
		_, err := client.Transport(maskinporten.Request{Scope: "a:b"}, nil, host)
		requireField(t, err, "hosts")
	}
}

func TestTransportPassesCloseIdleConnectionsOn(t *testing.T) {
	base := &closingIdle{}
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, base, "api.example.no")
	require.NoError(t, err)
	(&http.Client{Transport: tr}).CloseIdleConnections()
	require.Equal(t, 1, base.closed)
	tr, err = newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(nil), "api.example.no")
	require.NoError(t, err)
	tr.CloseIdleConnections() // the base has no such method
}

type closingIdle struct {
	http.RoundTripper
	closed int
}

func (c *closingIdle) CloseIdleConnections() { c.closed++ }

func TestTransportShowsItsHosts(t *testing.T) {
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, nil, "api.example.no", "[::1]:8443")
	require.NoError(t, err)
	require.Equal(t, "Transport{api.example.no, [::1]:8443}", tr.String())
	_, err = tr.RoundTrip(&http.Request{Method: "GET"})
	require.ErrorContains(t, err, "a request without a URL")
	_, err = tr.RoundTrip(&http.Request{URL: &url.URL{Scheme: "https", Host: "api.example.no"}, Host: "other.example.no\nX: y"})
	require.ErrorContains(t, err, "(Host: other.example.no X: y)")
}
