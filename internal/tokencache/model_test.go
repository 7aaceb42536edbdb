package tokencache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCacheAgainstAModel runs random sequences of calls, failures,
// invalidations, rejections, evictions and cancellations, and holds what comes
// out to a model: which value may be handed out when, and at what price.
func TestCacheAgainstAModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				m := &model{dropped: map[*value]bool{}, issued: map[*value]bool{}, flying: map[int]int{}}
				lifetimes := []time.Duration{time.Second, 8 * time.Second, 2 * time.Minute, time.Hour}
				lifetime := lifetimes[rnd.IntN(len(lifetimes))]
				s := &server{lifetime: lifetime, limit: 2 + rnd.IntN(3), flights: 1 + rnd.IntN(3)}
				var mode atomic.Value
				var latency atomic.Int64
				mode.Store("ok")
				s.fail = func(Flight[int]) *Failure {
					switch mode.Load() {
					case "refuse":
						return refusal()
					case "outage":
						return outage()
					}
					return nil
				}
				s.hook = func(ctx context.Context, f Flight[int]) {
					m.fly(*f.Key, 1)
					defer m.fly(*f.Key, -1)
					sleep(ctx, time.Duration(latency.Load()))
				}
				s.issue = m.issue
				c := s.cache()
				m.cache = c
				var wg sync.WaitGroup
				for range 400 {
					key := rnd.IntN(4)
					switch rnd.IntN(12) {
					case 0:
						mode.Store([]string{"ok", "ok", "refuse", "outage"}[rnd.IntN(4)])
						latency.Store(rnd.Int64N(int64(lifetime / 2)))
					case 1:
						if v := m.current(key); v != nil {
							m.drop(v)
							if rnd.IntN(2) == 0 || !c.Reject(c.entryOf(key), v, false).Again {
								c.Invalidate(v.secret)
							}
						}
					case 2, 3:
						time.Sleep(time.Duration(rnd.Int64N(int64(lifetime / 3))))
					default:
						timeout := time.Duration(rnd.Int64N(int64(lifetime)))
						wg.Go(func() { m.call(t, key, timeout) })
						synctest.Wait()
					}
					require.LessOrEqual(t, c.Len(), s.limit)
				}
				wg.Wait()
				time.Sleep(Timeout + time.Second) // the flights that nobody waits for
				synctest.Wait()
				require.LessOrEqual(t, m.most, 1, "one flight a key")
				require.LessOrEqual(t, m.mostInAll, s.flights)
				require.Empty(t, c.permits)
				require.Equal(t, c.Len(), c.empty.len+c.full.len)
			})
		})
	}
}

type model struct {
	cache
	mu              sync.Mutex
	issued, dropped map[*value]bool
	flying          map[int]int
	inAll           int
	most, mostInAll int
}

func (m *model) fly(key, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying[key] += by
	m.inAll += by
	m.most, m.mostInAll = max(m.most, m.flying[key]), max(m.mostInAll, m.inAll)
}

func (m *model) issue(v *value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.issued[v] = true
}

func (m *model) drop(v *value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropped[v] = true
}

func (m *model) current(key int) *value {
	if e := m.entryOf(key); e != nil {
		return e.value.Load()
	}
	return nil
}

func (m *model) call(t *testing.T, key int, timeout time.Duration) {
	had := m.current(key) // read before the call, so nobody can have dropped it for this one
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := Now()
	v, err := m.get(ctx, key)
	waited := Now().Since(start)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if had != nil && !m.dropped[had] && m.current(key) == had {
			require.LessOrEqual(t, had.Left(Now()), time.Duration(0), "a living value was there to be had")
		}
		require.LessOrEqual(t, waited, timeout)
		return
	}
	require.True(t, strings.HasPrefix(v.secret, fmt.Sprint(key, "#")), "no key's value goes to another")
	require.True(t, m.issued[v], "every value was issued")
	require.Positive(t, v.Left(Now()), "and lives")
	if had == v {
		require.False(t, m.dropped[v], "a dropped value is not handed out")
	}
	if had != nil && !m.dropped[had] && had.state(start) < expired {
		require.Zero(t, waited, "nobody waits while a value is there")
	}
}
