package maskinporten

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTransportHosts(t *testing.T) {
	for _, tt := range []struct {
		reason string
		named  string
		url    string
		host   string // the Host header, if another
		token  bool
	}{
		{"the host named", "api.example.no", "https://api.example.no/", "", true},
		{"in other letters", "API.example.no", "https://api.EXAMPLE.no/", "", true},
		{"with its standard port", "api.example.no", "https://api.example.no:443/", "", true},
		{"named with the standard port", "api.example.no:443", "https://api.example.no/", "", true},
		{"another port", "api.example.no", "https://api.example.no:8443/", "", false},
		{"a port that was named", "api.example.no:8443", "https://api.example.no:8443/", "", true},
		{"a subdomain is another host", "example.no", "https://api.example.no/", "", false},
		{"a parent is another host", "api.example.no", "https://example.no/", "", false},
		{"a suffix", "api.example.no", "https://evil-api.example.no/", "", false},
		{"a longer name", "api.example.no", "https://api.example.no.evil.com/", "", false},
		{"a user name that looks like the host", "api.example.no", "https://api.example.no@evil.com/", "", false},
		{"without TLS", "api.example.no", "http://api.example.no/", "", false},
		{"without TLS on a loopback address", "127.0.0.1:8080", "http://127.0.0.1:8080/", "", true},
		{"without TLS on loopback, the port of http", "localhost", "http://localhost/", "", true},
		{"https's port is not http's", "localhost:443", "http://localhost/", "", false},
		{"IPv6 loopback", "[::1]:8080", "http://[::1]:8080/", "", true},
		{"IPv6 without a port", "::1", "https://[::1]/", "", true},
		{"a letter that folds to k is not k", "api.kommune.no", "https://api.\u212aommune.no/", "", false},
		{"a Host header for another site on the same gateway", "api.example.no", "https://api.example.no/", "other.example.no", false},
		{"a Host header that was named", "api.example.no", "https://api.example.no/", "API.example.no", true},
		{"another scheme", "api.example.no", "ftp://api.example.no/", "", false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			a := &api{}
			w := minting()
			tr, err := w.client(t, nil).Transport(Request{Scope: "s"}, a, tt.named)
			require.NoError(t, err)
			req, err := http.NewRequest("POST", tt.url, strings.NewReader("body"))
			require.NoError(t, err)
			body := &closing{Reader: strings.NewReader("body")}
			req.Body = body
			if tt.host != "" {
				req.Host = tt.host
			}
			resp, err := tr.RoundTrip(req)
			require.True(t, body.closed.Load(), "the body is always closed")
			if !tt.token {
				require.ErrorContains(t, err, "no token is sent to")
				require.Empty(t, a.tokens)
				require.Zero(t, w.sent(), "nothing was asked for")
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{"t1"}, a.tokens)
			require.Same(t, req, resp.Request, "no log of the answer shows the token")
			require.Empty(t, req.Header, "the request is not changed")
		})
	}
}

type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

// A Transport prints as the hosts that it is for, by every verb.
func TestTransportPrintsItsHosts(t *testing.T) {
	tr, err := minting().client(t, nil).Transport(Request{Scope: "s", PID: "25922947409"}, nil, "api.example.no", "[::1]:8080", "other.example.no:443")
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		require.Equal(t, "Transport{api.example.no, [::1]:8080, other.example.no:443}", fmt.Sprintf(verb, tr), verb)
	}
}

func TestTransportRefusesBadHosts(t *testing.T) {
	c := minting().client(t, nil)
	_, err := c.Transport(Request{Scope: "s"}, nil)
	var field *FieldError
	require.ErrorAs(t, err, &field)
	for _, host := range []string{"", " ", "https://api.example.no", "api.example.no/v1", "*.example.no", "user@api.example.no", "api.example.no:", "api.example.no:x", "årsregnskap.no", "a b", "api.example.no?x", "%61pi.example.no",
		".example.no", "api.example.no:0", "api.example.no:65536", "api.example.no:99999999999999999999", "user:hemmelig@api.example.no"} {
		_, err := c.Transport(Request{Scope: "s"}, nil, host)
		require.ErrorAs(t, err, &field, "%q", host)
		require.NotContains(t, err.Error(), "hemmelig")
	}
}

// Real servers: what net/http does on redirects, with connections and HTTP/2.
func TestRedirects(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]string{}
	note := func(name string, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[name] = append(seen[name], r.URL.Path+" "+r.Header.Get("Authorization"))
	}
	var named, other *httptest.Server
	named = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("named", r)
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/back", http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/end", http.StatusFound)
		}
	}))
	defer named.Close()
	other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("other", r)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, named.URL+"/end", http.StatusTemporaryRedirect)
		}
	}))
	defer other.Close()

	c := minting().client(t, nil)
	tr, err := c.Transport(Request{Scope: "s"}, nil, strings.TrimPrefix(named.URL, "http://"))
	require.NoError(t, err)
	hc := &http.Client{Transport: tr}
	for _, tt := range []struct {
		reason string
		path   string
		named  []string
		other  []string
	}{
		{"within the host the token goes along", "/here", []string{"/here Bearer t1", "/end Bearer t1"}, nil},
		{"another port is another origin, and the way back from it is its choice", "/away", []string{"/away Bearer t1", "/end "}, []string{"/back "}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			clear(seen)
			resp, err := hc.Post(named.URL+tt.path, "text/plain", strings.NewReader("x"))
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, tt.named, seen["named"])
			require.Equal(t, tt.other, seen["other"])
		})
	}
}
