package tokencache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A refresh that is postponed is tried again a second later, and counts as
// neither a fetch nor a failure.
func TestPostponedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		first, _ := c.get(t.Context(), 1)
		counted := 0
		s.count = func(o Outcome[int, value]) { counted++; require.False(t, o.Repeated) }
		s.fail = func(f Flight[int]) *Failure {
			require.True(t, f.Background)
			require.Nil(t, f.Previous)
			return Postponed
		}
		time.Sleep(91 * time.Second)
		for start := time.Now(); time.Since(start) < 9500*time.Millisecond; time.Sleep(10 * time.Millisecond) {
			v, err := c.get(t.Context(), 1)
			require.NoError(t, err)
			require.Same(t, first, v)
		}
		require.EqualValues(t, 1+10, s.fetches.Load(), "one a second")
		require.Zero(t, counted)

		s.fail = func(Flight[int]) *Failure { return outage() }
		time.Sleep(postponement)
		c.get(t.Context(), 1)
		synctest.Wait()
		require.Equal(t, firstPauseOfTemporary, c.entryOf(1).failure.Load().pause, "the first failure")
		require.Equal(t, 1, counted)
	})
}

// Who has no value left does not wait until the refresh is tried again, nor
// for one that has just been postponed.
func TestPostponedIsForNobodyWhoWaits(t *testing.T) {
	for reason, latency := range map[string]time.Duration{
		"it was postponed":        0,
		"it is about to be":       300 * time.Millisecond,
		"the caller joins it now": 600 * time.Millisecond,
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: 120 * time.Second}
				c := s.cache()
				first, _ := c.get(t.Context(), 1)
				s.fail = func(f Flight[int]) *Failure {
					if f.Background {
						return Postponed
					}
					return nil
				}
				s.hook = func(ctx context.Context, f Flight[int]) {
					if f.Background {
						sleep(ctx, latency)
					}
				}
				time.Sleep(91 * time.Second)
				c.get(t.Context(), 1)
				time.Sleep(300 * time.Millisecond)
				c.Invalidate(first.secret)
				start := time.Now()
				v, err := c.get(t.Context(), 1)
				require.NoError(t, err)
				require.NotSame(t, first, v)
				require.LessOrEqual(t, time.Since(start), max(0, latency-300*time.Millisecond))
			})
		})
	}
}

func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 120 * time.Second}
		c := s.cache()
		var wantHeld, wantRejected *value
		s.hook = func(_ context.Context, f Flight[int]) {
			held, rejected := c.Replaced(f.Key)
			require.Same(t, wantHeld, held)
			require.Same(t, wantRejected, rejected)
		}
		first, _ := c.get(t.Context(), 1)
		wantHeld = first
		time.Sleep(91 * time.Second)
		c.get(t.Context(), 1) // a refresh
		synctest.Wait()
		second, _ := c.get(t.Context(), 1)
		require.NotSame(t, first, second)

		c.Invalidate(second.secret)
		wantHeld, wantRejected = nil, second
		third, _ := c.get(t.Context(), 1)
		c.Reject(c.entryOf(1), third, false)
		wantRejected = third
		_, err := c.get(t.Context(), 1)
		require.NoError(t, err)

		other := 7
		held, rejected := c.Replaced(&other)
		require.Nil(t, held)
		require.Nil(t, rejected)
	})
}
