package tokencache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// value is what the cache under test keeps: its keys are ints.
type value struct {
	Times
	secret string
}

// server is who values are fetched from: it counts fetches and answers as told.
type server struct {
	fetches  atomic.Int64
	lifetime time.Duration
	latency  time.Duration
	limit    int // of entries; 1,000 if it is not set
	flights  int // at once; 100 if it is not set

	started, ended atomic.Int64

	fail    func(Flight[int]) *Failure
	changed func(*Failure) bool // false if it is not set
	hook    func(context.Context, Flight[int])
	issue   func(*value)
	count   func(Outcome[int, value])
	after   func(Outcome[int, value])
}

type cache struct {
	*Cache[int, value]
}

var (
	errRefused = errors.New("refused")
	errOutage  = errors.New("outage")
	errLost    = errors.New("the fetch")
)

func refusal() *Failure { return &Failure{Err: errRefused} }
func outage() *Failure  { return &Failure{Err: errOutage, Temporary: true} }

func (s *server) fetch(ctx context.Context, f Flight[int]) (*value, *Failure) {
	n := s.fetches.Add(1)
	sent := Now()
	if s.hook != nil {
		s.hook(ctx, f)
	}
	sleep(ctx, s.latency)
	if err := ctx.Err(); err != nil {
		return nil, &Failure{Err: err, Temporary: true}
	}
	if s.fail != nil {
		if failed := s.fail(f); failed != nil {
			return nil, failed
		}
	}
	v := &value{NewTimes(sent, s.lifetime), fmt.Sprintf("%d#%d", *f.Key, n)}
	if s.issue != nil {
		s.issue(v)
	}
	return v, nil
}

func sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

func (s *server) cache() cache {
	if s.limit == 0 {
		s.limit = 1000
	}
	if s.flights == 0 {
		s.flights = 100
	}
	return cache{New(Options[int, value]{
		Hash:      func(k *int) uint64 { return uint64(*k) * 0x9e3779b97f4a7c15 },
		Equal:     func(a, b *int) bool { return *a == *b },
		Times:     func(v *value) *Times { return &v.Times },
		Secret:    func(v *value) string { return v.secret },
		Fetch:     s.fetch,
		SameCause: func(a, b any) bool { return a == b },
		Start: func(ctx context.Context, f Flight[int]) (context.Context, func(*value, *Failure)) {
			s.started.Add(1)
			return ctx, func(v *value, failed *Failure) {
				s.ended.Add(1)
				if (v == nil) == (failed == nil) {
					panic("neither a value nor a failure, or both")
				}
			}
		},
		CauseChanged: func(_ context.Context, f *Failure) bool { return s.changed != nil && s.changed(f) },
		Lost: func(err error) *Failure {
			return &Failure{Err: fmt.Errorf("%w %w", errLost, err), Temporary: true}
		},
		Count:   func(o Outcome[int, value]) { call(s.count, o) },
		After:   func(_ context.Context, o Outcome[int, value]) { call(s.after, o) },
		Limit:   s.limit,
		Flights: s.flights,
	})}
}

func call[T any](f func(T), arg T) {
	if f != nil {
		f(arg)
	}
}

func (c cache) get(ctx context.Context, key int) (*value, error) {
	r, err := c.Get(ctx, &key)
	return r.Value, err
}

func (c cache) entryOf(key int) *Entry[int, value] {
	return c.entry(c.options.Hash(&key), &key)
}

func TestLifecycleCountsFetches(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Second, 5 * time.Second, 8 * time.Second, 120 * time.Second, 599 * time.Second, time.Hour} {
		t.Run(lifetime.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: lifetime, latency: min(lifetime/50, time.Second)}
				c := s.cache()
				_, err := c.get(t.Context(), 1)
				require.NoError(t, err)

				// Many calls over ten lifetimes: none waits, and one fetch
				// serves at least 0.7 of a lifetime.
				start := time.Now()
				for time.Since(start) < 10*lifetime {
					before := time.Now()
					v, err := c.get(t.Context(), 1)
					require.NoError(t, err)
					require.Equal(t, before, time.Now(), "no call waits")
					require.Positive(t, v.Left(Now()), "nothing dead is handed out")
					time.Sleep(lifetime / 200)
				}
				require.GreaterOrEqual(t, s.fetches.Load(), int64(11))
				require.LessOrEqual(t, s.fetches.Load(), int64(15))
			})
		})
	}
}

