package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// newOnce is a body that cannot be had again, as a grant's.
func newOnce(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }

// tokens asks for tokens as the root does: attempts that are retried, each with
// an id of its own, and company for one that meets silence.
type tokens struct {
	hc *http.Client

	mu   sync.Mutex
	last int
}

func (k *tokens) attempt(ctx context.Context) (string, error) {
	k.mu.Lock()
	k.last++
	id := fmt.Sprint("id-", k.last)
	k.mu.Unlock()
	return post(ctx, k.hc, id)
}

func (k *tokens) get(ctx context.Context) (token string, sent int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	mayRetry := as[*NetworkError]
	company := k.attempt
	Retry(ctx, slog.New(slog.DiscardHandler), func() (time.Duration, bool) {
		sent++
		beside := company
		if sent == MaxAttempts {
			beside = nil
		}
		var accompanied bool
		token, accompanied, err = Send(ctx, k.hc, func(err error) bool { return !mayRetry(err) }, k.attempt, beside)
		if accompanied {
			company = nil
			sent++
		}
		return 0, mayRetry(err) && sent < MaxAttempts
	})
	return token, sent, err
}

// received counts what reaches the server.
type received struct {
	mu   sync.Mutex
	seen map[string]int
	slow time.Duration
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	if r.seen == nil {
		r.seen = make(map[string]int)
	}
	r.seen[string(body)]++
	slow := r.slow
	r.mu.Unlock()
	pause(context.Background(), slow)
	w.Write(body)
}

func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func (r *received) answerIn(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = d
}

// A firewall that forgets connections, over TLS with either protocol, with the
// library's own transport and a user's: there is a token within 12 seconds.
func TestDeadConnections(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, own := range []bool{false, true} {
			for _, how := range []int32{silent, reset} {
				for _, idle := range []time.Duration{0, time.Second, 4 * time.Second, time.Minute} {
					for _, dead := range []int{1, 4} {
						name := fmt.Sprintf("http2=%v own=%v how=%d idle=%v dead=%d", http2, own, how, idle, dead)
						t.Run(name, func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) { testDeadConnections(t, http2, own, how, idle, dead) })
						})
					}
				}
			}
		}
	}
}

func testDeadConnections(t *testing.T, http2, own bool, how int32, idle time.Duration, dead int) {
	server := &received{slow: time.Second}
	l := newLine(t, http2, server.ServeHTTP)
	hc := NewClient(&http.Client{Transport: l.transport(own)})
	defer hc.CloseIdleConnections()
	k := &tokens{hc: hc}
	var warm sync.WaitGroup
	for range 4 {
		warm.Go(func() {
			_, sent, err := k.get(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, sent)
		})
	}
	warm.Wait()
	server.answerIn(0)
	if !http2 {
		require.Equal(t, int64(4), l.dials.Load(), "four are kept")
	}
	time.Sleep(idle)
	l.kill(how, dead)
	before, start := server.count(), time.Now()
	_, sent, err := k.get(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, time.Since(start), 12*time.Second)
	require.LessOrEqual(t, sent, 2)
	require.Equal(t, 1, server.count()-before, "what went out on dead connections was lost")
	for id, n := range server.seen {
		require.Equal(t, 1, n, "%s was sent more than once", id)
	}
	start = time.Now()
	_, sent, err = k.get(t.Context())
	require.NoError(t, err, "the others that were dead are gone too")
	require.Zero(t, time.Since(start))
	require.Equal(t, 1, sent)
}

// Answers of 15 seconds have been seen: they are waited for.
func TestSlowServer(t *testing.T) {
	for _, tt := range []struct {
		reason string
		http2  bool
		idle   time.Duration // of the kept connection; negative: there is none
		slow   time.Duration
		sent   int
	}{
		{"a new connection is not suspected", false, -1, 15 * time.Second, 1},
		{"an idle one is, and what it answers counts all the same", false, time.Minute, 15 * time.Second, 2},
		{"one that answered just now is given time", false, time.Second, 9 * time.Second, 1},
		{"not for ever", false, time.Second, 15 * time.Second, 2},
		{"an answer within five seconds", false, time.Minute, 4 * time.Second, 1},
		{"HTTP/2 answers pings", true, time.Minute, 15 * time.Second, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &received{}
				l := newLine(t, tt.http2, server.ServeHTTP)
				k := &tokens{hc: NewClient(&http.Client{Transport: l.transport(true)})}
				defer k.hc.CloseIdleConnections()
				if tt.idle >= 0 {
					_, _, err := k.get(t.Context())
					require.NoError(t, err)
					time.Sleep(tt.idle)
				}
				server.answerIn(tt.slow)
				before, start := server.count(), time.Now()
				token, sent, err := k.get(t.Context())
				require.NoError(t, err)
				require.Equal(t, tt.slow, time.Since(start))
				require.Equal(t, tt.sent, sent)
				require.Equal(t, tt.sent, server.count()-before)
				require.Equal(t, fmt.Sprint("id-", before+1), token, "the first one's answer came first")
				time.Sleep(time.Minute) // what was dropped ends
			})
		})
	}
}

