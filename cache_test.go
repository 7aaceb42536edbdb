package maskinporten

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

// answering is a token endpoint whose answers are told by what is stored in it.
type answering struct {
	wire
	mu     sync.Mutex
	answer func() (*http.Response, error)
}

func newAnswering(lifetime int) *answering {
	a := &answering{}
	a.wire.reply = func(n int, _ *sentGrant) (*http.Response, error) {
		a.mu.Lock()
		answer := a.answer
		a.mu.Unlock()
		if answer != nil {
			return answer()
		}
		return reply(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":%d}`, n, lifetime)), nil
	}
	return a
}

func (a *answering) set(answer func() (*http.Response, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func refusedScope() (*http.Response, error) {
	return reply(400, `{"error":"invalid_scope","error_description":"MP-200"}`), nil
}

func source(t *testing.T, c *Client, scope string) *TokenSource {
	t.Helper()
	s, err := c.TokenSource(Request{Scope: scope})
	require.NoError(t, err)
	return s
}

func TestLifetimeOverADay(t *testing.T) {
	now := time.Now()
	token := newToken("x", "s", now, 30*24*time.Hour)
	require.WithinDuration(t, now.Add(24*time.Hour), token.Expiry(), 0)
	require.InDelta(t, 86337, token.times.Stale.Seconds(), 3)
	require.Equal(t, 86390*time.Second, token.times.Expired)
}

func TestExpiryIsTheGrantsTimeAndTheLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return reply(200, tokenJSON(120)), nil
		}}
		sent := time.Now()
		token, err := w.client(t, nil).Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.True(t, token.Expiry().Equal(sent.Add(120*time.Second)))
	})
}

// Printers that go by reflection see into unexported fields and follow
// pointers: testify's, when a comparison fails, and those of debuggers.
func TestReflectionShowsNoBearer(t *testing.T) {
	synctest.Test(t, testReflectionShowsNoBearer)
}

func testReflectionShowsNoBearer(t *testing.T) {
	const secret = "secret-access-token"
	w := &wire{reply: ok}
	client := w.client(t, nil)
	token, err := client.Token(t.Context(), Request{Scope: "s"})
	require.NoError(t, err)
	require.Equal(t, secret, token.AccessToken())
	holder := struct {
		Token  *Token
		hidden *Token
		value  Token
	}{token, token, *token}
	sources := source(t, client, "s")
	synctest.Wait() // the fetch puts its things in order after it has handed out the token
	for name, v := range map[string]any{
		"a token": token, "its value": *token, "a struct with tokens": &holder,
		"a source": sources, "a client": client,
	} {
		texts := reflected(reflect.ValueOf(v), map[uintptr]bool{})
		require.NotEmpty(t, texts, name)
		for _, text := range texts {
			require.NotContains(t, text, secret, name)
		}
	}
	var said strings.Builder
	assert.Equal(failer{&said}, token, newToken("other-secret", "s", time.Now(), time.Minute))
	assert.Equal(failer{&said}, *token, *newToken("other-secret", "s", time.Now(), time.Minute))
	require.NotEmpty(t, said.String())
	require.NotContains(t, said.String(), "secret-access-token")
	require.NotContains(t, said.String(), "other-secret")
}

// reflected is all texts that a printer could reach from v by reflection.
func reflected(v reflect.Value, seen map[uintptr]bool) (texts []string) {
	switch v.Kind() {
	case reflect.String:
		return []string{v.String()}
	case reflect.Interface:
		return reflected(v.Elem(), seen)
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return nil
		}
		seen[v.Pointer()] = true
		return reflected(v.Elem(), seen)
	case reflect.Struct:
		for i := range v.NumField() {
			texts = append(texts, reflected(v.Field(i), seen)...)
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			return []string{string(v.Bytes())}
		}
		for i := range v.Len() {
			texts = append(texts, reflected(v.Index(i), seen)...)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			texts = append(texts, reflected(key, seen)...)
			texts = append(texts, reflected(v.MapIndex(key), seen)...)
		}
	}
	return texts
}

type failer struct{ said *strings.Builder }

func (f failer) Errorf(format string, args ...any) { fmt.Fprintf(f.said, format, args...) }

func TestEveryWaiterGetsAnErrorOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(60)
		w.set(func() (*http.Response, error) { time.Sleep(time.Second); return refusedScope() })
		s := source(t, w.client(t, nil), "s")
		errs := make([]*Error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, err := s.TokenContext(t.Context())
				require.ErrorAs(t, err, &errs[i])
				errs[i].Description = fmt.Sprint(i) // a caller may write into what is its own
			})
		}
		wg.Wait()
		_, err := s.TokenContext(t.Context())
		var remembered *Error
		require.ErrorAs(t, err, &remembered)
		require.Equal(t, "MP-200", remembered.Description)
		require.Equal(t, 1, w.sent())
		for i, e := range errs {
			require.Equal(t, fmt.Sprint(i), e.Description)
		}
	})
}

func TestRetryAfterIsRememberedForHalfAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(60)
		w.set(func() (*http.Response, error) { return reply(429, "", "Retry-After", "3600"), nil })
		s := source(t, w.client(t, nil), "s")
		before := time.Now()
		_, err := s.TokenContext(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
		require.Equal(t, before, time.Now(), "beyond the fetch's own time: it fails at once")
		w.set(nil)
		time.Sleep(30*time.Second - 1)
		_, err = s.TokenContext(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
		require.Equal(t, 1, w.sent())
		time.Sleep(time.Nanosecond)
		_, err = s.TokenContext(t.Context())
		require.NoError(t, err)
	})
}

// A source that fails now and then makes no refusal forgotten: so many grants
// are refused in a minute as with one that does not.
func TestFailingSourceKeepsTheRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(60)
		w.set(refusedScope)
		c := w.client(t, nil)
		asked := 0
		c.exchange.source = failingSource(func() (*Credential, error) {
			if asked++; asked%2 == 0 {
				return nil, errors.New("the vault is away")
			}
			return testCredential(), nil
		})
		c.cache.static = false
		s := source(t, c, "s")
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
			_, err := s.TokenContext(t.Context())
			require.ErrorIs(t, err, ErrScopeNotAllowed)
		}
		require.LessOrEqual(t, w.sent(), 6)
		require.EqualValues(t, w.sent(), c.Stats().Fetches, "a fetch that sent nothing does not count")
	})
}

type failingSource func() (*Credential, error)

func (f failingSource) Credential(context.Context) (*Credential, error) { return f() }

// What foreign code does on a fetch's goroutine is said in words of this
// package, and without what it panicked with.
func TestForeignCodeThatFails(t *testing.T) {
	for _, tt := range []struct {
		reason string
		source func() (*Credential, error)
		says   string
	}{
		{"it panics", func() (*Credential, error) { panic("secret-value") }, "panicked with a string"},
		{"it hangs", func() (*Credential, error) { time.Sleep(time.Hour); return nil, nil }, "did not come back"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newAnswering(60).client(t, nil)
				c.exchange.source = failingSource(tt.source)
				_, err := c.Token(t.Context(), Request{Scope: "s"})
				require.ErrorContains(t, err, "the credential source, the signer or the HTTP client "+tt.says)
				require.ErrorContains(t, err, `maskinporten: token for scope "s" from`)
				require.NotContains(t, err.Error(), "secret-value")
				require.Equal(t, err.Error(), c.Stats().LastError)
				time.Sleep(time.Hour)
			})
		})
	}
}

func TestTokenThatIsDeadWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(1)
		w.set(func() (*http.Response, error) { time.Sleep(2 * time.Second); return reply(200, tokenJSON(1)), nil })
		_, err := w.client(t, nil).Token(t.Context(), Request{Scope: "s"})
		require.ErrorContains(t, err, "had expired when it came")
		require.Equal(t, 2, w.sent())
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newAnswering(60).client(t, nil)
		c.exchange.source = failingSource(func() (*Credential, error) { time.Sleep(10 * time.Second); return nil, errors.New("away") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Token(ctx, Request{Scope: "s"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `waiting for a token for scope "s" from`)
		require.ErrorContains(t, err, "the fetch goes on")

		_, err = c.Token(ctx, Request{Scope: "another"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, ErrNoToken)
		require.ErrorContains(t, err, "nothing was begun")
		require.NotContains(t, err.Error(), "goes on", "there is no fetch")

		var wg sync.WaitGroup
		for i := range 2 * maxFetches {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.Token(ctx, Request{Scope: fmt.Sprint("s", i)})
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		synctest.Wait()
		_, err = c.Token(ctx, Request{Scope: "one too many"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, maxFetches, c.Stats().Entries, "no entry is made for what is not fetched")
		late, cancelLate := context.WithTimeout(t.Context(), time.Second/2)
		defer cancelLate()
		_, err = c.Token(late, Request{Scope: "late"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "while 1024 others are fetched")
		wg.Wait()
		time.Sleep(time.Hour)
	})
}

func TestFailedRefreshIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newAnswering(120)
		s := source(t, w.client(t, &log), "s")
		first, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		w.set(refusedScope)
		time.Sleep(95 * time.Second)
		for range 100 {
			token, err := s.TokenContext(t.Context())
			require.NoError(t, err)
			require.Same(t, first, token)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "could not be refreshed"))
		require.Contains(t, log.String(), "MP-200")
	})
}

