package tokencache

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPauses(t *testing.T) {
	ms := func(ms ...int) (pauses []time.Duration) {
		for _, n := range ms {
			pauses = append(pauses, time.Duration(n)*time.Millisecond)
		}
		return pauses
	}
	caused := func(cause any) *Failure { return &Failure{Err: errRefused, Cause: cause} }
	for _, tt := range []struct {
		reason   string
		failures []*Failure
		pauses   []time.Duration
	}{
		{"refusals: 1 s growing to 30 s", []*Failure{refusal(), refusal(), refusal(), refusal(), refusal(), refusal(), refusal()},
			ms(1000, 2000, 4000, 8000, 16000, 30000, 30000)},
		{"outages: 100 ms growing to 1 s", []*Failure{outage(), outage(), outage(), outage(), outage(), outage()},
			ms(100, 200, 400, 800, 1000, 1000)},
		{"another kind: it starts anew", []*Failure{refusal(), refusal(), outage(), outage(), refusal()},
			ms(1000, 2000, 100, 200, 1000)},
		{"another cause: it starts anew", []*Failure{caused("a"), caused("a"), caused("b"), caused("b"), caused(nil), caused("b")},
			ms(1000, 2000, 1000, 2000, 1000, 1000)},
		{"Retry-After is the least", []*Failure{{Temporary: true, RetryAfter: 7 * time.Second}, {Temporary: true, RetryAfter: 7 * time.Second}},
			ms(7000, 7000)},
		{"a Retry-After over the longest pause is no reason to shorten it", []*Failure{{RetryAfter: time.Minute}, {}},
			ms(60000, 30000)},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			now := Now()
			var f *failure
			require.False(t, f.holds(now))
			for i, failed := range tt.failures {
				f = f.next(failed, func(a, b any) bool { return a == b }, now)
				require.Equal(t, tt.pauses[i], f.pause, i)
				require.Same(t, failed, f.Failure)
				require.True(t, f.holds(now.add(f.pause-1)))
				now = now.add(f.pause)
				require.False(t, f.holds(now))
			}
		})
	}
}

// another is a failure like f: Fetch returns f itself only if it sent nothing.
func another(f *Failure) *Failure {
	own := *f
	return &own
}

func TestFailuresAreSharedAndRemembered(t *testing.T) {
	for _, tt := range []struct {
		reason string
		failed *Failure
		pauses []time.Duration
	}{
		{"a refusal", refusal(), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		{"an outage", outage(), []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}},
		{"Retry-After", &Failure{Err: errOutage, Temporary: true, RetryAfter: 30 * time.Second}, []time.Duration{30 * time.Second, 30 * time.Second}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: time.Minute, latency: 300 * time.Millisecond, fail: func(f Flight[int]) *Failure {
					if *f.Key == 1 {
						return another(tt.failed)
					}
					return nil
				}}
				c := s.cache()
				for i, pause := range tt.pauses {
					var wg sync.WaitGroup
					start := time.Now()
					for range 10 {
						wg.Go(func() {
							_, err := c.get(t.Context(), 1)
							require.ErrorIs(t, err, tt.failed.Err)
						})
					}
					wg.Wait()
					require.Equal(t, 300*time.Millisecond, time.Since(start), "the failure is shared")
					require.EqualValues(t, i+1, s.fetches.Load())
					for _, wait := range []time.Duration{0, pause - 1} {
						time.Sleep(wait)
						before := time.Now()
						_, err := c.get(t.Context(), 1)
						require.ErrorIs(t, err, tt.failed.Err)
						require.Equal(t, before, time.Now())
						require.EqualValues(t, i+1, s.fetches.Load(), "remembered for %s", pause)
					}
					time.Sleep(time.Nanosecond)
				}
				_, err := c.get(t.Context(), 2)
				require.NoError(t, err, "another key is not touched")
			})
		})
	}
}