// A server that never answers gets three requests, one of them as company.
func TestServerThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &received{}
		l := newLine(t, false, server.ServeHTTP)
		k := &tokens{hc: NewClient(&http.Client{Transport: l.transport(true)})}
		defer k.hc.CloseIdleConnections()
		_, _, err := k.get(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		server.answerIn(time.Hour)
		start := time.Now()
		_, sent, err := k.get(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, MaxAttempts, sent)
		require.Equal(t, 30*time.Second, time.Since(start))
		require.Equal(t, 1+MaxAttempts, server.count())
		time.Sleep(2 * time.Hour)
	})
}

// hc's round tripper may be one that hides its connections but for what it
// tells a trace, as those that measure do.
type wrapping struct{ http.RoundTripper }

func (w wrapping) CloseIdleConnections() {
	w.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

func TestDeadConnectionsBehindARoundTripper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &received{}
		l := newLine(t, false, server.ServeHTTP)
		k := &tokens{hc: NewClient(&http.Client{Transport: wrapping{l.transport(false)}})}
		defer k.hc.CloseIdleConnections()
		_, _, err := k.get(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		l.kill(silent, 1)
		start := time.Now()
		_, _, err = k.get(t.Context())
		require.NoError(t, err)
		require.Equal(t, maxSilence, time.Since(start))
	})
}

// Send's results, for an attempt that meets silence.
func TestCompany(t *testing.T) {
	final := errors.New("a verdict")
	passing := errors.New("an outage")
	for _, tt := range []struct {
		reason         string
		first, company error
		firstTakes     time.Duration
		want           error
		took           time.Duration
	}{
		{"the first answer counts, and the other is dropped", nil, nil, time.Hour, nil, 6 * time.Second},
		{"a verdict is one, too", nil, final, time.Hour, final, 6 * time.Second},
		{"an outage is none: the first is waited for", nil, passing, 15 * time.Second, nil, 15 * time.Second},
		{"two outages", context.DeadlineExceeded, passing, 20 * time.Second, context.DeadlineExceeded, 20 * time.Second},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				send := func(ctx context.Context) (string, error) {
					trace(ctx, true, time.Minute)
					pause(ctx, tt.firstTakes)
					if ctx.Err() != nil {
						return "", passing
					}
					return "first", tt.first
				}
				company := func(ctx context.Context) (string, error) {
					pause(ctx, time.Second)
					return "company", tt.company
				}
				start := time.Now()
				isFinal := func(err error) bool { return err == nil || err == final }
				_, accompanied, err := Send(t.Context(), http.DefaultClient, isFinal, send, company)
				require.Equal(t, tt.want, err)
				require.True(t, accompanied)
				require.Equal(t, tt.took, time.Since(start))
			})
		})
	}
}

// Code of others may panic or end its goroutine beside an attempt, as in one.
func TestCompanyThatPanics(t *testing.T) {
	for reason, company := range map[string]func(context.Context) (string, error){
		"panic":  func(context.Context) (string, error) { panic("a secret") },
		"Goexit": func(context.Context) (string, error) { runtime.Goexit(); return "", nil },
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				send := func(ctx context.Context) (string, error) {
					trace(ctx, true, time.Minute)
					<-ctx.Done()
					return "", ctx.Err()
				}
				_, _, err := Send(t.Context(), http.DefaultClient, func(error) bool { return true }, send, company)
				require.Error(t, err)
				require.NotContains(t, err.Error(), "a secret")
			})
		})
	}
}

// trace tells the hooks in ctx what a transport would.
func trace(ctx context.Context, reused bool, idle time.Duration) {
	httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{Reused: reused, WasIdle: reused, IdleTime: idle})
}

