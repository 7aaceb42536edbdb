package maskinporten_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

// rejecting is an API that rejects tokens as its function says, and the client
// and Transport that call it. The Fake's tokens live for ten hours.
type rejecting struct {
	fake      *maskinportentest.Fake
	client    *maskinporten.Client
	transport *maskinporten.Transport

	mu     sync.Mutex
	tokens []string // as they were seen
}

func newRejecting(t *testing.T, api func(r *rejecting, token string) *http.Response) *rejecting {
	t.Helper()
	r := &rejecting{fake: maskinportentest.New()}
	r.fake.SetTokenLifetime(10 * time.Hour)
	r.client = newClient(t, r.fake)
	var err error
	r.transport, err = r.client.Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
		if req.Body != nil {
			defer req.Body.Close()
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return nil, err
			}
		}
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		r.mu.Lock()
		r.tokens = append(r.tokens, token)
		r.mu.Unlock()
		return api(r, token), nil
	}), "api.example.no")
	require.NoError(t, err)
	return r
}

// warm has a token fetched, so that no call fetches the first one itself.
func (r *rejecting) warm(t *testing.T) string {
	t.Helper()
	token, err := r.client.Token(t.Context(), maskinporten.Request{Scope: "a:b"})
	require.NoError(t, err)
	return token.AccessToken()
}

func (r *rejecting) call(t *testing.T, ctx context.Context) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", "https://api.example.no/x", nil)
	require.NoError(t, err)
	resp, err := r.transport.RoundTrip(req)
	require.NoError(t, err)
	return resp
}

func TestForbiddenWithInvalidTokenIsAsUnauthorized(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		status   int
		headers  []string
		rejected bool
	}{
		{"401 without a word", 401, nil, true},
		{"401 with another error", 401, []string{`Bearer error="insufficient_scope"`}, true},
		{"403 without a word", 403, nil, false},
		{"403 about scope", 403, []string{`Bearer error="insufficient_scope", scope="a:b"`}, false},
		{"403 about the token", 403, []string{`Bearer error="invalid_token"`}, true},
		{"other letters, spaces and order", 403, []string{"bearer realm=\"x\" ,\tERROR = invalid_token"}, true},
		{"a second challenge in one header", 403, []string{`Basic realm="a, b", Bearer realm="c", error="invalid_token"`}, true},
		{"a second header", 403, []string{`Basic realm="x"`, `Bearer error="invalid_token"`}, true},
		{"behind a token68", 403, []string{`Negotiate YII/x+==, Bearer error="invalid_token"`}, true},
		{"behind a token68 without padding", 403, []string{`NTLM TlRMTVNTUAAB, Bearer error="invalid_token"`}, true},
		{"an escaped letter", 403, []string{`Bearer error="invalid\_token"`}, true},
		{"a scope without quotation marks", 403, []string{`Bearer scope=skatteetaten:inntekt, error="invalid_token"`}, true},
		{"a URL without quotation marks", 403, []string{`Bearer realm=https://x/y?z=1 error=invalid_token`}, true},
		{"an error in what has no quotation marks", 403, []string{`Bearer scope=a:error="invalid_token"`}, false},
		{"tabs for spaces", 403, []string{"Basic\trealm\t=\tx\terror=y,\tBearer\trealm=x\terror\t=\tinvalid_token"}, true},
		{"a value that is missing", 403, []string{`Bearer realm= , error="invalid_token"`}, true},
		{"a backslash where the header ends", 403, []string{`Bearer error="invalid_token\`}, false},
		{"another scheme's error", 403, []string{`DPoP error="invalid_token"`}, false},
		{"a scheme after it", 403, []string{`Bearer realm="x", DPoP error="invalid_token"`}, false},
		{"words in a description", 403, []string{`Bearer error="insufficient_scope", error_description="not Bearer error=\"invalid_token\""`}, false},
		{"a longer code", 403, []string{`Bearer error="invalid_token_x"`}, false},
		{"a parameter that ends alike", 403, []string{`Bearer x_error="invalid_token"`}, false},
		{"a quotation mark that is missing", 403, []string{`Bearer realm="x, error="invalid_token"`}, false},
		{"not a challenge", 403, []string{`[Bearer error="invalid_token"`}, false},
		{"no value", 403, []string{`Bearer error`}, false},
		{"other statuses", 400, []string{`Bearer error="invalid_token"`}, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			first := ""
			r := newRejecting(t, func(_ *rejecting, token string) *http.Response {
				if token != first {
					return answer(200, "")
				}
				resp := answer(tt.status, "whole")
				resp.Header["Www-Authenticate"] = tt.headers
				return resp
			})
			first = r.warm(t)
			resp := r.call(t, t.Context())
			if tt.rejected {
				require.Equal(t, 200, resp.StatusCode)
				require.Len(t, r.tokens, 2)
				return
			}
			require.Equal(t, tt.status, resp.StatusCode)
			require.Equal(t, []string{first}, r.tokens)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "whole", string(body))
			require.Equal(t, 1, r.fake.TokenRequests())
		})
	}
}

