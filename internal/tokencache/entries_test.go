package tokencache

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

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
				s := &server{lifetime: time.Hour, limit: 20000}
				c := s.cache()
				get := func(from, n int) {
					for key := range n {
						_, err := c.get(t.Context(), from+key)
						require.NoError(t, err)
					}
				}
				get(0, tt.alive)
				s.lifetime = time.Minute
				get(1e6, dead)
				require.Equal(t, dead+tt.alive, c.Len())
				time.Sleep(2 * time.Minute)
				get(2e6, dead/10)
				left := tt.alive + dead/10
				require.Equal(t, left, c.Len())
				require.LessOrEqual(t, int(c.index.size.Load()), 4*left)
				require.LessOrEqual(t, len(c.full.chunks)*chunkSize, left+2*chunkSize)
				get(0, tt.alive)
				require.EqualValues(t, dead+left, s.fetches.Load(), "those alive were kept")
			})
		})
	}
}

func TestLimitEvictsTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour}
		c := s.cache()
		get := func(key int) {
			_, err := c.get(t.Context(), key)
			require.NoError(t, err)
		}
		const hot = -1
		get(hot)
		for key := range 5000 {
			get(key)
			get(hot)
			require.LessOrEqual(t, c.Len(), 1000)
		}
		require.EqualValues(t, 5001, s.fetches.Load(), "the hot key was never evicted")
		get(0)
		require.EqualValues(t, 5002, s.fetches.Load(), "one that was is fetched again")
	})
}

func TestEntriesWithoutAValueGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: time.Hour, limit: 100, fail: func(f Flight[int]) *Failure {
			if *f.Key >= 1000 {
				return refusal()
			}
			return nil
		}}
		c := s.cache()
		for key := range 99 {
			_, err := c.get(t.Context(), key)
			require.NoError(t, err)
		}
		for key := range 500 {
			_, err := c.get(t.Context(), 1000+key)
			require.ErrorIs(t, err, errRefused)
		}
		require.Equal(t, 100, c.Len())
		for key := range 99 {
			require.NotNil(t, c.Hit(c.entryOf(key)), "failures drive out no value")
		}
	})
}

// The limit holds at every moment of a burst, whatever is under way.
func TestLimitHoldsInABurst(t *testing.T) {
	for _, flights := range []int{1, 10, 100, 1000} {
		t.Run(fmt.Sprint(flights), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit = 100
				s := &server{lifetime: time.Hour, latency: time.Second, limit: limit, flights: flights}
				c := s.cache()
				var wg sync.WaitGroup
				for key := range 2 * limit {
					wg.Go(func() {
						_, err := c.get(t.Context(), key)
						require.NoError(t, err)
						require.LessOrEqual(t, c.Len(), limit)
					})
				}
				wg.Wait()
				synctest.Wait()
				require.Equal(t, limit, c.Len())
				require.Equal(t, limit, c.full.len+c.empty.len, "each stands in a queue again")
				require.Equal(t, limit, c.secrets.count)
				require.Equal(t, limit, c.index.count)
			})
		})
	}
}

// An entry that leaves while somebody holds it is looked up anew.
func TestEvictedEntryIsFetchedAnew(t *testing.T) {
	s := &server{lifetime: time.Hour, limit: 1}
	c := s.cache()
	_, err := c.get(t.Context(), 1)
	require.NoError(t, err)
	e := c.entryOf(1)
	_, err = c.get(t.Context(), 2)
	require.NoError(t, err)
	require.Nil(t, c.Hit(e), "what has left holds nothing")
	require.Equal(t, 1, *e.Key())
	v, _, err := c.getOrStart(t.Context(), e, new(permit))
	require.Nil(t, v)
	require.Equal(t, errAgain, err)
	_, _, err = c.newer(t.Context(), e, nil, new(permit), nil)
	require.Equal(t, errAgain, err)
	require.Equal(t, Verdict{Again: true}, c.Reject(e, new(value), false))
	require.Equal(t, 1, c.Len())
}
