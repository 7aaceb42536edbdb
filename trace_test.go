package maskinporten_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

type traceKey string

// recorder writes down what a Trace is told, and marks its contexts.
type recorder struct {
	mu    sync.Mutex
	lines []string
	ids   []uint64
}

func (r *recorder) add(f maskinporten.Fetch, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.ids, f.ID) {
		r.ids = append(r.ids, f.ID)
	}
	line := fmt.Sprintf("%d ", slices.Index(r.ids, f.ID)) + fmt.Sprintf(format, args...)
	if f.Background {
		line += " background"
	}
	r.lines = append(r.lines, line)
}

func (r *recorder) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

func (r *recorder) trace() *maskinporten.Trace {
	code := func(err error) any {
		if err == nil {
			return "ok"
		}
		return "failed"
	}
	return &maskinporten.Trace{
		FetchStart: func(ctx context.Context, f maskinporten.Fetch) context.Context {
			r.add(f, "fetch %s by %v", f.Request.Scope, ctx.Value(traceKey("caller")))
			return context.WithValue(ctx, traceKey("fetch"), "f")
		},
		FetchDone: func(ctx context.Context, f maskinporten.Fetch, result maskinporten.FetchResult) {
			r.add(f, "fetched %v attempts=%d store=%v in %v", code(result.Err), result.Attempts, result.FromStore, ctx.Value(traceKey("fetch")))
		},
		AttemptStart: func(ctx context.Context, f maskinporten.Fetch, attempt int) context.Context {
			r.add(f, "attempt %d in %v", attempt, ctx.Value(traceKey("fetch")))
			return context.WithValue(ctx, traceKey("attempt"), attempt)
		},
		AttemptDone: func(ctx context.Context, f maskinporten.Fetch, attempt int, err error) {
			r.add(f, "attempted %d %v in %v", attempt, code(err), ctx.Value(traceKey("attempt")))
		},
		Waited: func(ctx context.Context, f maskinporten.Fetch, d time.Duration, err error) {
			r.add(f, "waited %v %v by %v", d, code(err), ctx.Value(traceKey("caller")))
		},
	}
}

func caller(t *testing.T, name string) context.Context {
	return context.WithValue(t.Context(), traceKey("caller"), name)
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, r := maskinportentest.New(), &recorder{}
		config := fake.Config()
		config.Trace, config.Store = r.trace(), newMemoryStore()
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		source, err := client.TokenSource(maskinporten.Request{Scope: "a:one"})
		require.NoError(t, err)
		ask := func(name string) {
			_, err := source.TokenContext(caller(t, name))
			require.NoError(t, err)
		}

		fake.Fail(maskinportentest.Fault{Delay: 300 * time.Millisecond})
		go ask("first")
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		ask("second")
		lines := r.take()
		slices.Sort(lines[4:]) // the waiters return in any order
		require.Equal(t, []string{
			"0 fetch a:one by first",
			"0 attempt 1 in f",
			"0 attempted 1 ok in 1",
			"0 fetched ok attempts=1 store=false in f",
			"0 waited 200ms ok by second",
			"0 waited 300ms ok by first",
		}, lines)

		ask("third")
		_, err = client.Token(caller(t, "third"), maskinporten.Request{Scope: "a:one"})
		require.NoError(t, err)
		require.Empty(t, r.take(), "nothing on a hit")

		time.Sleep(95 * time.Second)
		ask("fourth")
		time.Sleep(time.Second)
		require.Equal(t, []string{
			"1 fetch a:one by <nil> background",
			"1 attempt 1 in f background",
			"1 attempted 1 ok in 1 background",
			"1 fetched ok attempts=1 store=false in f background",
		}, r.take())

		fake.Heal()
		fake.FailNext(1, maskinportentest.Fault{Status: 503, RetryAfter: time.Second})
		fake.FailNext(1, maskinportentest.Fault{MPCode: "MP-251"})
		_, err = client.Token(caller(t, "fifth"), maskinporten.Request{Scope: "b:two"})
		require.ErrorIs(t, err, maskinporten.ErrNotDelegated)
		require.Equal(t, []string{
			"2 fetch b:two by fifth",
			"2 attempt 1 in f",
			"2 attempted 1 failed in 1",
			"2 attempt 2 in f",
			"2 attempted 2 failed in 2",
			"2 fetched failed attempts=2 store=false in f",
			"2 waited 1s failed by fifth",
		}, r.take())

		cold, err := maskinporten.New(config)
		require.NoError(t, err)
		_, err = cold.Token(caller(t, "sixth"), maskinporten.Request{Scope: "a:one"})
		require.NoError(t, err)
		require.Equal(t, []string{
			"3 fetch a:one by sixth",
			"3 fetched ok attempts=0 store=true in f",
			"3 waited 0s ok by sixth",
		}, r.take())
	})
}