// A log handler that asks for a token, as remote logging with the same client
// does, blocks nothing: no line is written while a lock is held.
func TestLogHandlerMayAskForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(120)
		c := w.client(t, nil)
		s := source(t, c, "s")
		lines := 0
		c.cache.log = slog.New(handler(func() {
			lines++
			before := time.Now()
			_, err := s.TokenContext(t.Context())
			require.NoError(t, err)
			require.NotPanics(t, func() { c.Stats(); c.Invalidate("unknown") })
			require.Equal(t, before, time.Now())
		}))
		token, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		w.set(refusedScope)
		time.Sleep(95 * time.Second)
		_, err = s.TokenContext(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, lines, "the failed refresh")
		w.set(nil)
		time.Sleep(2 * time.Second)
		for range 6 {
			s.reportUnauthorized(t.Context(), token, false)
			token, err = s.TokenContext(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.Equal(t, 2, lines, "the API that rejects every token")
	})
}

type handler func()

func (handler) Enabled(context.Context, slog.Level) bool    { return true }
func (h handler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h handler) WithGroup(string) slog.Handler             { return h }

func TestInvalidateDropsExactlyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(120)
		c := w.client(t, nil)
		s := source(t, c, "s")
		first, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		c.Invalidate("unknown")
		c.Invalidate("")
		c.Invalidate(first.AccessToken())
		second, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.NotSame(t, first, second)
		c.Invalidate(first.AccessToken()) // a late word on the old one
		third, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.Same(t, second, third)
		require.Equal(t, 2, w.sent())
	})
}

func TestAroundReuseTokenSourceNobodyWaits(t *testing.T) {
	for _, lifetime := range []int{8, 120, 3600} {
		t.Run(fmt.Sprint(lifetime), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newAnswering(lifetime)
				inner := source(t, w.client(t, nil), "s")
				s := oauth2.ReuseTokenSource(nil, inner)
				_, err := s.Token()
				require.NoError(t, err)
				lives := time.Duration(lifetime) * time.Second
				start := time.Now()
				for time.Since(start) < 10*lives {
					before := time.Now()
					token, err := s.Token()
					require.NoError(t, err)
					require.NotEmpty(t, token.AccessToken)
					require.Equal(t, before, time.Now(), "no call waits")
					time.Sleep(lives / 300)
				}
				require.LessOrEqual(t, w.sent(), 15)
			})
		})
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	w := newAnswering(3600)
	client := w.client(t, nil)
	s := source(t, client, "a b")
	_, err := s.TokenContext(t.Context())
	require.NoError(t, err)
	ctx := context.Background()
	for _, tt := range []struct {
		reason string
		call   func() error
		allocs float64
	}{
		{"TokenContext", func() error { _, err := s.TokenContext(ctx); return err }, 0},
		{"Client.Token", func() error { _, err := client.Token(ctx, Request{Scope: "a b"}); return err }, 0},
		{"Client.Token, scopes in another order", func() error { _, err := client.Token(ctx, Request{Scope: "b a"}); return err }, 0},
		{"Token: one copy", func() error { _, err := s.Token(); return err }, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			require.Equal(t, tt.allocs, testing.AllocsPerRun(100, func() {
				if err := tt.call(); err != nil {
					panic(err)
				}
			}))
		})
	}
	require.Equal(t, 1, w.sent())
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAnswering(120)
		c := w.client(t, nil)
		s := source(t, c, "s")
		_, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		success := time.Now()
		w.set(refusedScope)
		time.Sleep(95 * time.Second)
		_, err = s.TokenContext(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		got := c.cache.snapshot()
		require.Equal(t, Stats{
			Fetches: 2, Refreshes: 1, Failures: map[string]int64{"MP-200": 1}, Entries: 1,
			LastSuccess: success, LastFailure: time.Now(), LastError: got.LastError,
		}, got)
		require.Contains(t, got.LastError, "MP-200")
		for i := range 1000 {
			c.cache.count(tokencache.Outcome[Request, Token]{
				Flight:  tokencache.Flight[Request]{Key: new(Request)},
				Failure: &tokencache.Failure{Err: &Error{StatusCode: 400, Code: fmt.Sprint("made_up_", i)}},
			})
		}
		require.Less(t, len(c.Stats().Failures), 100, "a server that makes up codes does not fill the memory")
	})
}