func TestStaleIsServedAtOnceAndRefreshedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		s.latency = 200 * time.Millisecond
		time.Sleep(95 * time.Second)
		for range 100 {
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v)
		}
		synctest.Wait()
		require.EqualValues(t, 2, s.fetches.Load())
		require.Same(t, first, c.Hit(c.entryOf(1)), "while another is on its way, that is a hit")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		second, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.EqualValues(t, 2, s.fetches.Load())
	})
}

func TestRefreshOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second, latency: time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		time.Sleep(95 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.get(ctx, 1)
		require.NoError(t, err)
		cancel() // the call that found the value stale is over
		time.Sleep(2 * time.Second)
		second, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.EqualValues(t, 2, s.fetches.Load())
	})
}

// What a caller gets for the age of a value and the flight that it meets.
func TestWhatACallerGets(t *testing.T) {
	for _, tt := range []struct {
		reason  string
		age     time.Duration // of a value that lives 120 s
		earlier bool          // another caller has found the same before
		ended   bool          // the caller's context has
		waits   time.Duration // for a fetch that takes 3 s
		fetches int64         // after the first
		fails   bool
	}{
		{reason: "fresh", age: 80 * time.Second},
		{reason: "stale: refreshed in the background", age: 95 * time.Second, fetches: 1},
		{reason: "stale, and being refreshed", age: 95 * time.Second, earlier: true, fetches: 1},
		{reason: "expired: another may be had", age: 112 * time.Second, waits: 3 * time.Second, fetches: 1},
		{reason: "expired, and somebody waits already", age: 112 * time.Second, earlier: true, waits: 2 * time.Second, fetches: 1},
		{reason: "expired, and the context has ended: the value lives", age: 112 * time.Second, ended: true, fetches: 1},
		{reason: "dead", age: 120 * time.Second, waits: 3 * time.Second, fetches: 1},
		{reason: "dead, and the context has ended: nothing is fetched", age: 120 * time.Second, ended: true, fails: true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: 120 * time.Second}
				c := s.cache()
				first, err := c.get(t.Context(), 1)
				require.NoError(t, err)
				time.Sleep(tt.age)
				s.latency = 3 * time.Second
				if tt.earlier {
					go c.get(t.Context(), 1)
					time.Sleep(time.Second)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.ended {
					cancel()
				}
				before := time.Now()
				v, err := c.get(ctx, 1)
				require.Equal(t, tt.waits, time.Since(before))
				synctest.Wait()
				require.Equal(t, 1+tt.fetches, s.fetches.Load())
				if tt.fails {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				require.NoError(t, err)
				require.Equal(t, tt.waits == 0, v == first)
				time.Sleep(Timeout) // what still flies
			})
		})
	}
}

func TestEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour, limit: 10}
		c := s.cache()
		for key := range 10 {
			_, err := c.get(t.Context(), key)
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for key := range 1000 {
			v, err := c.get(ctx, key)
			if key < 10 {
				require.NoError(t, err, "what is there is handed out")
				require.NotNil(t, v)
				continue
			}
			var wait *WaitError
			require.ErrorAs(t, err, &wait)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.EqualValues(t, 10, s.fetches.Load(), "nothing is fetched")
		require.Equal(t, 10, c.Len(), "and no entry made")
	})
}

func TestInvalidateDropsExactlyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		_, _ = c.get(t.Context(), 2)
		require.Nil(t, c.Invalidate("unknown"))
		require.Equal(t, 1, *c.Invalidate(first.secret))
		require.Nil(t, c.Invalidate(first.secret), "once")
		require.Nil(t, c.Hit(c.entryOf(1)))
		second, err := c.get(t.Context(), 1)
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.EqualValues(t, 3, s.fetches.Load())
		require.Nil(t, c.Invalidate(first.secret), "a late word on the old one")
		third, _ := c.get(t.Context(), 1)
		require.Same(t, second, third)
	})
}

func TestInvalidatedValueDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		s.fail = func(Flight[int]) *Failure { return outage() }
		c.Invalidate(first.secret)
		_, err := c.get(t.Context(), 1)
		require.ErrorIs(t, err, errOutage)
	})
}