// A fetch knows who started it, and is not theirs: it goes on when they have
// left, and does not call their httptrace hooks. Those that the trace itself
// puts there stay.
func TestFetchCarriesTheCallersValues(t *testing.T) {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	config := fake.Config()
	var seen, hooks []string
	config.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, fmt.Sprint(r.Context().Value(traceKey("caller")), " ", r.Context().Value(traceKey("attempt"))))
		return http.DefaultTransport.RoundTrip(r)
	})}
	hook := func(name string) *httptrace.ClientTrace {
		return &httptrace.ClientTrace{GetConn: func(string) { hooks = append(hooks, name) }}
	}
	config.Trace = &maskinporten.Trace{
		AttemptStart: func(ctx context.Context, f maskinporten.Fetch, attempt int) context.Context {
			return httptrace.WithClientTrace(context.WithValue(ctx, traceKey("attempt"), attempt), hook("the trace's"))
		},
	}
	client, err := maskinporten.New(config)
	require.NoError(t, err)
	ctx := httptrace.WithClientTrace(caller(t, "me"), hook("the caller's"))
	_, err = client.Token(ctx, maskinporten.Request{Scope: "a:one"})
	require.NoError(t, err)
	require.Equal(t, []string{"me 1"}, seen)
	require.Equal(t, []string{"the trace's"}, hooks)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Each function of a Trace may be missing, and so may the context that two of
// them return.
func TestTraceOfNothing(t *testing.T) {
	for _, trace := range []*maskinporten.Trace{nil, {}, {
		FetchStart:   func(context.Context, maskinporten.Fetch) context.Context { return nil },
		AttemptStart: func(context.Context, maskinporten.Fetch, int) context.Context { return nil },
	}} {
		config := maskinportentest.New().Config()
		config.Trace = trace
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		_, err = client.Token(t.Context(), maskinporten.Request{Scope: "a:one"})
		require.NoError(t, err)
	}
}

// A fetch that foreign code takes down is over for the trace as well.
func TestTraceOfALostFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		config := maskinportentest.New().Config()
		config.Trace = r.trace()
		config.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("no") })}
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		_, err = client.Token(t.Context(), maskinporten.Request{Scope: "a:one"})
		require.Error(t, err)
		require.Equal(t, []string{
			"0 fetch a:one by <nil>",
			"0 attempt 1 in f",
			"0 attempted 1 failed in 1",
			"0 fetched failed attempts=1 store=false in f",
			"0 waited 0s failed by <nil>",
		}, r.take())
	})
}

// A fetch that is given up is over for the trace when it is for those who wait,
// and not when what hangs comes back. A grant that is signed by then is not sent.
func TestTraceOfAFetchThatHangs(t *testing.T) {
	t.Run("the signer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fake, r := maskinportentest.New(), &recorder{}
			config := fake.Config()
			config.Trace, config.Credential = r.trace(), slowCredential(t, time.Minute)
			client, err := maskinporten.New(config)
			require.NoError(t, err)
			_, err = client.Token(caller(t, "me"), maskinporten.Request{Scope: "a:one"})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, []string{
				"0 fetch a:one by me",
				"0 fetched failed attempts=0 store=false in f",
				"0 waited 30.1s failed by me",
			}, r.take())
			time.Sleep(time.Minute)
			require.Empty(t, r.take())
			require.Zero(t, fake.TokenRequests())
		})
	})
	t.Run("the HTTP client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			config, r := maskinportentest.New().Config(), &recorder{}
			config.Trace = r.trace()
			config.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				time.Sleep(time.Minute)
				return nil, errors.New("no")
			})}
			client, err := maskinporten.New(config)
			require.NoError(t, err)
			_, err = client.Token(caller(t, "me"), maskinporten.Request{Scope: "a:one"})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, []string{
				"0 fetch a:one by me",
				"0 attempt 1 in f",
				"0 fetched failed attempts=1 store=false in f",
				"0 waited 30.1s failed by me",
			}, r.take())
			time.Sleep(time.Minute)
			require.Equal(t, []string{"0 attempted 1 failed in 1"}, r.take())
		})
	})
}

// slowCredential signs in d.
func slowCredential(t *testing.T, d time.Duration) *maskinporten.Credential {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	cred, err := maskinporten.NewKeyCredential(slowSigner{key, d}, "kid")
	require.NoError(t, err)
	return cred
}

type slowSigner struct {
	crypto.Signer
	takes time.Duration
}

