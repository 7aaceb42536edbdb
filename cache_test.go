package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// fakeFetch is a token endpoint in the place of cache.fetch: it counts fetches
// and answers as told.
type fakeFetch struct {
	fetches  atomic.Int64
	lifetime time.Duration
	latency  time.Duration
	fail     func(key *Request) error
	hook     func(ctx context.Context, key *Request)
}

func (p *fakeFetch) fetch(ctx context.Context, key *Request, refused *Credential) (*Token, *Credential, error) {
	n := p.fetches.Add(1)
	sent := time.Now()
	if p.hook != nil {
		p.hook(ctx, key)
	}
	sleep(ctx, p.latency)
	if err := ctx.Err(); err != nil {
		return nil, nil, &fetchError{err: endpoint.Explain(err, Test.TokenURL, http.DefaultClient)}
	}
	if p.fail != nil {
		if err := p.fail(key); err != nil {
			return nil, nil, err
		}
	}
	return newToken(fmt.Sprintf("%s/%s#%d", key.Scope, key.ConsumerOrg, n), key.Scope, sent, p.lifetime), nil, nil
}

func (p *fakeFetch) cache(t *testing.T) *cache {
	t.Helper()
	return p.cacheLogging(slog.New(slog.DiscardHandler))
}

func (p *fakeFetch) cacheLogging(log *slog.Logger) *cache {
	c := newCache(&exchange{}, true, log)
	c.fetch = p.fetch
	return c
}

func source(c *cache, scope string) *TokenSource {
	return &TokenSource{cache: c, key: Request{Scope: scope}}
}

func refusalError() error {
	return &Error{StatusCode: 400, Code: "invalid_scope", MPCode: "MP-200"}
}

func outageError() error { return &Error{StatusCode: 503} }

// The table of DESIGN.md, "Cache".
func TestStates(t *testing.T) {
	for _, tt := range []struct {
		lifetime, staleFrom, staleTo, expired float64 // seconds
	}{
		{1, 0.725, 0.75, 0.9},
		{5, 3.625, 3.75, 4.5},
		{8, 5.8, 6.0, 7.2},
		{120, 87, 90, 110},
		{599, 533, 539, 589},
		{3600, 3534, 3540, 3590},
		{30 * 86400, 86334, 86340, 86390}, // over a day counts as a day
	} {
		t.Run(fmt.Sprint(tt.lifetime), func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for range 200 {
				token := newToken("x", "s", time.Now(), time.Duration(tt.lifetime*float64(time.Second)))
				require.InDelta(t, (tt.staleFrom+tt.staleTo)/2, token.stale.Seconds(), (tt.staleTo-tt.staleFrom)/2+1e-6)
				require.InDelta(t, tt.expired, token.expired.Seconds(), 1e-6)
				seen[token.stale] = true
			}
			require.Greater(t, len(seen), 100, "jitter must spread a fleet's refreshes")
		})
	}
}

func TestAge(t *testing.T) {
	sent := time.Now()
	for _, tt := range []struct {
		reason     string
		mono, wall time.Duration // how far each clock has gone
		want       time.Duration
	}{
		{"both agree", time.Minute, time.Minute, time.Minute},
		{"the wall clock was set back an hour", time.Minute, -59 * time.Minute, time.Minute},
		{"the machine was suspended: the monotonic clock stood still", time.Second, time.Hour, time.Hour},
		{"before it was sent, by both", -time.Second, -time.Second, -time.Second},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			now := withMonotonic(sent.Add(tt.wall), tt.mono-tt.wall)
			require.Equal(t, tt.mono, now.Sub(sent), "the monotonic clock is as meant")
			require.Equal(t, tt.want, age(sent, now))
		})
	}
}

// withMonotonic moves only the monotonic reading of t, as suspending a machine
// or setting its clock does: package time has no way to ask for that.
func withMonotonic(t time.Time, by time.Duration) time.Time {
	layout := (*struct {
		wall uint64
		ext  int64 // the monotonic reading
		loc  *time.Location
	})(unsafe.Pointer(&t))
	layout.ext += int64(by)
	return t
}

