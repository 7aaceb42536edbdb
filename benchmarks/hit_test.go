package benchmarks

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkHit is the price of a token that is at hand.
func BenchmarkHit(b *testing.B) {
	for _, goroutines := range []int{1, 2, 8, 10_000} {
		for _, p := range peers {
			b.Run(fmt.Sprintf("goroutines=%d/%s", goroutines, p.name), func(b *testing.B) {
				get := p.make(b, newEndpoint(2*time.Hour))
				ctx := context.Background()
				if token, err := get(ctx); err != nil || len(token) < tokenSize {
					b.Fatal(len(token), err)
				}
				share(b, goroutines, func() {
					if token, err := get(ctx); err != nil || token == "" {
						b.Error(errNoToken, err)
					}
				})
			})
		}
	}
}

// share divides b.N calls among as many goroutines, which start at once.
func share(b *testing.B, goroutines int, call func()) {
	b.Helper()
	b.ReportAllocs()
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for g := range goroutines {
		calls := b.N / goroutines
		if g < b.N%goroutines {
			calls++
		}
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			for range calls {
				call()
			}
		})
	}
	ready.Wait()
	b.ResetTimer()
	close(start)
	done.Wait()
}
