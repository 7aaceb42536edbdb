package maskinporten

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

func TestGrantOnTheWire(t *testing.T) {
	w := &wire{reply: ok}
	c := w.client(t, nil)
	_, err := c.Token(t.Context(), Request{Scope: "b a"})
	require.NoError(t, err)
	g := w.grants[0]
	require.Equal(t, "RS256", g.header["alg"])
	require.NotContains(t, g.header, "kid")
	require.Len(t, g.header["x5c"], 3)
	require.Equal(t, "https://test.maskinporten.no/", g.claims["aud"], "one string, the issuer")
	require.Equal(t, "client-1", g.claims["iss"])
	require.Equal(t, "a b", g.claims["scope"])
	require.Equal(t, 120.0, g.claims["exp"].(float64)-g.claims["iat"].(float64))
	require.InDelta(t, float64(g.at.Unix()), g.claims["iat"], 1)
	require.Len(t, g.claims["jti"], 32, "128 bits")
	require.Len(t, g.claims, 6, "no claim that was not asked for")

	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(g.assertion, ".")[1])
	order := []int{}
	for _, name := range []string{`"aud"`, `"iss"`, `"scope"`, `"iat"`, `"exp"`, `"jti"`} {
		order = append(order, bytes.Index(raw, []byte(name)))
	}
	require.IsIncreasing(t, order, "claims in a fixed order")

	_, err = jwt.Parse(g.assertion, func(*jwt.Token) (any, error) { return testKey().Public(), nil })
	require.NoError(t, err)
}

func TestKeyIDInsteadOfChain(t *testing.T) {
	w := &wire{reply: ok}
	c := w.client(t, nil)
	c.exchange.source = testCredential().WithKeyID("key-1")
	_, err := c.Token(t.Context(), Request{Scope: "s"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "RS256", "kid": "key-1"}, w.grants[0].header)
}

func TestAttempts(t *testing.T) {
	oauth := `{"error":"invalid_scope","error_description":"x"}`
	network := errors.New("connection reset by peer")
	for _, tt := range []struct {
		reason  string
		replies func(n int) (*http.Response, error)
		sent    int
		ok      bool
		longest time.Duration
	}{
		{"a success needs no second", func(int) (*http.Response, error) { return reply(200, tokenJSON(120)), nil }, 1, true, 0},
		{"a refusal is final", func(int) (*http.Response, error) { return reply(400, oauth), nil }, 1, false, 0},
		{"503 passes", func(n int) (*http.Response, error) {
			if n < 3 {
				return reply(503, ""), nil
			}
			return reply(200, tokenJSON(120)), nil
		}, 3, true, 1500 * time.Millisecond},
		{"503 stays: three attempts", func(int) (*http.Response, error) { return reply(503, ""), nil }, 3, false, 1500 * time.Millisecond},
		{"500 with an OAuth code is still an outage", func(int) (*http.Response, error) { return reply(500, oauth), nil }, 3, false, 1500 * time.Millisecond},
		{"429", func(int) (*http.Response, error) { return reply(429, oauth), nil }, 3, false, 1500 * time.Millisecond},
		{"400 without an OAuth code: rejected without a clear error", func(int) (*http.Response, error) { return reply(400, "<html>Bad Request"), nil }, 3, false, 1500 * time.Millisecond},
		{"a network error", func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, network
			}
			return reply(200, tokenJSON(120)), nil
		}, 2, true, 500 * time.Millisecond},
		{"a redirect is not followed and not repeated", func(int) (*http.Response, error) {
			return reply(307, "", "Location", "https://elsewhere.example/token"), nil
		}, 1, false, 0},
		{"a gateway's page with 200", func(int) (*http.Response, error) { return reply(200, "<html>"), nil }, 3, false, 1500 * time.Millisecond},
		{"Retry-After in seconds is obeyed", func(n int) (*http.Response, error) {
			if n == 1 {
				return reply(503, "", "Retry-After", "7"), nil
			}
			return reply(200, tokenJSON(120)), nil
		}, 2, true, 7 * time.Second},
		{"Retry-After as a date is obeyed", func(n int) (*http.Response, error) {
			if n == 1 {
				return reply(503, "", "Retry-After", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat)), nil
			}
			return reply(200, tokenJSON(120)), nil
		}, 2, true, 9 * time.Second},
		{"Retry-After beyond the deadline fails at once", func(int) (*http.Response, error) { return reply(429, "", "Retry-After", "31"), nil }, 1, false, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{reply: func(n int, _ *sentGrant) (*http.Response, error) { return tt.replies(n) }}
				start := time.Now()
				_, err := w.client(t, nil).Token(t.Context(), Request{Scope: "s"})
				require.Equal(t, tt.ok, err == nil, "%v", err)
				require.Equal(t, tt.sent, w.sent())
				require.LessOrEqual(t, time.Since(start), tt.longest)
				seen := map[any]bool{}
				for _, g := range w.grants {
					require.False(t, seen[g.claims["jti"]] || seen[g.assertion], "every attempt is signed anew")
					seen[g.claims["jti"]], seen[g.assertion] = true, true
				}
			})
		})
	}
}

func TestBlackHoleEndsByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hc := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})}
		c, err := New(Config{Environment: Test, ClientID: "c", Credential: testCredential(), HTTPClient: hc})
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, tokencache.Timeout, time.Since(start))
	})
}

func TestHTTPClientThatIgnoresItsContext(t *testing.T) {
	for _, tt := range []struct {
		reason string
		answer func() (*http.Response, error)
	}{
		{"it does not come back", func() (*http.Response, error) { time.Sleep(time.Hour); return nil, errors.New("late") }},
		{"its body does not", func() (*http.Response, error) {
			r := reply(200, "")
			r.Body = &drip{ctx: context.Background()}
			return r, nil
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := true
				w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
					if n == 1 && hang {
						return tt.answer()
					}
					return ok(n, g)
				}}
				c := w.client(t, nil)
				start := time.Now()
				_, err := c.Token(t.Context(), Request{Scope: "s"})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, tokencache.Timeout+100*time.Millisecond, time.Since(start))
				time.Sleep(time.Second)
				_, err = c.Token(t.Context(), Request{Scope: "other"})
				require.NoError(t, err, "another key is not blocked")
				time.Sleep(2 * time.Hour) // what was left behind ends, too
				_, err = c.Token(t.Context(), Request{Scope: "s"})
				require.NoError(t, err, "and then the key itself is not")
			})
		})
	}
}

// A source that loads its credential anew on every call is as patient as one
// that does not.
func TestRefusalsBackOffWithCredentialsLoadedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(int, *sentGrant) (*http.Response, error) { return reply(400, `{"error":"invalid_scope"}`), nil }}
		c := w.client(t, nil)
		c.exchange.source = sourceFunc(func() *Credential { return testCredential().WithKeyID("k") })
		c.cache.static = false
		for range 600 {
			_, err := c.Token(t.Context(), Request{Scope: "s"})
			require.Error(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 6, w.sent(), "at 0, 1, 3, 7, 15 and 31 seconds")
	})
}

// An attempt that meets silence on a kept connection gets company by another
// grant. The first token wins.
func TestGrantOnADeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := func(ctx context.Context) (*http.Response, error) {
			httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true, IdleTime: time.Minute})
			<-ctx.Done()
			return nil, ctx.Err()
		}
		w := &wire{reply: ok}
		client := w.client(t, nil)
		requests := 0
		client.exchange.http.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if requests++; requests == 1 {
				w.RoundTrip(req.Clone(context.Background())) // for its count
				return dead(req.Context())
			}
			return w.RoundTrip(req)
		})
		start := time.Now()
		_, err := client.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Equal(t, 2, w.sent())
		require.NotEqual(t, w.grants[0].claims["jti"], w.grants[1].claims["jti"], "no grant is sent twice")
		require.Equal(t, int64(1), client.Stats().Fetches)
	})
}

// The company counts among the three attempts, and comes once in a flight.
func TestCompanyIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		client := w.client(t, nil)
		client.exchange.http.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			w.RoundTrip(req.Clone(context.Background()))
			if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
				trace.GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true, IdleTime: time.Minute})
			}
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		_, err := client.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, ErrUnavailable)
		require.Equal(t, endpoint.MaxAttempts, w.sent())
	})
}

// The first attempt hangs; the second has its own time.
func TestTimeLimitOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		client := w.client(t, nil)
		requests := 0
		client.exchange.http.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if requests++; requests == 1 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return w.RoundTrip(req)
		})
		start := time.Now()
		_, err := client.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.InDelta(t, 20, time.Since(start).Seconds(), 0.6)
	})
}

func TestNewCredentialForgetsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
			if refuse && g.header["kid"] == "old" {
				return reply(400, `{"error":"invalid_grant","error_uri":"https://test.maskinporten.no/errors/MP-121"}`), nil
			}
			return reply(200, tokenJSON(120)), nil
		}}
		source := &switchingSource{}
		source.use(testCredential().WithKeyID("old"))
		c, err := New(Config{Environment: Test, ClientID: "c", Credential: source, HTTPClient: &http.Client{Transport: w}})
		require.NoError(t, err)
		for range 10 {
			_, err = c.Token(t.Context(), Request{Scope: "s"})
			require.ErrorIs(t, err, ErrKeyExpired)
			source.use(testCredential().WithKeyID("old")) // another value, the same key
		}
		require.Equal(t, 1, w.sent())
		source.use(testCredential().WithKeyID("new"))
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.Equal(t, 2, w.sent())
	})
}

type switchingSource struct {
	mu   sync.Mutex
	cred *Credential
}

func (s *switchingSource) use(c *Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred = c
}

func (s *switchingSource) Credential(context.Context) (*Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred, nil
}