// A hit vouches for a token without the wall clock for a millisecond at most,
// and never into the time when it is stale.
func TestVouching(t *testing.T) {
	p := &fakeFetch{lifetime: time.Hour}
	c := p.cache(t)
	s := source(c, "s")
	token, _ := s.TokenContext(t.Context())
	e := s.entry.Load()
	now := time.Now()
	require.Same(t, token, c.look(e, now))
	require.Equal(t, now.Sub(c.start)+vouchFor, time.Duration(e.vouched.Load()))
	require.Nil(t, c.look(e, withMonotonic(now.Add(time.Hour), -time.Hour)), "the machine was suspended for an hour")
	require.Nil(t, c.look(e, withMonotonic(now, time.Hour)), "the wall clock was set back an hour")
	last := token.sent.Add(token.stale - time.Nanosecond)
	require.Same(t, token, c.look(e, last))
	require.Equal(t, last.Sub(c.start)+time.Nanosecond, time.Duration(e.vouched.Load()))
}

func TestLifecycleCountsRequests(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Second, 5 * time.Second, 8 * time.Second, 120 * time.Second, 599 * time.Second, time.Hour} {
		t.Run(lifetime.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &fakeFetch{lifetime: lifetime, latency: min(lifetime/50, time.Second)}
				s := source(p.cache(t), "s")
				_, err := s.TokenContext(t.Context())
				require.NoError(t, err)
				require.EqualValues(t, 1, p.fetches.Load())

				// Many calls over ten lifetimes: none waits, and one fetch
				// serves at least 0.7 of a lifetime.
				start := time.Now()
				step := lifetime / 200
				for time.Since(start) < 10*lifetime {
					before := time.Now()
					token, err := s.TokenContext(t.Context())
					require.NoError(t, err)
					require.Equal(t, before, time.Now(), "no call waits")
					require.True(t, token.Expiry().After(time.Now()), "no expired token is handed out")
					time.Sleep(step)
				}
				require.GreaterOrEqual(t, p.fetches.Load(), int64(11))
				require.LessOrEqual(t, p.fetches.Load(), int64(15))
			})
		})
	}
}

func TestStaleIsServedAtOnceAndRefreshedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		s := source(p.cache(t), "s")
		first, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		p.latency = 200 * time.Millisecond
		time.Sleep(95 * time.Second)
		for range 100 {
			token, err := s.TokenContext(t.Context())
			require.NoError(t, err)
			require.Same(t, first, token)
		}
		synctest.Wait()
		require.EqualValues(t, 2, p.fetches.Load())
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		second, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.EqualValues(t, 2, p.fetches.Load())
	})
}

func TestRefreshOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second, latency: time.Second}
		s := source(p.cache(t), "s")
		first, _ := s.TokenContext(t.Context())
		time.Sleep(95 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.TokenContext(ctx)
		require.NoError(t, err)
		cancel() // the request that found the token stale is over
		time.Sleep(2 * time.Second)
		second, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.EqualValues(t, 2, p.fetches.Load())
	})
}

func TestFailedRefreshIsPacedAndLoggedOnce(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		err      error
		most     int64
		pausesBy time.Duration
	}{
		{"a refusal: 1 s, 2 s, 4 s, 8 s, 16 s", refusalError(), 1 + 7, longestPause},
		{"an outage: 100 ms growing to 1 s", outageError(), 1 + 36, longestTemporary},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				p := &fakeFetch{lifetime: 120 * time.Second}
				c := p.cacheLogging(slog.New(slog.NewTextHandler(&log, nil)))
				s := source(c, "s")
				first, _ := s.TokenContext(t.Context())
				p.fail = func(*Request) error { return tt.err }
				time.Sleep(85 * time.Second)
				for age(first.sent, time.Now()) < 120*time.Second {
					before := time.Now()
					token, err := s.TokenContext(t.Context())
					require.NoError(t, err, "the token lives")
					require.Same(t, first, token)
					require.Equal(t, before, time.Now(), "nobody waits while it lives")
					time.Sleep(5 * time.Millisecond)
				}
				synctest.Wait()
				require.LessOrEqual(t, p.fetches.Load(), tt.most)
				require.Greater(t, p.fetches.Load(), int64(4))
				require.Equal(t, 1, strings.Count(log.String(), "could not be refreshed"))
				_, err := s.TokenContext(t.Context())
				require.Error(t, err, "now it has run out")

				synctest.Wait()
				p.fail = nil
				time.Sleep(tt.pausesBy)
				_, err = s.TokenContext(t.Context())
				require.NoError(t, err)
			})
		})
	}
}

func TestExpiredIsOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second, latency: 3 * time.Second}
		c := p.cache(t)
		s := source(c, "s")
		start := time.Now()
		var wg sync.WaitGroup
		var served, left atomic.Int64
		for i := range 1000 {
			wg.Go(func() {
				ctx := t.Context()
				if i%2 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				_, err := s.TokenContext(ctx)
				if err == nil {
					require.Equal(t, 3*time.Second, time.Since(start))
					served.Add(1)
					return
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, time.Second, time.Since(start), "a waiter leaves when its own context ends")
				left.Add(1)
			})
		}
		synctest.Wait()
		require.Equal(t, 1000, c.snapshot().Waiters)
		wg.Wait()
		require.EqualValues(t, 500, served.Load())
		require.EqualValues(t, 500, left.Load())
		require.EqualValues(t, 1, p.fetches.Load())
		require.Zero(t, c.snapshot().Waiters)
	})
}

func TestLeaderLeavesFlightGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second, latency: 3 * time.Second}
		s := source(p.cache(t), "s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.TokenContext(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, err = s.TokenContext(ctx)
		require.NoError(t, err, "a context that has ended still gets a token that is there")
		require.EqualValues(t, 1, p.fetches.Load())
	})
}

func TestEndedContextFetchesNothing(t *testing.T) {
	p := &fakeFetch{lifetime: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := source(p.cache(t), "s").TokenContext(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, p.fetches.Load())
}

func TestForeignCodePoisonsNothing(t *testing.T) {
	for _, tt := range []struct {
		reason string
		hook   func()
	}{
		{"a signer that panics", func() { panic("secret-value") }},
		{"a signer that panics with an error", func() { panic(errors.New("secret-value")) }},
		{"a signer that ends its goroutine", runtime.Goexit},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &fakeFetch{lifetime: time.Minute}
				c := p.cache(t)
				p.hook = func(_ context.Context, key *Request) {
					if key.Scope == "bad" && p.fetches.Load() == 1 {
						tt.hook()
					}
				}
				_, err := source(c, "bad").TokenContext(t.Context())
				require.Error(t, err)
				require.NotContains(t, err.Error(), "secret-value")
				_, err = source(c, "good").TokenContext(t.Context())
				require.NoError(t, err, "another key is not touched")
				time.Sleep(firstPause)
				_, err = source(c, "bad").TokenContext(t.Context())
				require.NoError(t, err, "and the key itself recovers")
			})
		})
	}
}

func TestFailuresAreSharedAndRemembered(t *testing.T) {
	for _, tt := range []struct {
		reason string
		err    error
		pauses []time.Duration
	}{
		{"a refusal", refusalError(), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}},
		{"an outage", outageError(), []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second, time.Second}},
		{"Retry-After longer than a flight", &Error{StatusCode: 429, RetryAfter: time.Hour}, []time.Duration{30 * time.Second, 30 * time.Second}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &fakeFetch{lifetime: time.Minute, latency: 300 * time.Millisecond, fail: func(k *Request) error {
					if k.Scope == "bad" {
						return tt.err
					}
					return nil
				}}
				c := p.cache(t)
				s := source(c, "bad")
				for i, pause := range tt.pauses {
					var wg sync.WaitGroup
					errs := make([]error, 10)
					start := time.Now()
					for j := range errs {
						wg.Go(func() { _, errs[j] = s.TokenContext(t.Context()) })
					}
					wg.Wait()
					require.Equal(t, 300*time.Millisecond, time.Since(start), "the failure is shared")
					require.EqualValues(t, i+1, p.fetches.Load())
					var a, b *Error
					require.ErrorAs(t, errs[0], &a)
					require.ErrorAs(t, errs[1], &b)
					require.NotSame(t, a, b, "every waiter gets an error of its own")

					_, err := s.TokenContext(t.Context())
					require.ErrorAs(t, err, &a)
					time.Sleep(pause - time.Nanosecond)
					_, err = s.TokenContext(t.Context())
					require.ErrorAs(t, err, &a)
					require.EqualValues(t, i+1, p.fetches.Load(), "remembered for %s", pause)
					time.Sleep(time.Nanosecond)
				}
				_, err := source(c, "good").TokenContext(t.Context())
				require.NoError(t, err, "another key is not touched")
			})
		})
	}
}

func TestLivingTokenOutlastsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		s := source(p.cache(t), "s")
		first, _ := s.TokenContext(t.Context())
		p.fail = func(*Request) error { return refusalError() }
		time.Sleep(112 * time.Second) // expired, nobody has asked for long, and it still lives
		token, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.Same(t, first, token)
		require.EqualValues(t, 2, p.fetches.Load())
		token, err = s.TokenContext(t.Context())
		require.NoError(t, err)
		require.Same(t, first, token)
		require.EqualValues(t, 2, p.fetches.Load(), "the refusal is remembered")
	})
}

func TestNobodyWaitsForAnEndpointThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		s := source(p.cache(t), "s")
		first, _ := s.TokenContext(t.Context())
		p.latency = time.Hour
		for time.Since(first.sent) < 119900*time.Millisecond {
			before := time.Now()
			token, err := s.TokenContext(t.Context())
			require.NoError(t, err)
			require.Same(t, first, token)
			require.Equal(t, before, time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, p.fetches.Load(), int64(3))
		time.Sleep(flightTimeout)
	})
}

func TestAfterIdlingNobodyWaitsForAnEndpointThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		s := source(p.cache(t), "s")
		first, _ := s.TokenContext(t.Context())
		p.latency = time.Hour
		time.Sleep(112 * time.Second) // expired: nobody has asked for it meanwhile
		before := time.Now()
		token, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.Same(t, first, token, "no better one came in half of what it had left")
		require.Equal(t, 4*time.Second, time.Since(before))
		before = time.Now()
		token, err = s.TokenContext(t.Context())
		require.NoError(t, err)
		require.Same(t, first, token)
		require.Zero(t, time.Since(before), "and those who come later do not wait for it")
		time.Sleep(flightTimeout)
	})
}

func TestTokenPastItsTimeIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: time.Second, latency: 2 * time.Second}
		c := p.cache(t)
		s := source(c, "s")
		_, err := s.TokenContext(t.Context())
		require.NoError(t, err, "its waiters get it")
		require.Nil(t, s.entry.Load().token.Load())
	})
}

func TestInvalidateDropsExactlyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		c := p.cache(t)
		s, other := source(c, "s"), source(c, "other")
		first, _ := s.TokenContext(t.Context())
		_, _ = other.TokenContext(t.Context())
		c.invalidate("unknown")
		c.invalidate(first.AccessToken())
		second, err := s.TokenContext(t.Context())
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.EqualValues(t, 3, p.fetches.Load())
		c.invalidate(first.AccessToken()) // a late 401 for the old one
		third, _ := s.TokenContext(t.Context())
		require.Same(t, second, third)
		require.EqualValues(t, 3, p.fetches.Load())
	})
}

func TestInvalidatedTokenDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		c := p.cache(t)
		s := source(c, "s")
		first, _ := s.TokenContext(t.Context())
		p.fail = func(*Request) error { return outageError() }
		c.invalidate(first.AccessToken())
		_, err := s.TokenContext(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
	})
}

