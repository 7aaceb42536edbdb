package maskinporten

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// minting is a wire that issues t1, t2, … for two minutes.
func minting() *wire {
	return &wire{reply: func(n int, _ *sentGrant) (*http.Response, error) {
		return reply(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":120}`, n)), nil
	}}
}

// api is an API in the place of the network: it notes the tokens it saw.
type api struct {
	answer func(req *http.Request, token string) int
	mu     sync.Mutex
	tokens []string
	bodies []string
}

func (a *api) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	a.tokens = append(a.tokens, token)
	a.bodies = append(a.bodies, string(body))
	a.mu.Unlock()
	status := 200
	if a.answer != nil {
		status = a.answer(req, token)
	}
	resp := reply(status, "body")
	resp.Request = req
	return resp, nil
}

const apiURL = "https://api.example.no/x"

func transportOver(t *testing.T, w *wire, base http.RoundTripper) (*Client, *Transport) {
	t.Helper()
	c := w.client(t, nil)
	tr, err := c.Transport(Request{Scope: "s"}, base, "api.example.no")
	require.NoError(t, err)
	return c, tr
}

func TestTransportLeavesOwnAuthorizationAlone(t *testing.T) {
	for _, name := range []string{"Authorization", "authorization"} {
		a := &api{}
		w := minting()
		_, tr := transportOver(t, w, a)
		req, _ := http.NewRequest("GET", apiURL, nil)
		req.Header[name] = []string{"Basic abc"}
		_, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.Zero(t, w.sent())
		elsewhere, _ := http.NewRequest("GET", "https://other.example.no", nil)
		elsewhere.Header[name] = []string{"Basic abc"}
		_, err = tr.RoundTrip(elsewhere)
		require.ErrorContains(t, err, "no token is sent to", "another host is an error whatever it carries")
	}
}

func TestTransport401(t *testing.T) {
	refuse := func(tokens ...string) func(*http.Request, string) int {
		return func(_ *http.Request, token string) int {
			for _, refused := range tokens {
				if token == refused {
					return 401
				}
			}
			return 200
		}
	}
	get := func() *http.Request { r, _ := http.NewRequest("GET", apiURL, nil); return r }
	for _, tt := range []struct {
		reason string
		req    func() *http.Request
		warm   bool // a token is at hand before the call
		answer func(*http.Request, string) int
		down   bool // no new token is to be had
		tokens []string
		status int
	}{
		{"a token at hand is refused: one more, with a new one", get, true, refuse("t1"), false, []string{"t1", "t2"}, 200},
		{"a token just fetched is refused: another would fare no better", get, false, refuse("t1"), false, []string{"t1"}, 401},
		{"a body that can be had again", func() *http.Request {
			r, _ := http.NewRequest("POST", apiURL, strings.NewReader("x"))
			return r
		}, true, refuse("t1"), false, []string{"t1", "t2"}, 200},
		{"a body that cannot", func() *http.Request {
			r, _ := http.NewRequest("POST", apiURL, io.NopCloser(strings.NewReader("x")))
			return r
		}, true, refuse("t1"), false, []string{"t1"}, 401},
		{"http.NoBody", func() *http.Request {
			r, _ := http.NewRequest("DELETE", apiURL, http.NoBody)
			return r
		}, true, refuse("t1"), false, []string{"t1", "t2"}, 200},
		{"no new token is to be had: the caller gets the 401", get, true, refuse("t1"), true, []string{"t1"}, 401},
		{"the new one is refused too: repeated once only", get, true, refuse("t1", "t2", "t3"), false, []string{"t1", "t2"}, 401},
		{"403 is not about the token", get, true, func(*http.Request, string) int { return 403 }, false, []string{"t1"}, 403},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, a := minting(), &api{answer: tt.answer}
				c, tr := transportOver(t, w, a)
				if tt.warm {
					_, err := c.Token(t.Context(), Request{Scope: "s"})
					require.NoError(t, err)
				}
				if tt.down {
					w.reply = func(int, *sentGrant) (*http.Response, error) { return nil, errors.New("down") }
				}
				req := tt.req()
				before := req.Header.Clone()
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				require.Equal(t, tt.tokens, a.tokens)
				require.Same(t, req, resp.Request)
				require.Equal(t, before, req.Header)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "body", string(body), "the answer's body is whole, also of a 401 that is handed on")
				for _, sent := range a.bodies[1:] {
					require.Equal(t, a.bodies[0], sent)
				}
			})
		})
	}
}

func TestLate401DropsNoNewerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := minting()
		a := &api{answer: func(_ *http.Request, token string) int {
			if token == "t1" {
				time.Sleep(5 * time.Second)
				return 401
			}
			return 200
		}}
		c, tr := transportOver(t, w, a)
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				req, _ := http.NewRequest("GET", apiURL, nil)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
			})
		}
		wg.Wait()
		require.Equal(t, 2, w.sent(), "fifty late refusals of one token cost one new token")
	})
}

