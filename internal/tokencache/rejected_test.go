package tokencache

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// rejecting is a cache with a value that has long been at hand.
type rejecting struct {
	cache
	e     *Entry[int, value]
	first *value
}

// next is what comes in the place of a dropped value.
func (r *rejecting) next() *value {
	v, err := r.get(context.Background(), 1)
	if err != nil {
		panic(err)
	}
	return v
}

// exhaust takes all replacements, and returns the last value.
func (r *rejecting) exhaust(t *testing.T) *value {
	v := r.first
	for range maxReplacements {
		require.True(t, r.Reject(r.e, v, false).Again)
		v = r.next()
	}
	return v
}

func TestReject(t *testing.T) {
	for _, tt := range []struct {
		reason string
		do     func(*rejecting) Verdict
		want   Verdict
		held   bool // a value is there afterwards
	}{
		{"at hand: dropped, and worth another try", func(w *rejecting) Verdict {
			return w.Reject(w.e, w.first, false)
		}, Verdict{Again: true}, false},
		{"just fetched: another would fare no better", func(w *rejecting) Verdict {
			return w.Reject(w.e, w.first, true)
		}, Verdict{}, true},
		{"just fetched by another call, which was rejected too", func(w *rejecting) Verdict {
			w.Reject(w.e, w.first, true)
			return w.Reject(w.e, w.first, false)
		}, Verdict{Again: true}, false},
		{"late, and another has come since", func(w *rejecting) Verdict {
			w.Reject(w.e, w.first, false)
			w.next()
			return w.Reject(w.e, w.first, false)
		}, Verdict{Again: true}, true},
		{"late, and another is to come", func(w *rejecting) Verdict {
			w.Reject(w.e, w.first, false)
			return w.Reject(w.e, w.first, false)
		}, Verdict{Again: true}, false},
		{"late, and what has come since is known to be rejected", func(w *rejecting) Verdict {
			w.Reject(w.e, w.first, false)
			w.Reject(w.e, w.next(), true)
			return w.Reject(w.e, w.first, false)
		}, Verdict{}, true},
		{"late, of one just fetched", func(w *rejecting) Verdict {
			w.Reject(w.e, w.first, false)
			w.next()
			return w.Reject(w.e, w.first, true)
		}, Verdict{}, true},
		{"no replacement is left: kept", func(w *rejecting) Verdict {
			v := w.exhaust(t)
			return w.Reject(w.e, v, false)
		}, Verdict{Exhausted: true}, true},
		{"none is left, which is said once", func(w *rejecting) Verdict {
			v := w.exhaust(t)
			w.Reject(w.e, v, false)
			return w.Reject(w.e, v, false)
		}, Verdict{}, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: time.Hour}
				w := &rejecting{cache: s.cache()}
				w.first, _ = w.get(t.Context(), 1)
				w.e = w.entryOf(1)
				require.Equal(t, tt.want, tt.do(w))
				require.Equal(t, tt.held, w.e.value.Load() != nil)
			})
		})
	}
}

// Whatever the pattern of rejections, replacements are five and one more every
// half minute; and one that is due is never withheld.
func TestReplacementsAreBudgeted(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		rejected func(n int) bool // by the number of the call
	}{
		{"always", func(int) bool { return true }},
		{"one path, beside one that is fine", func(n int) bool { return n%2 == 0 }},
		{"at random", func(int) bool { return rand.IntN(10) == 0 }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{lifetime: 24 * time.Hour}
				c := s.cache()
				start, n, exhausted := time.Now(), 0, 0
				for ; time.Since(start) < 10*time.Minute; time.Sleep(37 * time.Millisecond) {
					r, err := c.Get(t.Context(), new(int))
					require.NoError(t, err)
					if n++; tt.rejected(n) {
						verdict := c.Reject(r.Entry, r.Value, r.Waited != nil)
						if verdict.Exhausted {
							exhausted++
						}
					}
					allowed := 1 + maxReplacements + int64(time.Since(start)/replacementInterval)
					require.LessOrEqual(t, s.fetches.Load(), allowed)
				}
				require.EqualValues(t, 1+maxReplacements+19, s.fetches.Load())
				require.Equal(t, 1, exhausted)
			})
		})
	}
}

func TestRevocationsNowAndThenAreMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lifetime: 24 * time.Hour}
		c := s.cache()
		for range 50 {
			r, err := c.Get(t.Context(), new(int))
			require.NoError(t, err)
			require.Equal(t, Verdict{Again: true}, c.Reject(r.Entry, r.Value, false))
			time.Sleep(replacementInterval)
		}
	})
}
