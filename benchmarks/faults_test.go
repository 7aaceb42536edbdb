package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// wreck is one way for the network to fail, and what a caller may see of it.
type wreck struct {
	name     string
	line     line
	attempts [2]int // fewest and most
	sees     string // the anchor of the page that the error names; empty for a token

	before func(t *testing.T, p *proxy, token func() error) // what leads up to it
	again  string                                           // a second look, once the line is mended: what it is called
}

var wrecks = []wreck{
	{name: "none", attempts: [2]int{1, 1}},
	{name: "latency of 500 ms each way", line: line{latency: 500 * time.Millisecond}, attempts: [2]int{1, 1}},
	{name: "1 KB/s each way", line: line{rate: 1000}, attempts: [2]int{1, 1}},
	{name: "reset when the answer comes", line: line{reset: true}, attempts: [2]int{3, 3}, sees: "reset"},
	{name: "black hole", line: line{swallow: true}, attempts: [2]int{2, 2}, sees: "timeout"},
	{
		name: "half-open: a kept connection has gone dead, new ones work", attempts: [2]int{2, 2},
		before: func(t *testing.T, p *proxy, token func() error) {
			if err := token(); err != nil {
				t.Fatal(err)
			}
			p.deaden()
		},
	},
	{
		name: "a kept connection is closed", attempts: [2]int{1, 2},
		before: func(t *testing.T, p *proxy, token func() error) {
			if err := token(); err != nil {
				t.Fatal(err)
			}
			p.down()
			if err := p.up(); err != nil {
				t.Fatal(err)
			}
		},
	},
	{
		name: "down", attempts: [2]int{3, 3}, sees: "refused", again: "up again",
		before: func(_ *testing.T, p *proxy, _ func() error) { p.down() },
	},
}

// TestFaults breaks the network between the library and a Maskinporten on a
// loopback address, through a TCP proxy. The library's own HTTP client is
// used, with its time limits: a black hole takes half a minute.
func TestFaults(t *testing.T) {
	rows := make([][]string, len(wrecks)+2)
	rows[0] = []string{"fault", "attempts", "grants that reached the line", "took", "the caller saw", "a grant sent twice"}
	t.Run("line", func(t *testing.T) {
		for i, w := range wrecks {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				rows[i+1] = w.suffer(t)
			})
		}
		t.Run("truncation", func(t *testing.T) {
			t.Parallel()
			rows[len(wrecks)+1] = truncations(t)
		})
	})
	report(t, "faults", rows)
}

// suffer lets one client meet the fault. Once it is over, a token must be had.
func (w wreck) suffer(t *testing.T) []string {
	fake := maskinportentest.NewServer()
	t.Cleanup(fake.Close)
	p := newProxy(t, fakeAddress(fake), w.line)
	client, source := clientThrough(t, fake, p.address)
	token := func() error {
		issued, err := client.Token(context.Background(), request)
		if err == nil {
			client.Invalidate(issued.AccessToken()) // so that the next call fetches again
		}
		return err
	}
	if w.before != nil {
		w.before(t, p, token)
	}
	askedBefore, sentBefore := source.asked.Load(), len(p.grants())
	start := time.Now()
	err := token()
	took := time.Since(start)
	attempts, sent := int(source.asked.Load()-askedBefore), len(p.grants())-sentBefore

	if got := anchor(err); got != w.sees {
		t.Errorf("the caller saw %q (%v), expected %q", got, err, w.sees)
	}
	if err != nil && !errors.Is(err, maskinporten.ErrUnavailable) {
		t.Errorf("not ErrUnavailable: %v", err)
	}
	if attempts < w.attempts[0] || attempts > w.attempts[1] {
		t.Errorf("%d attempts, expected %d to %d", attempts, w.attempts[0], w.attempts[1])
	}
	p.set(line{})
	if w.again != "" {
		if err := p.up(); err != nil {
			t.Fatal(err)
		}
	}
	back := recovers(t, token)
	saw := sawText(err)
	if w.again != "" {
		saw += fmt.Sprintf("; %s: a token after %s", w.again, round(back))
	}
	return []string{w.name, fmt.Sprint(attempts), fmt.Sprint(sent), round(took), saw, onlyOnce(t, p)}
}

