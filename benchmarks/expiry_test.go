package benchmarks

import (
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// The tokens of each peer live as long as it takes to have it look for the
// next one about a second and a half after the first: the peers' margins are
// fixed, ours is a quarter of the lifetime.
var expiryLifetimes = map[string]time.Duration{
	ours:        2 * time.Second,
	oursClient:  2 * time.Second,
	oursOAuth2:  2 * time.Second,
	theirOAuth2: 11500 * time.Millisecond, // 10 s margin
	theirAWS:    1500 * time.Millisecond,  // none
	theirGoogle: 226500 * time.Millisecond,
	theirAzure:  1500 * time.Millisecond, // it asks again within 5 min, but at most every 30 s
	theirGitHub: 61500 * time.Millisecond,
}

const (
	expiryLatency = 200 * time.Millisecond
	expiryWatched = 1900 * time.Millisecond
	outageStarts  = 1200 * time.Millisecond
	aroundFrom    = 1300 * time.Millisecond // what is plotted
)

// BenchmarkExpiry watches twenty callers, who call once a millisecond each,
// while a token comes to its end and the endpoint takes 200 ms: how long the
// worst call took and how many there were. In the outage the endpoint takes as
// long and then fails, from before the refresh on; lost are the calls that got
// no token at a moment at which one lived that had been issued.
func BenchmarkExpiry(b *testing.B) {
	for _, mode := range []string{"slow", "outage"} {
		for _, p := range peers {
			b.Run(mode+"/"+p.name, func(b *testing.B) {
				var seen watch
				for b.Loop() {
					seen = watchExpiry(b, p, mode == "outage", 20, time.Millisecond, nil)
				}
				b.ReportMetric(float64(seen.calls)/expiryWatched.Seconds(), "calls/s")
				b.ReportMetric(seen.worst.Seconds()*1000, "worst-ms")
				b.ReportMetric(float64(seen.lost), "lost")
				b.ReportMetric(0, "ns/op") // the length of the scenario
			})
		}
	}
}

type watch struct {
	calls, lost int
	worst       time.Duration
}

func (w *watch) add(other watch) {
	w.calls += other.calls
	w.lost += other.lost
	w.worst = max(w.worst, other.worst)
}

// watchExpiry reports every call to each, if that is not nil, one at a time.
func watchExpiry(t testing.TB, p peer, outage bool, callers int, pause time.Duration, each func(at, took time.Duration)) watch {
	e := newEndpoint(expiryLifetimes[p.name])
	get := p.make(t, e)
	if _, err := get(context.Background()); err != nil {
		t.Fatal(err)
	}
	lives := time.Now().Add(e.lifetime - 20*time.Millisecond) // that of the first token, for an outage
	e.latency.Store(int64(expiryLatency))
	if outage {
		defer time.AfterFunc(outageStarts, func() { e.down.Store(true) }).Stop()
	}
	var (
		mu   sync.Mutex
		all  watch
		done sync.WaitGroup
	)
	begin := time.Now()
	for i := range callers {
		done.Go(func() {
			var own watch
			time.Sleep(pause * time.Duration(i) / time.Duration(callers))
			for {
				start := time.Now()
				if start.Sub(begin) > expiryWatched {
					break
				}
				_, err := get(context.Background())
				took := time.Since(start)
				own.calls++
				own.worst = max(own.worst, took)
				if err != nil && time.Now().Before(lives) {
					own.lost++
				}
				if each != nil {
					mu.Lock()
					each(start.Sub(begin), took)
					mu.Unlock()
				}
				time.Sleep(pause)
			}
			mu.Lock()
			all.add(own)
			mu.Unlock()
		})
	}
	done.Wait()
	return all
}

// TestExpiryLatencies records every call around an expiry, for the plot.
func TestExpiryLatencies(t *testing.T) {
	for name, file := range map[string]string{ours: "maskinporten", theirOAuth2: "oauth2", theirAWS: "aws"} {
		t.Run(file, func(t *testing.T) {
			var rows [][]string
			seen := watchExpiry(t, peerNamed(t, name), false, 10, 10*time.Millisecond, func(at, took time.Duration) {
				if at < aroundFrom {
					return
				}
				rows = append(rows, []string{strconv.FormatInt(at.Nanoseconds(), 10), strconv.FormatInt(took.Nanoseconds(), 10)})
			})
			t.Logf("%d calls, the worst took %v", seen.calls, seen.worst)
			if *results == "" {
				return
			}
			out, err := os.Create(filepath.Join(*results, "expiry-"+file+".csv"))
			if err != nil {
				t.Fatal(err)
			}
			if err := csv.NewWriter(out).WriteAll(rows); err != nil {
				t.Fatal(err)
			}
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
