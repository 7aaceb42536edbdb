// Soak has two hundred callers use one client while everything around it
// fails: the line to Maskinporten, Maskinporten itself, tokens, credentials,
// clocks and signing keys. Each call is held to what the library promises.
//
//	go run ./soak -for 10m
//
// A client on a line without faults runs beside it, as a control: what it
// suffers as well in the same second is the machine's doing, and so is what
// happens while the machine stands still for half a second or more, as a
// goroutine that only sleeps finds. The exit status is 1 if anything else was
// violated.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/maskinporten-go/maskinporten/benchmarks/line"
)

var (
	lasts   = flag.Duration("for", 10*time.Minute, "how long the faults go on")
	callers = flag.Int("callers", 200, "goroutines that call through the client")
	keys    = flag.Int("keys", 300, "keys, each with a token of 2 to 10 seconds")
	pause   = flag.Duration("pause", 50*time.Millisecond, "of a caller between two calls")
)

// wellAfter is how soon all must be well once the faults have ended.
const wellAfter = 12 * time.Second

func main() {
	flag.Parse()
	signing, clientKeys := generate(8), generate(2)
	faulty := newWorld("faulty", *keys, signing, clientKeys)
	control := newWorld("control", *keys, signing, clientKeys)
	base := runtime.NumGoroutine()

	ctx, stop := context.WithCancel(context.Background())
	faultyCallers := faulty.run(ctx, *callers, *pause)
	controlCallers := control.run(ctx, *callers/10, *pause)
	time.Sleep(5 * time.Second) // all keys have been called for

	bounds, stalls := watch(ctx, faulty), standstills(ctx)
	counts := faulty.torment(*lasts)
	time.Sleep(wellAfter)
	faulty.recovering.Store(true)
	time.Sleep(15 * time.Second) // longer than any token lives: all are fetched anew
	stop()
	faultyCallers.Wait()
	controlCallers.Wait()
	faulty.close()
	control.close()
	after := settled(base, 45*time.Second)

	ok := render(faulty, control, counts, <-bounds, <-stalls, base, after)
	if !ok {
		os.Exit(1)
	}
}

func generate(n int) (made []*rsa.PrivateKey) {
	for range n {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		made = append(made, key)
	}
	return made
}

// torment makes one thing after another go wrong, at times several, and mends
// all in the end. It returns how often each did.
func (w *world) torment(lasts time.Duration) map[string]int {
	counts := make(map[string]int)
	begin := func(what string) { counts[what]++ }
	w.server.change(func(s *server) { s.failing = 0.3 })
	end := time.Now().Add(lasts)
	credential, tick := 0, 0
	for ; time.Now().Before(end); tick++ {
		if tick%2 == 0 { // a fault for two to seven seconds, then a while without
			f := line.Fault(1 + mathrand.IntN(int(line.Moved)))
			begin(f.String())
			must(w.line.Set(f))
		} else {
			must(w.line.Set(line.Healthy))
		}
		for range 20 {
			key := mathrand.IntN(len(w.seen))
			if access := w.seen[key].Load(); access != nil && mathrand.IntN(4) == 0 {
				begin("token revoked")
				w.server.revoke(*access)
			}
		}
		switch tick % 10 {
		case 3:
			begin("credential exchanged")
			credential = 1 - credential
			w.server.change(func(s *server) { s.clientKey = fmt.Sprint("client-", credential) })
			time.Sleep(300 * time.Millisecond) // for so long the old one is still signed with
			w.cred.Store(w.creds[credential])
		case 5:
			begin("clock stepped")
			step := []time.Duration{-40 * time.Second, 0, 40 * time.Second}[mathrand.IntN(3)]
			w.server.change(func(s *server) { s.clock = step })
		case 7:
			begin("signing key rotated")
			w.server.change(func(s *server) { s.signing = (s.signing + 1) % len(s.keys) })
		}
		w.server.forget(time.Now().Add(-time.Minute))
		time.Sleep(2*time.Second + mathrand.N(5*time.Second))
	}
	must(w.line.Set(line.Healthy))
	w.server.change(func(s *server) { s.failing, s.clock = 0, 0 })
	return counts
}

// peaks are the most that was seen of what is bounded.
type peaks struct {
	goroutines, entries int
	heap                uint64
	firstHeap           uint64
}

// watch looks at what is bounded, until ctx ends.
func watch(ctx context.Context, w *world) <-chan peaks {
	done := make(chan peaks, 1)
	go func() {
		var p peaks
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if p.firstHeap == 0 {
				p.firstHeap = m.HeapAlloc
			}
			p.goroutines = max(p.goroutines, runtime.NumGoroutine())
			p.entries = max(p.entries, w.client.Stats().Entries)
			p.heap = max(p.heap, m.HeapAlloc)
			time.Sleep(time.Second)
		}
		done <- p
	}()
	return done
}

// settled waits until no more goroutines run than at the start, for so long at
// most, and returns how many do.
func settled(base int, most time.Duration) int {
	for end := time.Now().Add(most); runtime.NumGoroutine() > base && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// standstill is a sleep that took half a second too long.
type standstill struct{ from, to time.Time }

func standstills(ctx context.Context) <-chan []standstill {
	done := make(chan []standstill, 1)
	go func() {
		var stood []standstill
		for ctx.Err() == nil {
			start := time.Now()
			time.Sleep(50 * time.Millisecond)
			if time.Since(start) > 550*time.Millisecond {
				stood = append(stood, standstill{start, time.Now()})
			}
		}
		done <- stood
	}()
	return done
}
