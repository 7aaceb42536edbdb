package benchmarks

import (
	"context"
	"sync"
	"testing"
	"time"
)

// BenchmarkCold is a thousand callers at once who find no token, with an
// endpoint that takes 20 ms: the time until all have one, and what it cost in
// fetches. Ours and ghinstallation sign a grant for it, the others do not.
func BenchmarkCold(b *testing.B) {
	const callers = 1000
	for _, p := range peers {
		b.Run(p.name, func(b *testing.B) {
			e := newEndpoint(2 * time.Hour)
			e.latency.Store(int64(20 * time.Millisecond))
			bursts := 0
			for b.Loop() {
				b.StopTimer()
				get := p.make(b, e)
				b.StartTimer()
				bursts++
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						if token, err := get(context.Background()); err != nil || token == "" {
							b.Error(errNoToken, err)
						}
					})
				}
				all.Wait()
			}
			b.ReportMetric(float64(e.issued.Load())/float64(bursts), "fetches/burst")
		})
	}
}