func TestAroundReuseTokenSourceNobodyWaits(t *testing.T) {
	for _, lifetime := range []time.Duration{8 * time.Second, 120 * time.Second, time.Hour} {
		t.Run(lifetime.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &fakeFetch{lifetime: lifetime}
				s := oauth2.ReuseTokenSource(nil, source(p.cache(t), "s"))
				_, err := s.Token()
				require.NoError(t, err)
				p.latency = min(lifetime/100, time.Second)
				start := time.Now()
				for time.Since(start) < 10*lifetime {
					var wg sync.WaitGroup
					before := time.Now()
					for range 3 {
						wg.Go(func() {
							token, err := s.Token()
							require.NoError(t, err)
							require.NotEmpty(t, token.AccessToken)
						})
					}
					wg.Wait()
					require.Equal(t, before, time.Now(), "no call waits")
					time.Sleep(lifetime / 300)
				}
				require.LessOrEqual(t, p.fetches.Load(), int64(15))
			})
		})
	}
}

func TestSweepGivesMemoryBack(t *testing.T) {
	for _, tt := range []struct {
		reason string
		alive  int
	}{
		{"all are dead", 0},
		{"as many live as are dead", 5000},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const dead = 5000
				p := &fakeFetch{lifetime: time.Hour}
				c := p.cache(t)
				get := func(kind string, i int) {
					_, err := source(c, fmt.Sprintf("%s%d", kind, i)).TokenContext(t.Context())
					require.NoError(t, err)
				}
				for i := range tt.alive {
					get("alive", i)
				}
				p.lifetime = time.Minute
				for i := range dead {
					get("dead", i)
				}
				require.Equal(t, dead+tt.alive, c.len())
				time.Sleep(2 * time.Minute)
				for i := range dead / 10 {
					get("new", i)
				}
				require.Equal(t, tt.alive+dead/10, c.len())
				require.LessOrEqual(t, len(c.table.Load().buckets), 4*c.len())
				for i := range tt.alive {
					get("alive", i)
				}
				require.EqualValues(t, dead+tt.alive+dead/10, p.fetches.Load(), "those alive were kept")
			})
		})
	}
}

func TestLimitEvictsTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: time.Hour}
		c := p.cache(t)
		c.limit = 1000
		hot := source(c, "hot")
		get := func(s *TokenSource) {
			_, err := s.TokenContext(t.Context())
			require.NoError(t, err)
		}
		get(hot)
		for i := range 5000 {
			get(source(c, fmt.Sprint("cold", i)))
			get(hot)
			require.LessOrEqual(t, c.len(), 1000)
		}
		require.EqualValues(t, 5001, p.fetches.Load(), "the hot key was never evicted")
		// A source whose entry was evicted gets another.
		cold := source(c, "cold0")
		get(cold)
		for i := range 3000 {
			get(source(c, fmt.Sprint("colder", i)))
		}
		before := p.fetches.Load()
		get(cold)
		require.Equal(t, before+1, p.fetches.Load())
	})
}

func TestHitAllocatesNothing(t *testing.T) {
	p := &fakeFetch{lifetime: time.Hour}
	c := p.cache(t)
	client := &Client{cache: c, source: &Credential{}}
	s := source(c, "a b")
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
	require.EqualValues(t, 1, p.fetches.Load())
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeFetch{lifetime: 120 * time.Second}
		c := p.cache(t)
		s := source(c, "s")
		_, _ = s.TokenContext(t.Context())
		success := time.Now()
		p.fail = func(*Request) error { return refusalError() }
		time.Sleep(95 * time.Second)
		_, _ = s.TokenContext(t.Context())
		synctest.Wait()
		got := c.snapshot()
		require.Equal(t, Stats{
			Fetches: 2, Refreshes: 1, Failures: map[string]int64{"MP-200": 1}, Entries: 1,
			LastSuccess: success, LastFailure: time.Now(), LastError: got.LastError,
		}, got)
		require.Contains(t, got.LastError, "MP-200")
		for i := range 1000 {
			c.count(&flight{err: &Error{StatusCode: 400, Code: fmt.Sprint("made_up_", i)}}, time.Now())
		}
		require.Less(t, len(c.snapshot().Failures), 100, "a server that makes up codes does not fill the memory")
	})
}

