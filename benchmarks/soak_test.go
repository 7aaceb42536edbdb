package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

var soakFor = flag.Duration("soak", 3*time.Second, "how long TestSoak goes on")

const (
	soakCallers  = 200
	soakPause    = 50 * time.Millisecond // of a caller between two calls
	soakLifetime = 2 * time.Second
	soakUp       = 4 * time.Second // of the token endpoint between two outages
	soakDown     = time.Second
	soakFailing  = 0.3
)

// TestSoak has 200 callers call an API through the Transport, with tokens of
// two seconds from an endpoint that fails three times in ten and is gone for a
// second at a time. A call may fail only when no issued token lives.
func TestSoak(t *testing.T) {
	tokens := newSoakEndpoint(t)
	api := httptest.NewServer(http.HandlerFunc(tokens.api))
	t.Cleanup(api.Close)
	client, err := maskinporten.New(maskinporten.Config{
		Environment: maskinporten.Environment{Issuer: tokens.server.URL + "/", TokenURL: tokens.server.URL + "/token"},
		ClientID:    "soak",
		Credential:  newCredential(t, key(t, 2048)),
		HTTPClient:  &http.Client{Transport: tokens},
	})
	if err != nil {
		t.Fatal(err)
	}
	where, _ := url.Parse(api.URL)
	base := &http.Transport{MaxIdleConnsPerHost: soakCallers}
	transport, err := client.Transport(request, base, where.Host)
	if err != nil {
		t.Fatal(err)
	}
	caller := &http.Client{Transport: transport}

	goroutines := runtime.NumGoroutine()
	var s soak
	s.run(caller, api.URL, soakCallers, time.Second/10) // what is made once is made
	settled(goroutines, base, &tokens.base)
	memory := heap()
	s = soak{}
	tokens.open()
	s.run(caller, api.URL, soakCallers, *soakFor)
	tokens.shut()
	goroutinesAfter, memoryAfter := settled(goroutines, base, &tokens.base), heap()

	avoidable := 0
	for _, f := range s.failures {
		if tokens.lived(f.start, f.end) {
			avoidable++
			t.Errorf("a call failed after %v although a token lived: %v", f.end.Sub(f.start), f.err)
		}
	}
	if n := tokens.stale.Load(); n > 0 {
		t.Errorf("%d calls were made with a token that was dead when they were started", n)
	}
	if goroutinesAfter > goroutines {
		t.Errorf("%d goroutines at the end, %d at the start", goroutinesAfter, goroutines)
	}
	if memoryAfter > memory+8<<20 {
		t.Errorf("%d bytes in use at the end, %d at the start", memoryAfter, memory)
	}
	report(t, "soak", [][]string{
		{"", ""},
		{"lasted", soakFor.String()},
		{"API calls", count(s.calls)},
		{"failed", count(int64(len(s.failures)))},
		{"failed although an issued token lived", count(int64(avoidable))},
		{"calls made with a token that was dead when they were started", count(tokens.stale.Load())},
		{"calls whose token died on the way to the API", count(tokens.late.Load())},
		{"worst wait", round(s.worst)},
		{"token requests", count(tokens.asked.Load())},
		{"of them answered with a token, with an error, not at all", fmt.Sprintf("%d, %d, %d", len(tokens.issued)-tokens.before, tokens.failed.Load(), tokens.gone.Load())},
		{"the endpoint was gone for", round(tokens.away)},
		{"goroutines at the start and the end", fmt.Sprintf("%d, %d", goroutines, goroutinesAfter)},
		{"heap at the start and the end", mebibytes(memory) + ", " + mebibytes(memoryAfter)},
	})
}