func TestCopyOfATransport(t *testing.T) {
	protocol := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }
	for _, tt := range []struct {
		reason string
		user   func(*line) *http.Transport
		proto  string
	}{
		{"HTTP/2 on demand", func(l *line) *http.Transport { return l.transport(false) }, "HTTP/2.0"},
		{"HTTP/2 not spoken with a dialer of one's own", func(l *line) *http.Transport {
			t := l.transport(false)
			t.ForceAttemptHTTP2 = false
			return t
		}, "HTTP/1.1"},
		{"HTTP/2 switched off", func(l *line) *http.Transport {
			t := l.transport(false)
			t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			return t
		}, "HTTP/1.1"},
		{"a transport that has been used", func(l *line) *http.Transport {
			t := l.transport(false)
			_, err := post(context.Background(), &http.Client{Transport: t}, "x")
			if err != nil {
				panic(err)
			}
			t.CloseIdleConnections()
			return t
		}, "HTTP/2.0"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, true, protocol)
				hc := NewClient(&http.Client{Transport: tt.user(l)})
				defer hc.CloseIdleConnections()
				got, err := post(t.Context(), hc, "x")
				require.NoError(t, err)
				require.Equal(t, tt.proto, got)
			})
		})
	}
	t.Run("the zero transport speaks HTTP/2", func(t *testing.T) {
		zero := new(http.Transport)
		c := NewClient(&http.Client{Transport: zero}).Transport.(*http.Transport)
		require.NotSame(t, zero, c)
		require.True(t, c.ForceAttemptHTTP2)
		require.Equal(t, idleTimeout, c.IdleConnTimeout)
		require.Equal(t, maxSilence, c.HTTP2.SendPingTimeout)
		require.Equal(t, pingTimeout, c.HTTP2.PingTimeout)
	})
	t.Run("what a user has set stays", func(t *testing.T) {
		own := &http.Transport{HTTP2: &http.HTTP2Config{SendPingTimeout: time.Second, PingTimeout: 2 * time.Second}, IdleConnTimeout: 3 * time.Second}
		c := NewClient(&http.Client{Transport: own}).Transport.(*http.Transport)
		require.Equal(t, *own.HTTP2, *c.HTTP2)
		require.Equal(t, own.IdleConnTimeout, c.IdleConnTimeout)
	})
	t.Run("one that another HTTP/2 has configured is used as it is", func(t *testing.T) {
		own := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{"h2": nil}}
		own.TLSNextProto["h2"] = func(string, *tls.Conn) http.RoundTripper { return nil }
		require.Same(t, own, NewClient(&http.Client{Transport: own}).Transport)
	})
	t.Run("no transport means the default one's settings", func(t *testing.T) {
		require.NotSame(t, http.DefaultTransport, NewClient(&http.Client{}).Transport)
	})
}

// A proxy that dies and comes back: while it is away calls fail at once, and
// afterwards they do not.
func TestProxyThatDies(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := &received{}
			l := newLine(t, http2, server.ServeHTTP)
			l.connect = true
			proxied := l.transport(true)
			proxied.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:8080"})
			k := &tokens{hc: NewClient(&http.Client{Transport: proxied})}
			defer k.hc.CloseIdleConnections()
			_, _, err := k.get(t.Context())
			require.NoError(t, err)
			l.kill(reset, 1)
			l.refuse(syscall.ECONNREFUSED)
			start := time.Now()
			_, _, err = k.get(t.Context())
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.ErrorContains(t, err, "the proxy was not reached")
			require.Less(t, time.Since(start), 2*time.Second)
			l.refuse(nil)
			_, sent, err := k.get(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, sent)
		})
	}
}

// An address that leads nowhere does not keep the others from being tried, and
// one that has changed is looked up anew.
func TestAddresses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	names := &names{addresses: []netip.Addr{netip.MustParseAddr("100::1"), netip.MustParseAddr("127.0.0.1")}} // the first is the discard prefix, RFC 6666
	transport := newTransport(&net.Dialer{Timeout: 10 * time.Second, Resolver: names.resolver()})
	transport.Proxy = nil
	hc := NewClient(&http.Client{Transport: transport})
	defer hc.CloseIdleConnections()
	get := func() error {
		_, err := Get(t.Context(), hc, "http://token.test:"+port)
		return err
	}
	require.NoError(t, get(), "IPv6 that leads nowhere")
	server.CloseClientConnections()
	names.set("100::1")
	hc.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Get(ctx, hc, "http://token.test:"+port)
	require.Error(t, err)
	names.set("127.0.0.1")
	require.NoError(t, get(), "the name has moved")
}