// truncations cuts the answer after every number of bytes that is too few.
func truncations(t *testing.T) []string {
	fake := maskinportentest.NewServer()
	t.Cleanup(fake.Close)
	whole := newProxy(t, fakeAddress(fake), line{})
	client, _ := clientThrough(t, fake, whole.address)
	if _, err := client.Token(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	whole.down() // so that nothing more is counted
	length := whole.answered

	var (
		mu       sync.Mutex
		sights   = make(map[string]int)
		attempts = make(map[int]int)
		least    = time.Hour
		most     time.Duration
		twice    = "no"
		cases    = make(chan int)
		workers  sync.WaitGroup
	)
	for range 32 {
		workers.Go(func() {
			for n := range cases {
				p := newProxy(t, fakeAddress(fake), line{cut: true, cutAt: n})
				client, source := clientThrough(t, fake, p.address)
				start := time.Now()
				_, err := client.Token(context.Background(), request)
				took := time.Since(start)
				p.down()
				if (err == nil) != (p.cuts == 0) {
					t.Errorf("cut after %d bytes: %d cuts, and the caller saw %v", n, p.cuts, err)
				}
				if err != nil && !errors.Is(err, maskinporten.ErrUnavailable) {
					t.Errorf("cut after %d bytes: not ErrUnavailable: %v", n, err)
				}
				once := onlyOnce(t, p)
				mu.Lock()
				if err != nil {
					sights[anchor(err)]++
					attempts[int(source.asked.Load())]++
					least, most = min(least, took), max(most, took)
				}
				if once != "no" {
					twice = once
				}
				mu.Unlock()
			}
		})
	}
	for n := range length + 1 {
		cases <- n
	}
	close(cases)
	workers.Wait()
	var saw []string
	for sight, n := range sights {
		saw = append(saw, fmt.Sprintf("ErrUnavailable, %s ×%d", sight, n))
	}
	slices.Sort(saw)
	if attempts[3] != length || len(attempts) != 1 {
		t.Errorf("attempts → cases: %v, expected three in each of %d", attempts, length)
	}
	return []string{
		fmt.Sprintf("the answer cut after n bytes, each n from 0 to %d", length-1), "3 each", "3 each",
		round(least) + " to " + round(most), strings.Join(saw, ", ") + "; whole: a token", twice,
	}
}

func fakeAddress(fake *maskinportentest.Fake) string {
	return strings.TrimSuffix(strings.TrimPrefix(fake.Environment().Issuer, "http://"), "/")
}

// clientThrough is a client of the fake with the library's own HTTP client,
// whose way to the token endpoint leads through address.
func clientThrough(t testing.TB, fake *maskinportentest.Fake, address string) (*maskinporten.Client, *countingSource) {
	t.Helper()
	cfg := fake.Config()
	source := &countingSource{CredentialSource: cfg.Credential}
	cfg.Credential = source
	cfg.Environment.TokenURL = "http://" + address + "/token"
	cfg.HTTPClient = nil
	client, err := maskinporten.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client, source
}

// countingSource counts attempts: it is asked once for each.
type countingSource struct {
	maskinporten.CredentialSource
	asked atomic.Int64
}

func (s *countingSource) Credential(ctx context.Context) (*maskinporten.Credential, error) {
	s.asked.Add(1)
	return s.CredentialSource.Credential(ctx)
}

// recovers asks until a token comes: a failure is remembered for a moment.
func recovers(t *testing.T, token func() error) time.Duration {
	start := time.Now()
	for {
		err := token()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > 40*time.Second {
			t.Errorf("no token once the line was mended: %v", err)
			return time.Since(start)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

var anchorOf = regexp.MustCompile(`#([a-z-]+)`)

// anchor is where the error sends its reader; empty for no error.
func anchor(err error) string {
	if err == nil {
		return ""
	}
	if m := anchorOf.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return err.Error()
}

func sawText(err error) string {
	if err == nil {
		return "a token"
	}
	return "ErrUnavailable, " + anchor(err)
}

// onlyOnce looks at all that was sent.
func onlyOnce(t *testing.T, p *proxy) string {
	t.Helper()
	seen := make(map[string]bool)
	for _, id := range p.grants() {
		if id == "" || seen[id] {
			t.Errorf("grant %q was sent twice, or has no id", id)
			return "**yes**"
		}
		seen[id] = true
	}
	return "no"
}

func round(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