// settled counts goroutines once kept connections are closed and what is
// still being fetched has come.
func settled(before int, kept ...*http.Transport) int {
	deadline := time.Now().Add(40 * time.Second) // a flight's longest, and some
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		for _, k := range kept {
			k.CloseIdleConnections()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// soak is what the callers saw.
type soak struct {
	calls    int64
	worst    time.Duration
	failures []soakFailure
}

type soakFailure struct {
	start, end time.Time
	err        error
}

func (s *soak) run(caller *http.Client, apiURL string, callers int, lasts time.Duration) {
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	until := time.Now().Add(lasts)
	for range callers {
		all.Go(func() {
			time.Sleep(rand.N(soakPause))
			var own soak
			for time.Now().Before(until) {
				start := time.Now()
				err := callOnce(caller, apiURL)
				end := time.Now()
				own.calls++
				own.worst = max(own.worst, end.Sub(start))
				if err != nil {
					own.failures = append(own.failures, soakFailure{start, end, err})
				}
				time.Sleep(soakPause)
			}
			mu.Lock()
			defer mu.Unlock()
			s.calls += own.calls
			s.worst = max(s.worst, own.worst)
			s.failures = append(s.failures, own.failures...)
		})
	}
	all.Wait()
}

func callOnce(caller *http.Client, apiURL string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, apiURL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Started", strconv.FormatInt(time.Now().UnixNano(), 10))
	resp, err := caller.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	return nil
}

// soakEndpoint is a token endpoint of bad health, and the API that knows its
// tokens.
type soakEndpoint struct {
	server *httptest.Server
	base   http.Transport // the client's way to it

	asked, failed, gone, stale, late atomic.Int64

	mu     sync.Mutex
	begun  time.Time // of the bad health; zero for none
	away   time.Duration
	issued []soakToken
	before int // of them, how many were issued in good health
}

// soakToken lives from when it was asked for, and is to be had from when it came.
type soakToken struct {
	text        string
	asked, came time.Time
}

func newSoakEndpoint(t *testing.T) *soakEndpoint {
	e := &soakEndpoint{}
	e.server = httptest.NewServer(http.HandlerFunc(e.token))
	t.Cleanup(e.server.Close)
	return e
}

func (e *soakEndpoint) open() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begun = time.Now()
	e.asked.Store(0)
	e.before = len(e.issued)
}

func (e *soakEndpoint) shut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := time.Since(e.begun)
	e.away = gone / (soakUp + soakDown) * soakDown
	e.away += max(gone%(soakUp+soakDown)-soakUp, 0)
	e.begun = time.Time{}
}

type soakAnswer struct {
	AccessToken string  `json:"access_token"`
	TokenType   string  `json:"token_type"`
	ExpiresIn   float64 `json:"expires_in"`
}

// RoundTrip carries a token request, and notes on the client's side of the
// network what came of it.
func (e *soakEndpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	asked := time.Now()
	resp, err := e.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var answer soakAnswer
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &answer) == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.issued = append(e.issued, soakToken{text: answer.AccessToken, asked: asked, came: time.Now()})
	}
	return resp, nil
}

func (e *soakEndpoint) token(w http.ResponseWriter, r *http.Request) {
	came := time.Now()
	e.asked.Add(1)
	e.mu.Lock()
	begun := e.begun
	e.mu.Unlock()
	if !begun.IsZero() {
		if came.Sub(begun)%(soakUp+soakDown) >= soakUp {
			e.gone.Add(1)
			panic(http.ErrAbortHandler)
		}
		if rand.Float64() < soakFailing {
			e.failed.Add(1)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
	}
	text := fmt.Sprintf("%0*d", tokenSize, rand.Uint64())
	body, _ := json.Marshal(soakAnswer{AccessToken: text, TokenType: "Bearer", ExpiresIn: soakLifetime.Seconds()})
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// api answers calls with a token of the endpoint that lives.
func (e *soakEndpoint) api(w http.ResponseWriter, r *http.Request) {
	text := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	started, _ := strconv.ParseInt(r.Header.Get("Started"), 10, 64)
	e.mu.Lock()
	i := slices.IndexFunc(e.issued, func(s soakToken) bool { return s.text == text })
	var dies time.Time
	if i >= 0 {
		dies = e.issued[i].asked.Add(soakLifetime)
	}
	e.mu.Unlock()
	switch {
	case time.Now().Before(dies):
		w.WriteHeader(http.StatusNoContent)
		return
	case time.Unix(0, started).After(dies):
		e.stale.Add(1)
	default:
		e.late.Add(1)
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// lived reports whether some one token was to be had all the time from start to
// end, or all but a moment.
func (e *soakEndpoint) lived(start, end time.Time) bool {
	const moment = 50 * time.Millisecond
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.issued, func(s soakToken) bool {
		return s.came.Add(moment).Before(start) && s.asked.Add(soakLifetime-moment).After(end)
	})
}
