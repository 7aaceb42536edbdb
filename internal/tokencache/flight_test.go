package tokencache

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExpiredIsOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second, latency: 3 * time.Second}
		c := s.cache()
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
				r, err := c.Get(ctx, new(int))
				require.NotNil(t, r.Waited, "who waited is told for what")
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
		require.Equal(t, 1000, c.Waiters())
		wg.Wait()
		require.EqualValues(t, 500, served.Load())
		require.EqualValues(t, 500, left.Load())
		require.EqualValues(t, 1, s.fetches.Load())
		require.Zero(t, c.Waiters())
	})
}

func TestLeaderLeavesFlightGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second, latency: 3 * time.Second}
		c := s.cache()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.get(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, err = c.get(ctx, 1)
		require.NoError(t, err, "a context that has ended still gets a value that is there")
		require.EqualValues(t, 1, s.fetches.Load())
	})
}

func TestFlightCarriesValuesAndItsOwnDeadline(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		seen := make(chan any, 1)
		s.hook = func(ctx context.Context, f Flight[int]) {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, Timeout, time.Until(deadline))
			require.Equal(t, f.Background, ctx.Value(key{}) == nil)
			seen <- ctx.Value(key{})
		}
		c := s.cache()
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "caller"), time.Second)
		defer cancel()
		_, err := c.get(ctx, 1)
		require.NoError(t, err)
		require.Equal(t, "caller", <-seen)
		time.Sleep(95 * time.Second)
		_, err = c.get(context.WithValue(t.Context(), key{}, "caller"), 1)
		require.NoError(t, err)
		require.Nil(t, <-seen, "nobody waits for it: it belongs to no caller")
	})
}

func TestForeignCodePoisonsNothing(t *testing.T) {
	for _, tt := range []struct {
		reason string
		hook   func()
		check  func(*testing.T, error)
	}{
		{"it panics", func() { panic("secret-value") }, func(t *testing.T, err error) {
			var p *PanicError
			require.ErrorAs(t, err, &p)
			require.Equal(t, "string", p.Type)
		}},
		{"it panics with an error", func() { panic(errors.New("secret-value")) }, func(*testing.T, error) {}},
		{"it ends its goroutine", runtime.Goexit, func(t *testing.T, err error) { require.ErrorIs(t, err, ErrEnded) }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: time.Minute, flights: 1}
				c := s.cache()
				s.hook = func(_ context.Context, f Flight[int]) {
					if *f.Key == 1 && s.fetches.Load() == 1 {
						tt.hook()
					}
				}
				_, err := c.get(t.Context(), 1)
				require.ErrorIs(t, err, errLost)
				require.NotContains(t, err.Error(), "secret-value")
				tt.check(t, err)
				_, err = c.get(t.Context(), 2)
				require.NoError(t, err, "another key is not touched")
				time.Sleep(firstPause)
				_, err = c.get(t.Context(), 1)
				require.NoError(t, err, "and the key itself recovers")
			})
		})
	}
}

func TestLivingValueOutlastsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		s.fail = func(Flight[int]) *Failure { return refusal() }
		time.Sleep(112 * time.Second) // expired, nobody has asked for long, and it still lives
		for range 2 {
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v)
			require.EqualValues(t, 2, s.fetches.Load(), "the refusal is remembered")
		}
	})
}

func TestNobodyWaitsForAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		s.latency = time.Hour
		for first.Left(Now()) > 100*time.Millisecond {
			before := time.Now()
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v)
			require.Equal(t, before, time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, s.fetches.Load(), int64(3))
		time.Sleep(Timeout)
	})
}

func TestAfterIdlingNobodyWaitsForAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		s.latency = time.Hour
		time.Sleep(112 * time.Second) // expired: nobody has asked for it meanwhile
		for _, waits := range []time.Duration{4 * time.Second, 0} {
			before := time.Now()
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v, "no better one came in half of what it had left")
			require.Equal(t, waits, time.Since(before), "and those who come later do not wait for it")
		}
		time.Sleep(Timeout)
	})
}