func TestAPIThatAlwaysRefusesCostsLittle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		answer func(n int) int
		most   int // tokens minted in a minute
	}{
		{"always 401", func(int) int { return 401 }, 8},
		{"401 and 200 by turns", func(n int) int { return []int{401, 200}[n%2] }, 30},
		{"401, and 500 between", func(n int) int { return []int{401, 500}[n%2] }, 8},
	} {
		for _, body := range []string{"GET", "POST"} {
			t.Run(tt.reason+" "+body, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := minting()
					n := 0
					a := &api{answer: func(*http.Request, string) int { n++; return tt.answer(n) }}
					_, tr := transportOver(t, w, a)
					start := time.Now()
					for time.Since(start) < time.Minute {
						req, _ := http.NewRequest("GET", apiURL, nil)
						if body == "POST" {
							req, _ = http.NewRequest("POST", apiURL, io.NopCloser(strings.NewReader("x")))
						}
						resp, err := tr.RoundTrip(req)
						require.NoError(t, err)
						resp.Body.Close()
						time.Sleep(3 * time.Millisecond)
					}
					require.LessOrEqual(t, w.sent(), tt.most)
					// And once it behaves, one refusal is mended at once again.
					a.answer = func(*http.Request, string) int { return 200 }
					time.Sleep(30 * time.Second)
					req, _ := http.NewRequest("GET", apiURL, nil)
					_, err := tr.RoundTrip(req)
					require.NoError(t, err)
					before := w.sent()
					last := a.tokens[len(a.tokens)-1]
					a.answer = func(_ *http.Request, token string) int {
						if token == last {
							return 401
						}
						return 200
					}
					resp, err := tr.RoundTrip(req)
					require.NoError(t, err)
					require.Equal(t, 200, resp.StatusCode)
					require.Equal(t, before+1, w.sent())
				})
			})
		}
	}
}

// An API that revokes tokens now and then, and takes the new ones, is not one
// that always refuses.
func TestRevocationsNowAndThenAreMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(n int, _ *sentGrant) (*http.Response, error) {
			return reply(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":36000}`, n)), nil
		}}
		revoked := ""
		a := &api{answer: func(_ *http.Request, token string) int {
			if token == revoked {
				return 401
			}
			return 200
		}}
		_, tr := transportOver(t, w, a)
		for i := range 50 {
			req, _ := http.NewRequest("GET", apiURL, nil)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			require.LessOrEqual(t, w.sent(), i+1)
			revoked = a.tokens[len(a.tokens)-1]
			time.Sleep(10 * time.Minute)
		}
	})
}

// Late refusals of an old token neither lengthen a pause nor hide what came since.
func TestLate401sDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := minting()
		a := &api{}
		a.answer = func(req *http.Request, token string) int {
			if req.URL.Path == "/slow" {
				time.Sleep(500 * time.Millisecond)
			}
			if token == "t1" || token == "t2" {
				return 401
			}
			return 200
		}
		c, tr := transportOver(t, w, a)
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		get := func(path string) int {
			req, _ := http.NewRequest("GET", "https://api.example.no"+path, nil)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			return resp.StatusCode
		}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { require.Equal(t, 401, get("/slow")) })
		}
		time.Sleep(time.Millisecond)
		require.Equal(t, 401, get("/")) // t1, then t2: a pause of a second begins
		wg.Wait()
		require.Equal(t, 2, w.sent())
		require.Len(t, a.tokens, 8, "no call is repeated with a token that is known to be refused")
		time.Sleep(600 * time.Millisecond)
		require.Equal(t, 200, get("/"), "the pause was not made longer")
		require.Equal(t, 3, w.sent())
	})
}

func TestTransportObeysContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
			time.Sleep(10 * time.Second)
			return reply(200, tokenJSON(120)), nil
		}}
		_, tr := transportOver(t, w, &api{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body := &closing{Reader: strings.NewReader("x")}
		req, _ := http.NewRequestWithContext(ctx, "POST", apiURL, body)
		start := time.Now()
		_, err := tr.RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.True(t, body.closed.Load())
		time.Sleep(10 * time.Second)
	})
}

func TestConnectionIsUsedAgainAfter401(t *testing.T) {
	var connections sync.Map
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.Store(r.RemoteAddr, true)
		if r.Header.Get("Authorization") == "Bearer t1" {
			w.WriteHeader(401)
			w.Write(bytes.Repeat([]byte("x"), 10_000))
		}
	}))
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			connections.Clear()
			server := httptest.NewUnstartedServer(server.Config.Handler)
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			c := minting().client(t, nil)
			tr, err := c.Transport(Request{Scope: "s"}, server.Client().Transport, strings.TrimPrefix(server.URL, "https://"))
			require.NoError(t, err)
			_, err = c.Token(t.Context(), Request{Scope: "s"})
			require.NoError(t, err)
			hc := &http.Client{Transport: tr}
			for range 3 {
				resp, err := hc.Get(server.URL)
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
				require.Equal(t, map[bool]int{false: 1, true: 2}[http2], resp.ProtoMajor)
				resp.Body.Close()
			}
			n := 0
			connections.Range(func(any, any) bool { n++; return true })
			require.Equal(t, 1, n)
			hc.CloseIdleConnections()
		})
	}
}

func TestRoundTripAllocates(t *testing.T) {
	answer := reply(200, "")
	_, tr := transportOver(t, minting(), roundTripper(func(req *http.Request) (*http.Response, error) { return answer, nil }))
	req, _ := http.NewRequest("GET", apiURL, nil)
	req.Header.Set("Accept", "application/json")
	_, err := tr.RoundTrip(req)
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := tr.RoundTrip(req); err != nil {
			panic(err)
		}
	}), 3.0)
}

func TestOAuth2ClientNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		w := &wire{reply: func(n int, _ *sentGrant) (*http.Response, error) {
			if slow.Load() {
				time.Sleep(300 * time.Millisecond)
			}
			return reply(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":120}`, n)), nil
		}}
		s, err := w.client(t, nil).TokenSource(Request{Scope: "s"})
		require.NoError(t, err)
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: &api{}})
		hc := oauth2.NewClient(ctx, s)
		for range 1000 {
			before := time.Now()
			resp, err := hc.Get(apiURL)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, before, time.Now())
			slow.Store(true)
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, w.sent(), 13)
		time.Sleep(time.Second)
	})
}