func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{`Bearer error="invalid_token"`, `Basic realm="a\", b", Bearer error=invalid_token`, `Negotiate YII==, Bearer a=`, `Bearer "`, `,,=\`} {
		f.Add(seed)
	}
	var challenge, first string
	fake := maskinportentest.New()
	client, err := maskinporten.New(fake.Config())
	require.NoError(f, err)
	tr, err := client.Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
		resp := answer(403, "")
		resp.Header["Www-Authenticate"] = []string{challenge}
		return resp, nil
	}), "api.example.no")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, s string) {
		challenge = s
		req, _ := http.NewRequest("GET", "https://api.example.no/", nil)
		_, err := tr.RoundTrip(req)
		require.NoError(t, err)
		if !strings.Contains(strings.ReplaceAll(s, `\`, ""), "invalid_token") {
			token, err := client.Token(t.Context(), maskinporten.Request{Scope: "a:b"})
			require.NoError(t, err)
			if first == "" {
				first = token.AccessToken()
			}
		}
	})
}

// body is one whose reads and closes are counted.
type body struct {
	read   func(ctx context.Context, p []byte) (int, error)
	ctx    context.Context
	cancel context.CancelFunc
	closed atomic.Int32
	reads  atomic.Int64
}

func newBody(read func(ctx context.Context, p []byte) (int, error)) *body {
	b := &body{read: read}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.read(b.ctx, p)
	b.reads.Add(int64(n))
	return n, err
}

func (b *body) Close() error {
	b.closed.Add(1)
	b.cancel()
	return nil
}

// after waits in a bubble's time, and ends with ctx.
func after(ctx context.Context, d time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-wait.Done()
	return ctx.Err()
}

// An API may take its time over the body of a 401, or never end it.
func TestBodyOfARejectedAnswerIsBounded(t *testing.T) {
	for _, tt := range []struct {
		reason string
		read   func(ctx context.Context, p []byte) (int, error)
		within time.Duration
	}{
		{"short", func(_ context.Context, p []byte) (int, error) { return copy(p, "short"), io.EOF }, 0},
		{"without end", func(_ context.Context, p []byte) (int, error) { return len(p), nil }, 0},
		{"a byte a second", func(ctx context.Context, p []byte) (int, error) {
			if err := after(ctx, time.Second); err != nil {
				return 0, err
			}
			return 1, nil
		}, time.Second},
		{"a byte a millisecond", func(ctx context.Context, p []byte) (int, error) {
			if err := after(ctx, time.Millisecond); err != nil {
				return 0, err
			}
			return 1, nil
		}, time.Second},
		{"never", func(ctx context.Context, p []byte) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, time.Second},
		{"that fails", func(context.Context, []byte) (int, error) { return 0, errors.New("broken") }, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := ""
				b := newBody(tt.read)
				r := newRejecting(t, func(_ *rejecting, token string) *http.Response {
					if token != first {
						return answer(200, "")
					}
					resp := answer(401, "")
					resp.Body = b
					return resp
				})
				first = r.warm(t)
				began := time.Now()
				resp := r.call(t, t.Context())
				require.Equal(t, 200, resp.StatusCode)
				require.LessOrEqual(t, time.Since(began), tt.within)
				require.EqualValues(t, 1, b.closed.Load(), "closed, once")
				require.LessOrEqual(t, b.reads.Load(), int64(128<<10))
			})
		})
	}
}

// A caller who gets the 401 itself gets its body as it came.
func TestBodyOfA401ThatIsHandedOnIsUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBody(func(ctx context.Context, p []byte) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		r := newRejecting(t, func(*rejecting, string) *http.Response {
			resp := answer(401, "")
			resp.Body = b
			return resp
		})
		r.warm(t)
		r.fake.Fail(maskinportentest.Fault{MPCode: "MP-100"})
		resp := r.call(t, t.Context())
		require.Equal(t, 401, resp.StatusCode)
		require.Zero(t, b.closed.Load())
		resp.Body.Close()
		require.EqualValues(t, 1, b.closed.Load())
	})
}

// The repeat's body is a new one, and both are closed.
func TestRepeatClosesItsBodies(t *testing.T) {
	first := ""
	r := newRejecting(t, func(_ *rejecting, token string) *http.Response {
		if token == first {
			return answer(401, "")
		}
		return answer(200, "")
	})
	first = r.warm(t)
	var bodies []*body
	fresh := func() io.ReadCloser {
		text := strings.NewReader("x")
		b := newBody(func(_ context.Context, p []byte) (int, error) { return text.Read(p) })
		bodies = append(bodies, b)
		return b
	}
	req, err := http.NewRequest("POST", "https://api.example.no/x", fresh())
	require.NoError(t, err)
	req.GetBody = func() (io.ReadCloser, error) { return fresh(), nil }
	resp, err := r.transport.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Len(t, bodies, 2)
	for _, b := range bodies {
		require.EqualValues(t, 1, b.closed.Load())
		require.EqualValues(t, 1, b.reads.Load())
	}

	// Without a token, the body is not even asked for; one that cannot be had
	// again leaves the caller the API's answer.
	first = r.tokens[len(r.tokens)-1]
	req.Body = fresh()
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	resp, err = r.transport.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 401, resp.StatusCode)
	require.EqualValues(t, 1, bodies[2].closed.Load())
}

// A context that ends while the new token is fetched gives the caller the
// API's answer; the time it had is kept to.
func TestDeadlineHoldsWhileATokenIsSlow(t *testing.T) {
	for _, tt := range []struct {
		reason string
		before time.Duration // a token was fetched so long ago; zero means none
		want   error
	}{
		{"cold: the wait ends with the caller's deadline", 0, context.DeadlineExceeded},
		{"stale: the token at hand is sent at once", 100 * time.Second, nil},
		{"nearly over: a new one is waited for, as long as the caller may", 112 * time.Second, context.DeadlineExceeded},
		{"over", 130 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := maskinportentest.New()
				fake.SetTokenLifetime(120 * time.Second)
				client := newClient(t, fake)
				tr, err := client.Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
					return answer(200, ""), req.Context().Err()
				}), "api.example.no")
				require.NoError(t, err)
				if tt.before > 0 {
					_, err := client.Token(t.Context(), maskinporten.Request{Scope: "a:b"})
					require.NoError(t, err)
					time.Sleep(tt.before)
				}
				fake.Fail(maskinportentest.Fault{Delay: 15 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				began := time.Now()
				req, err := http.NewRequestWithContext(ctx, "GET", "https://api.example.no/", nil)
				require.NoError(t, err)
				_, err = tr.RoundTrip(req)
				require.LessOrEqual(t, time.Since(began), 2*time.Second)
				if tt.want == nil {
					require.NoError(t, err)
					require.Zero(t, time.Since(began))
				} else {
					require.ErrorIs(t, err, tt.want)
				}
				time.Sleep(time.Minute) // the fetch goes on
			})
		})
	}
}

// The replacements that APIs cause stay within five and one for each 30
// seconds, whatever they answer, and a revocation is mended at once as long as
// there is one left.
func TestReplacementsStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			rejects := func(string) bool { return true }
			r := newRejecting(t, func(_ *rejecting, token string) *http.Response {
				switch {
				case rejects(token):
					return answer(401, "")
				case random.IntN(4) == 0:
					return answer([]int{403, 404, 429, 500}[random.IntN(4)], "")
				}
				return answer(200, "")
			})
			r.warm(t)
			share := random.Float64()
			var lately string
			patterns := []func(string) bool{
				func(string) bool { return true },
				func(string) bool { return random.Float64() < share },
				func(token string) bool { return token == lately },
				func(string) bool { return false },
			}
			began := time.Now()
			for range 400 {
				if random.IntN(20) == 0 {
					rejects = patterns[random.IntN(len(patterns))]
				}
				if random.IntN(10) == 0 && len(r.tokens) > 0 {
					lately = r.tokens[len(r.tokens)-1]
				}
				for range 1 + random.IntN(3) {
					r.call(t, t.Context()).Body.Close()
				}
				time.Sleep(time.Duration(random.ExpFloat64() * float64(2*time.Second)))
				replaced := r.fake.TokenRequests() - 1
				require.LessOrEqual(t, replaced, 5+int(time.Since(began)/(30*time.Second)), "seed %d", seed)
			}
			// Left alone, all five are back.
			rejects = func(string) bool { return false }
			time.Sleep(150 * time.Second)
			r.call(t, t.Context())
			for range 5 {
				revoked := r.tokens[len(r.tokens)-1]
				rejects = func(token string) bool { return token == revoked }
				require.NotEqual(t, 401, r.call(t, t.Context()).StatusCode, "seed %d", seed)
			}
		})
	}
}

// What was found: one path that always says 401 beside one that is fine.
func TestOnePathThatAlwaysRejectsCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := newRejecting(t, func(*rejecting, string) *http.Response {
			if n++; n%2 == 0 {
				return answer(401, "")
			}
			return answer(200, "")
		})
		r.warm(t)
		for range 600 {
			r.call(t, t.Context()).Body.Close()
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, r.fake.TokenRequests()-1, 25)
	})
}

// What was found: ten revocations in a row, with only 404 and 403 between, made
// callers see the 401s. A minute apart, each is mended at once.
func TestRevocationsWithoutASuccessBetweenAreMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := ""
		r := newRejecting(t, func(r *rejecting, token string) *http.Response {
			if token == revoked {
				return answer(401, "")
			}
			return answer([]int{403, 404}[len(r.tokens)%2], "")
		})
		r.warm(t)
		r.call(t, t.Context())
		for range 20 {
			revoked = r.tokens[len(r.tokens)-1]
			for range 100 {
				require.NotEqual(t, 401, r.call(t, t.Context()).StatusCode)
			}
			time.Sleep(time.Minute)
		}
	})
}