func TestFailedRefreshIsPaced(t *testing.T) {
	for _, tt := range []struct {
		reason string
		failed *Failure
		most   int64
	}{
		{"a refusal: 1 s, 2 s, 4 s, 8 s, 16 s", refusal(), 1 + 7},
		{"an outage: 100 ms growing to 1 s", outage(), 1 + 36},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: 120 * time.Second}
				c := s.cache()
				first, _ := c.get(t.Context(), 1)
				synctest.Wait()
				s.fail = func(Flight[int]) *Failure { return another(tt.failed) }
				time.Sleep(85 * time.Second)
				news := 0
				s.after = func(o Outcome[int, value]) {
					if !o.Repeated {
						news++
					}
				}
				for first.Left(Now()) > 0 {
					before := time.Now()
					v, err := c.get(t.Context(), 1)
					require.NoError(t, err, "the value lives")
					require.Same(t, first, v)
					require.Equal(t, before, time.Now(), "nobody waits while it lives")
					time.Sleep(5 * time.Millisecond)
				}
				synctest.Wait()
				require.LessOrEqual(t, s.fetches.Load(), tt.most)
				require.Greater(t, s.fetches.Load(), int64(4))
				require.Equal(t, 1, news)
				_, err := c.get(t.Context(), 1)
				require.ErrorIs(t, err, tt.failed.Err, "now it has run out")
				synctest.Wait()
				s.fail = nil
				time.Sleep(maxPause)
				_, err = c.get(t.Context(), 1)
				require.NoError(t, err)
			})
		})
	}
}

func TestRefusalWaitsForItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := "old"
		looks := 0
		s := &server{lifetime: time.Minute, changed: func(f *Failure) bool { looks++; return f.Cause != cause }}
		counted := 0
		s.count = func(Outcome[int, value]) { counted++ }
		sent, one := 0, 1
		s.fail = func(Flight[int]) *Failure {
			if sent++; cause == "old" {
				return &Failure{Err: errRefused, Cause: cause}
			}
			return nil
		}
		c := s.cache()
		for range 10 {
			r, err := c.Get(t.Context(), &one)
			require.ErrorIs(t, err, errRefused)
			require.Equal(t, sent == 1 && looks == 0, r.Waited != nil, "a look is no fetch")
		}
		require.Equal(t, 1, sent, "while the pause lasts nothing is sent for the same cause")
		require.Equal(t, 1, counted, "and a fetch that sent nothing does not count as one")
		require.Equal(t, 9, looks)
		require.EqualValues(t, 1, s.fetches.Load())
		require.EqualValues(t, 1, s.started.Load())
		require.EqualValues(t, 1, s.ended.Load())
		require.Equal(t, firstPause, c.entryOf(1).failure.Load().pause, "nor does the pause grow for it")
		cause = "new"
		_, err := c.get(t.Context(), 1)
		require.NoError(t, err, "another cause forgets the refusal at once")
		require.Equal(t, 2, sent)
		require.Equal(t, 2, counted)
	})
}

// While a temporary failure is remembered, Fetch is not asked whatever its cause.
func TestTemporaryPauseAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Minute, fail: func(f Flight[int]) *Failure {
			require.Nil(t, f.Previous)
			return &Failure{Err: errOutage, Temporary: true, Cause: "x"}
		}}
		c := s.cache()
		for range 10 {
			_, err := c.get(t.Context(), 1)
			require.ErrorIs(t, err, errOutage)
		}
		require.EqualValues(t, 1, s.fetches.Load())
	})
}

// A way that fails now and then before anything is sent makes no refusal
// forgotten: the pauses between refused requests grow as without it.
func TestSendingNothingKeepsTheRefusal(t *testing.T) {
	for _, cause := range []any{nil, "credential"} {
		t.Run(fmt.Sprint(cause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, sent := 0, 0
				s := &server{lifetime: time.Minute, fail: func(f Flight[int]) *Failure {
					asked++
					switch {
					case asked%2 == 0 && f.Previous != nil: // it could not even ask
						return f.Previous
					case asked%2 == 0:
						return outage()
					}
					sent++
					return &Failure{Err: errRefused, Cause: cause}
				}}
				c := s.cache()
				for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(10 * time.Millisecond) {
					_, err := c.get(t.Context(), 1)
					require.ErrorIs(t, err, errRefused)
				}
				require.LessOrEqual(t, sent, 6, "1 s, 2 s, 4 s, 8 s, 16 s, 30 s")
				require.GreaterOrEqual(t, sent, 5)
			})
		})
	}
}