func (s slowSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	time.Sleep(s.takes)
	return s.Signer.Sign(random, digest, opts)
}

// While a refusal is remembered, a call is told it, whether or not the source
// is asked for another credential: that is no fetch, and counted by nobody.
func TestTraceOfARememberedRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, r := maskinportentest.New(), &recorder{}
		config := fake.Config()
		asked, cred, failed := 0, config.Credential.(*maskinporten.Credential), error(nil)
		config.Trace, config.Credential = r.trace(), sourceFunc(func() (*maskinporten.Credential, error) {
			asked++
			return cred, failed
		})
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		fake.FailNext(1, maskinportentest.Fault{MPCode: "MP-251"})
		ask := func() error {
			_, err := client.Token(caller(t, "me"), maskinporten.Request{Scope: "a:one"})
			return err
		}
		require.ErrorIs(t, ask(), maskinporten.ErrNotDelegated)
		require.Equal(t, []string{
			"0 fetch a:one by me",
			"0 attempt 1 in f",
			"0 attempted 1 failed in 1",
			"0 fetched failed attempts=1 store=false in f",
			"0 waited 0s failed by me",
		}, r.take())
		asked = 0
		for range 10 {
			require.ErrorIs(t, ask(), maskinporten.ErrNotDelegated)
		}
		require.Equal(t, 10, asked)
		failed = errors.New("the vault is sealed")
		require.ErrorIs(t, ask(), maskinporten.ErrNotDelegated)
		require.Empty(t, r.take())
		require.EqualValues(t, 1, client.Stats().Fetches)

		time.Sleep(time.Second) // the source fails when it is time to ask again
		require.ErrorIs(t, ask(), maskinporten.ErrNotDelegated)
		require.Equal(t, []string{
			"1 fetch a:one by me",
			"1 fetched failed attempts=0 store=false in f",
			"1 waited 0s failed by me",
		}, r.take())

		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		failed, cred = nil, maskinportentest.Certificate{Key: key}.Credential()
		require.NoError(t, ask())
		require.Equal(t, []string{
			"2 fetch a:one by me",
			"2 attempt 1 in f",
			"2 attempted 1 ok in 1",
			"2 fetched ok attempts=1 store=false in f",
			"2 waited 0s ok by me",
		}, r.take())
		require.EqualValues(t, 2, client.Stats().Fetches)
	})
}

// What FetchStart puts into the context reaches each operation of the store, the
// one after the calls have been answered too, and the log of a failed refresh.
func TestTraceReachesTheStoreAndTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, r, store, log := maskinportentest.New(), &recorder{}, newMemoryStore(), &callerLog{}
		var mu sync.Mutex
		var operations []string
		store.set(func(ctx context.Context, operation string) error {
			mu.Lock()
			defer mu.Unlock()
			operations = append(operations, fmt.Sprint(operation, " in ", ctx.Value(traceKey("fetch"))))
			return nil
		})
		config := fake.Config()
		config.Trace, config.Store, config.Logger = r.trace(), store, slog.New(log)
		start := config.Trace.FetchStart
		config.Trace.FetchStart = func(ctx context.Context, f maskinporten.Fetch) context.Context {
			ctx = start(ctx, f)
			if f.Background {
				ctx = context.WithValue(ctx, traceKey("caller"), "refresh")
			}
			return ctx
		}
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		_, err = client.Token(t.Context(), maskinporten.Request{Scope: "a:one"})
		require.NoError(t, err)
		synctest.Wait()
		mu.Lock()
		require.Equal(t, []string{"get in f", "lease in f", "get in f", "set in f"}, operations)
		mu.Unlock()

		fake.Fail(maskinportentest.Fault{MPCode: "MP-251"})
		time.Sleep(95 * time.Second)
		_, err = client.Token(caller(t, "me"), maskinporten.Request{Scope: "a:one"})
		require.NoError(t, err)
		synctest.Wait()
		log.mu.Lock()
		defer log.mu.Unlock()
		require.True(t, slices.ContainsFunc(log.lines, func(line string) bool {
			return strings.HasPrefix(line, "refresh: maskinporten: a token could not be refreshed")
		}), log.lines)
	})
}

// A trace that panics when a fetch is done takes no token from those who wait.
func TestTraceThatPanics(t *testing.T) {
	config := maskinportentest.New().Config()
	config.Trace = &maskinporten.Trace{FetchDone: func(context.Context, maskinporten.Fetch, maskinporten.FetchResult) { panic("no") }}
	client, err := maskinporten.New(config)
	require.NoError(t, err)
	_, err = client.Token(t.Context(), maskinporten.Request{Scope: "a:one"})
	require.NoError(t, err)
}