// A source that hangs when it is asked for another cause is no beginning of a
// fetch, which nobody would be told the end of.
func TestLateWordOfAnotherCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{
			lifetime: 120 * time.Second,
			fail:     func(Flight[int]) *Failure { return &Failure{Err: errRefused, Cause: "old"} },
		}
		c := s.cache()
		_, err := c.get(t.Context(), 1)
		require.ErrorIs(t, err, errRefused)
		s.changed = func(*Failure) bool { time.Sleep(time.Hour); return true }
		_, err = c.get(t.Context(), 1)
		require.ErrorIs(t, err, errLost)
		time.Sleep(time.Hour)
		require.Equal(t, int64(1), s.started.Load())
		require.Equal(t, int64(1), s.ended.Load())
		require.Equal(t, int64(1), s.fetches.Load())
	})
}

// A value that is dropped while somebody waits beside it is not handed out.
func TestWaitingBesideADroppedValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		s.latency = 10 * time.Second
		time.Sleep(112 * time.Second)
		time.AfterFunc(time.Second, func() { c.Invalidate(first.secret) })
		before := time.Now()
		v, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		require.NotSame(t, first, v)
		require.Equal(t, 10*time.Second, time.Since(before))
	})
}

func TestValueThatArrivesLate(t *testing.T) {
	for _, tt := range []struct {
		reason  string
		latency []time.Duration // of each fetch, for a lifetime of 10 s
		fetches int64
		err     error
		kept    bool
	}{
		{"stale: kept", []time.Duration{8 * time.Second}, 1, nil, true},
		{"expired, but alive: for its waiters alone", []time.Duration{9500 * time.Millisecond}, 1, nil, false},
		{"dead, as after a suspend: fetched once more", []time.Duration{11 * time.Second, time.Second}, 2, nil, true},
		{"dead twice", []time.Duration{10 * time.Second, 10 * time.Second}, 2, ErrDead, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: 10 * time.Second}
				s.hook = func(context.Context, Flight[int]) { time.Sleep(tt.latency[s.fetches.Load()-1]) }
				c := s.cache()
				v, err := c.get(t.Context(), 1)
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.fetches, s.fetches.Load())
				if err == nil {
					require.Positive(t, v.Left(Now()))
				}
				require.Equal(t, tt.kept, c.entryOf(1).value.Load() != nil)
			})
		})
	}
}

// While an abandoned fetch of a key hangs no other is started for it, and each
// keeps its permit: goroutines are bounded.
func TestAbandonedFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Minute, limit: 8, flights: 4}
		release := make(chan struct{})
		s.hook = func(_ context.Context, f Flight[int]) {
			if *f.Key < 2 {
				<-release // and looks at no context
			}
		}
		c := s.cache()
		for range 20 {
			for key := range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := c.get(ctx, key)
				require.ErrorIs(t, err, ErrHangs)
				cancel()
			}
			time.Sleep(10 * time.Second)
		}
		require.EqualValues(t, 2, s.fetches.Load())
		for key := range 100 {
			_, err := c.get(t.Context(), 2+key)
			require.NoError(t, err, "other keys are served, with the permits that are left")
		}
		require.Equal(t, 8, c.Len())
		require.NotNil(t, c.entryOf(0), "its entry stays, or another would be fetched for")

		close(release)
		synctest.Wait()
		for key := range 2 {
			_, err := c.get(t.Context(), key)
			require.NoError(t, err, "once it has come back all is well")
		}
		require.Empty(t, c.permits)
	})
}

// A value that lives is served while the fetch that was to refresh it hangs.
func TestAbandonedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		release := make(chan struct{})
		s.hook = func(context.Context, Flight[int]) { <-release }
		time.Sleep(59*time.Minute + 10*time.Second)
		for first.Left(Now()) > 0 {
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v)
			time.Sleep(time.Second)
		}
		_, err := c.get(t.Context(), 1)
		require.ErrorIs(t, err, ErrHangs)
		require.EqualValues(t, 2, s.fetches.Load())
		close(release)
	})
}

func TestFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour, latency: 10 * time.Second, limit: 50, flights: 10}
		c := s.cache()
		var wg sync.WaitGroup
		var served atomic.Int64
		for key := range 100 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
				defer cancel()
				v, err := c.get(ctx, key)
				if err == nil {
					require.NotNil(t, v)
					served.Add(1)
					return
				}
				var wait *WaitError
				require.ErrorAs(t, err, &wait)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				if wait.Busy != 0 {
					require.Equal(t, 10, wait.Busy)
					require.Contains(t, err.Error(), "10 fetches under way")
				}
			})
		}
		for range 34 {
			synctest.Wait()
			require.LessOrEqual(t, len(c.permits), 10)
			require.LessOrEqual(t, c.Len(), 50)
			time.Sleep(time.Second)
		}
		wg.Wait()
		require.EqualValues(t, 30, served.Load(), "ten every ten seconds")
		require.EqualValues(t, 40, s.fetches.Load())
		time.Sleep(Timeout)
		require.Empty(t, c.permits)
	})
}

// Where no fetch can be started, a value that lives is better than waiting.
func TestNoPermitForARefresh(t *testing.T) {
	for _, age := range []time.Duration{95 * time.Second, 112 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{lifetime: 120 * time.Second, flights: 1}
			c := s.cache()
			first, _ := c.get(t.Context(), 1)
			time.Sleep(age)
			s.latency = 5 * time.Second
			go c.get(t.Context(), 2)
			synctest.Wait()
			before := time.Now()
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v)
			require.Equal(t, before, time.Now())
			time.Sleep(5 * time.Second)
			synctest.Wait()
			require.EqualValues(t, 2, s.fetches.Load())
		})
	}
}

// Waiters are woken before After is told, counted before that, and nothing that
// After does holds up anybody else, a call for the same key included.
func TestOrderAtTheEndOfAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted atomic.Bool
		s := &server{lifetime: time.Minute}
		c := s.cache()
		s.count = func(o Outcome[int, value]) { counted.Store(true) }
		s.after = func(o Outcome[int, value]) {
			require.True(t, counted.Load())
			v, err := c.get(t.Context(), *o.Flight.Key) // as remote logging with the same client does
			require.NoError(t, err)
			require.Same(t, o.Value, v)
			time.Sleep(time.Hour)
		}
		before := time.Now()
		_, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		require.True(t, counted.Load())
		require.Equal(t, before, time.Now())
		require.Equal(t, 1, c.Len())
		time.Sleep(time.Hour)
	})
}

// Code that obeys its context has a moment to say why it failed.
func TestFetchThatEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Minute}
		s.hook = func(ctx context.Context, _ Flight[int]) {
			<-ctx.Done()
			time.Sleep(cancelGrace / 2)
		}
		c := s.cache()
		start := time.Now()
		_, err := c.get(t.Context(), 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrHangs)
		require.Equal(t, Timeout+50*time.Millisecond, time.Since(start))
	})
}

// A value that dies at the moment it arrives, or before its waiter can run, is
// not handed out.
func TestValueThatDiesBeforeItsWaiterRuns(t *testing.T) {
	s := &server{lifetime: time.Hour}
	c := s.cache()
	v := &value{Times: Times{Sent: Now(), Lifetime: 0}}
	f := &flight[int, value]{done: make(chan struct{}), value: v}
	close(f.done)
	got, err := c.join(t.Context(), f)
	require.Nil(t, got)
	require.Equal(t, errAgain, err)
}

func TestRefetchWaitsForAPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour, flights: 1}
		c := s.cache()
		first, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		s.latency = 3 * time.Second
		go c.get(t.Context(), 2)
		synctest.Wait()
		asked, start, key := 0, time.Now(), 1
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Refetch(ctx, &key, first, func() error { asked++; return nil })
		var wait *WaitError
		require.ErrorAs(t, err, &wait)
		require.Equal(t, 1, wait.Busy)
		require.Zero(t, asked, "what cannot be started is not asked for")
		v, err := c.Refetch(t.Context(), &key, first, func() error { asked++; return nil })
		require.NoError(t, err)
		require.NotSame(t, first, v)
		require.Equal(t, 6*time.Second, time.Since(start))
		require.Equal(t, 1, asked)
		synctest.Wait()
		require.Empty(t, c.permits)
	})
}