// The secrets that Invalidate knows are those of the values held, and no more.
func TestInvalidateKnowsWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second, limit: 50}
		c := s.cache()
		held := func() int {
			c.secretsMu.Lock()
			defer c.secretsMu.Unlock()
			return c.secrets.count
		}
		var secrets []string
		for key := range 200 {
			v, err := c.get(t.Context(), key)
			require.NoError(t, err)
			secrets = append(secrets, v.secret)
		}
		require.Equal(t, 50, held(), "evicted ones are forgotten")
		time.Sleep(95 * time.Second)
		for key := range 200 {
			if e := c.entryOf(key); e != nil {
				_, _ = c.get(t.Context(), key)
			}
		}
		synctest.Wait()
		require.Equal(t, 50, held(), "refreshed ones are replaced")
		for _, secret := range secrets {
			require.Nil(t, c.Invalidate(secret))
		}
		require.Equal(t, 50, c.Len())
	})
}

func TestRefetch(t *testing.T) {
	errTooOften := errors.New("too often")
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour, latency: time.Second}
		c := s.cache()
		asked := 0
		allowed := func() error { asked++; return nil }
		key := 1

		first, err := c.Refetch(t.Context(), &key, nil, allowed)
		require.NoError(t, err, "the first is an ordinary fetch")
		require.Zero(t, asked)
		again, err := c.Refetch(t.Context(), &key, nil, allowed)
		require.NoError(t, err)
		require.Same(t, first, again, "what is at hand is another than the caller's")
		require.Zero(t, asked)

		var wg sync.WaitGroup
		values := make([]*value, 10)
		for i := range values {
			wg.Go(func() { values[i], _ = c.Refetch(t.Context(), &key, first, allowed) })
		}
		wg.Wait()
		require.Equal(t, 1, asked, "one is asked for all who come at once")
		require.EqualValues(t, 2, s.fetches.Load())
		for _, v := range values {
			require.NotSame(t, first, v)
			require.Same(t, values[0], v)
		}

		_, err = c.Refetch(t.Context(), &key, values[0], func() error { return errTooOften })
		require.ErrorIs(t, err, errTooOften)
		require.EqualValues(t, 2, s.fetches.Load())

		s.fail = func(Flight[int]) *Failure { return outage() }
		_, err = c.Refetch(t.Context(), &key, values[0], allowed)
		require.ErrorIs(t, err, errOutage, "and not the value at hand")
		_, err = c.Refetch(t.Context(), &key, values[0], allowed)
		require.ErrorIs(t, err, errOutage)
		require.EqualValues(t, 3, s.fetches.Load(), "a failure is remembered")
		require.Equal(t, 2, asked)
		v, err := c.get(t.Context(), 1)
		require.NoError(t, err, "the value is at hand all the same")
		require.Same(t, values[0], v)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Second)
		_, err = c.Refetch(ctx, &key, values[0], allowed)
		require.ErrorIs(t, err, context.Canceled)
		require.EqualValues(t, 3, s.fetches.Load())
	})
}

func TestHitAllocatesNothing(t *testing.T) {
	s := &server{lifetime: time.Hour}
	c := s.cache()
	_, err := c.get(t.Context(), 1)
	require.NoError(t, err)
	e := c.entryOf(1)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		key := 1
		if c.Find(uint64(key)*0x9e3779b97f4a7c15, func(k *int) bool { return *k == key }) != e || c.Hit(e) == nil {
			panic("no hit")
		}
	}))
}

// A hit goes without the wall clock for a millisecond at most, and never into
// the time when the value is stale.
func TestHitLooksAtTheWallClock(t *testing.T) {
	s := &server{lifetime: time.Hour}
	c := s.cache()
	v, _ := c.get(t.Context(), 1)
	e := c.entryOf(1)
	now := Now()
	require.Same(t, v, c.look(e, now))
	require.Equal(t, c.elapsed(now)+wallClockInterval, time.Duration(e.freshUntil.Load()))
	require.Nil(t, c.look(e, Instant{now.mono, now.wall + int64(time.Hour)}), "the machine was suspended for an hour")
	require.Nil(t, c.look(e, Instant{now.mono + time.Hour, now.wall}), "the wall clock was set back an hour")
	last := v.Sent.add(v.Stale - time.Nanosecond)
	require.Same(t, v, c.look(e, last))
	require.Equal(t, c.elapsed(last)+time.Nanosecond, time.Duration(e.freshUntil.Load()))
}
