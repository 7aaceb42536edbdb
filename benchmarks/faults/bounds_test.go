package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// limit is how many keys a client holds at most.
const limit = 100_000

// bounds are what the library must not grow beyond, or spend.
func bounds() []scenario {
	return []scenario{
		{"120,000 keys asked for at once: entries afterwards (the limit is 100,000)", true, burst},
		{"a Prefetch of 150,000 requests whose context has ended: of 1,000 tokens at hand stay", true, endedPrefetch},
		{"five calls to Skatteetaten whose context ends and whose bodies are never closed: the sixth", true, lostPlaces},
		{"a path that always answers 401 beside one that is fine, ten minutes: token requests", true, always401},
		{"ten revocations at an API that answers 403 and 404, ten calls a second: calls that saw a 401", true, revocations},
		{"a 401 whose body drips a byte a second for an hour: the call took", true, dripping},
		{"a Prefetch of three requests alike that are refused: failed, by its error", true, threeAlike},
	}
}

func burst(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.lives = time.Hour
	e.answer = func(int, http.ResponseWriter, grant) bool { time.Sleep(time.Second); return false }
	client := newClient(t, config(t, e))
	var callers sync.WaitGroup
	for n := range limit + limit/5 {
		callers.Go(func() { client.Token(t.Context(), request(n)) })
	}
	callers.Wait()
	synctest.Wait()
	entries := client.Stats().Entries
	return thousands(entries), entries <= limit
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func endedPrefetch(t *testing.T) (string, bool) {
	const held = 1000
	e := newEndpoint()
	e.lives = time.Hour
	client := newClient(t, config(t, e))
	for n := range held {
		if _, err := client.Token(t.Context(), request(n)); err != nil {
			t.Fatal(err)
		}
	}
	var requests []maskinporten.Request
	for n := range limit + limit/2 {
		requests = append(requests, request(held+n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client.Prefetch(ctx, requests, 0, nil)
	synctest.Wait()
	before := e.requests()
	for n := range held {
		if _, err := client.Token(t.Context(), request(n)); err != nil {
			t.Fatal(err)
		}
	}
	kept := held - (e.requests() - before)
	return thousands(kept), kept == held
}

// roundTrip is an API in memory.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, status int, body io.Reader) (*http.Response, error) {
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}, nil
}

func lostPlaces(t *testing.T) (string, bool) {
	api, err := inntekt(newClient(t, config(t, newEndpoint())), roundTrip(func(r *http.Request) (*http.Response, error) {
		return answer(r, http.StatusOK, strings.NewReader("{}"))
	}))
	must(err)
	call := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://inntekt.api.skatteetaten-test.no/v1/otp/person/inntekter", nil)
		must(err)
		_, err = api.Do(req)
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range 5 {
		if err := call(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	synctest.Wait()
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	err = call(ctx)
	if err != nil {
		return "fails after " + round(time.Since(start)), false
	}
	return "is answered after " + round(time.Since(start)), time.Since(start) < time.Second
}

// through is a client with tokens for an API in memory.
func through(t *testing.T, e *endpoint, api roundTrip) *http.Client {
	t.Helper()
	transport, err := newClient(t, config(t, e)).Transport(request(0), api, "api.example")
	must(err)
	return &http.Client{Transport: transport}
}

func status(hc *http.Client, path string) int {
	resp, err := hc.Get("https://api.example" + path)
	must(err)
	resp.Body.Close()
	return resp.StatusCode
}

func always401(t *testing.T) (string, bool) {
	e := newEndpoint()
	hc := through(t, e, func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/closed" {
			return answer(r, http.StatusUnauthorized, strings.NewReader(""))
		}
		return answer(r, http.StatusOK, strings.NewReader("{}"))
	})
	for start := time.Now(); time.Since(start) < 10*time.Minute; time.Sleep(time.Second) {
		status(hc, "/closed")
		status(hc, "/open")
	}
	return fmt.Sprint(e.requests()), e.requests() <= 31 // six at once, one in 30 s, and what two minutes of life ask for
}

func revocations(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.lives = time.Hour
	hc := through(t, e, func(r *http.Request) (*http.Response, error) {
		switch {
		case !e.knows(r):
			return answer(r, http.StatusUnauthorized, strings.NewReader(""))
		case strings.HasSuffix(r.URL.Path, "0"):
			return answer(r, http.StatusForbidden, strings.NewReader(""))
		}
		return answer(r, http.StatusNotFound, strings.NewReader(""))
	})
	var seen atomic.Int64
	for range 10 {
		e.revoke()
		for n := range 600 {
			if status(hc, fmt.Sprintf("/%d", n%2)) == http.StatusUnauthorized {
				seen.Add(1)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return fmt.Sprint(seen.Load()), seen.Load() == 0
}

// drip is a body that comes a byte a second.
type drip struct{ left int }

func (d *drip) Read(p []byte) (int, error) {
	if d.left--; d.left < 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	p[0] = 'x'
	return 1, nil
}

func dripping(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.lives = 2 * time.Hour
	calls := 0
	hc := through(t, e, func(r *http.Request) (*http.Response, error) {
		if calls++; calls == 2 {
			return answer(r, http.StatusUnauthorized, &drip{left: 3600})
		}
		return answer(r, http.StatusOK, strings.NewReader("{}"))
	})
	status(hc, "/")
	time.Sleep(time.Minute)
	start := time.Now()
	status(hc, "/")
	took := time.Since(start)
	time.Sleep(2 * time.Hour) // until the drip has ended
	return round(took), took <= 5*time.Second
}

func threeAlike(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.answer = func(_ int, w http.ResponseWriter, _ grant) bool { refuse(w, "Unknown client"); return true }
	err := newClient(t, config(t, e)).Prefetch(t.Context(), []maskinporten.Request{request(0), request(0), request(0)}, 0, nil)
	counted := regexp.MustCompile(`\d+ of \d+`).FindString(fmt.Sprint(err))
	return counted, counted == "3 of 3"
}
