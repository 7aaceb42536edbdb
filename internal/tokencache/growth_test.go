package tokencache

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// BenchmarkGrowth fills a cache key by key, and measures what that costs when
// it is full: each insert, with the fetch that ends at once; a hit on one key;
// a look for a secret that is not there; and the memory of a key, without its
// value's secret.
//
//	go test -run '^$' -bench Growth -benchtime 1x ./internal/tokencache
func BenchmarkGrowth(b *testing.B) {
	for _, keys := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			for b.Loop() {
				grow(b, keys)
			}
		})
	}
}

func grow(b *testing.B, keys int) {
	secrets := make([]string, keys)
	for key := range keys {
		secrets[key] = fmt.Sprint("secret of ", key)
	}
	took := make([]time.Duration, keys)
	s := &server{lifetime: time.Hour, limit: keys}
	c := s.cache()
	before := inUse()
	for key := range keys {
		start := time.Now()
		e := &Entry[int, value]{key: key, hash: c.options.Hash(&key)}
		f := c.newFlight(e, new(permit), false, Now())
		c.add(e)
		c.complete(context.Background(), e, f, &value{NewTimes(Now(), time.Hour), secrets[key]}, nil, false)
		took[key] = time.Since(start)
	}
	b.ReportMetric(float64(inUse()-before)/float64(keys), "B/key")
	slices.Sort(took)
	b.ReportMetric(took[keys*999/1000].Seconds()*1e6, "p99.9-µs/insert")
	b.ReportMetric(took[keys-1].Seconds()*1e6, "worst-µs/insert")
	b.ReportMetric(per(100_000, func(int) {
		key := keys / 2
		if c.Hit(c.Find(uint64(key)*0x9e3779b97f4a7c15, func(k *int) bool { return *k == key })) == nil {
			b.Fatal("no hit")
		}
	}), "ns/hit")
	b.ReportMetric(per(1000, func(n int) { c.Invalidate(fmt.Sprint("unknown ", n)) }), "ns/invalidate")
	runtime.KeepAlive(c)
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// per is what one of n calls takes, in nanoseconds.
func per(n int, call func(int)) float64 {
	start := time.Now()
	for i := range n {
		call(i)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}