// TestCacheAgainstAModel runs random sequences of calls, failures,
// invalidations and cancellations, and holds what comes out to a model: which
// token may be handed out when, and how many fetches that may cost.
func TestCacheAgainstAModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				m := &model{dropped: map[string]bool{}, issued: map[string]time.Time{}}
				lifetimes := []time.Duration{time.Second, 8 * time.Second, 2 * time.Minute, time.Hour}
				lifetime := lifetimes[rnd.IntN(len(lifetimes))]
				p := &fakeFetch{lifetime: lifetime}
				var mode atomic.Value
				var latency atomic.Int64
				mode.Store("ok")
				p.hook = func(ctx context.Context, _ *Request) { sleep(ctx, time.Duration(latency.Load())) }
				p.fail = func(*Request) error {
					switch mode.Load() {
					case "refuse":
						return refusalError()
					case "outage":
						return outageError()
					}
					return nil
				}
				c := p.cache(t)
				c.fetch = func(ctx context.Context, key *Request, refused *Credential) (*Token, *Credential, error) {
					m.begin(t, key.Scope)
					defer m.end(key.Scope)
					token, cred, err := p.fetch(ctx, key, refused)
					if err == nil {
						m.issue(token)
					}
					return token, cred, err
				}
				keys := []*TokenSource{source(c, "a"), source(c, "b"), source(c, "c")}
				var wg sync.WaitGroup
				for range 400 {
					s := keys[rnd.IntN(len(keys))]
					switch rnd.IntN(12) {
					case 0:
						mode.Store([]string{"ok", "ok", "refuse", "outage"}[rnd.IntN(4)])
						latency.Store(rnd.Int64N(int64(lifetime / 2)))
					case 1:
						if token := s.current(); token != nil {
							m.drop(token)
							c.invalidate(token.AccessToken())
						}
					case 2, 3:
						time.Sleep(time.Duration(rnd.Int64N(int64(lifetime / 3))))
					default:
						timeout := time.Duration(rnd.Int64N(int64(lifetime)))
						wg.Go(func() { m.call(t, s, timeout) })
						synctest.Wait()
					}
				}
				wg.Wait()
				time.Sleep(flightTimeout) // the flights that nobody waits for
				require.LessOrEqual(t, m.most, 1, "one flight a key")
			})
		})
	}
}

type model struct {
	mu      sync.Mutex
	issued  map[string]time.Time // when each token ends
	dropped map[string]bool
	flying  map[string]int
	most    int
}

func (m *model) begin(t *testing.T, scope string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flying == nil {
		m.flying = map[string]int{}
	}
	m.flying[scope]++
	m.most = max(m.most, m.flying[scope])
}

func (m *model) end(scope string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying[scope]--
}

func (m *model) issue(token *Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.issued[token.AccessToken()] = token.Expiry()
}

func (m *model) drop(token *Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropped[token.AccessToken()] = true
}

func (m *model) call(t *testing.T, s *TokenSource, timeout time.Duration) {
	had := s.current() // read before the call, so nobody can have dropped it for this one
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := time.Now()
	token, err := s.TokenContext(ctx)
	waited := time.Since(start)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if had != nil && !m.dropped[had.AccessToken()] {
			require.False(t, time.Now().Before(had.Expiry()), "a living token was there to be had")
		}
		if waited > timeout {
			t.Errorf("waited %s with a context of %s", waited, timeout)
		}
		return
	}
	require.True(t, strings.HasPrefix(token.AccessToken(), s.key.Scope+"/"), "no key's token goes to another")
	ends, ok := m.issued[token.AccessToken()]
	require.True(t, ok, "every token was issued")
	if had == token {
		require.False(t, m.dropped[token.AccessToken()], "a dropped token is not handed out")
		require.True(t, time.Now().Before(ends), "nor one that has run out")
	}
	if had != nil && !m.dropped[had.AccessToken()] && age(had.sent, start) < had.expired {
		require.Zero(t, waited, "nobody waits while a token is there")
	}
}

func (s *TokenSource) current() *Token {
	if e := s.entry.Load(); e != nil {
		return e.token.Load()
	}
	return nil
}

var _ http.RoundTripper = (*Transport)(nil)
