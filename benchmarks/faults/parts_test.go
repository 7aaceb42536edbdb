package main

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// parts are those around the library that hang or fail.
func parts() []scenario {
	return []scenario{
		{"a refused integration whose credential source fails now and then: grants in a minute of calls", true, failingSource},
		{"the key set never comes, a day after it was read: verifying a good token", true, hangingKeySet},
		{"a signer that hangs, 200 keys, an hour: calls of it that hang", true, hangingSigner},
		{"a keystore file that is a pipe nobody writes to, a context of a second", false, pipe},
		{"a key file is spoiled, and the log handler that hears of it asks for a token: a cold key", false, askingLog},
		{"a node corrects the clock by an hour, wrongly: of 20 further keys", true, wrongDate},
		{"an answer that takes longer than its token lives: the caller's token", true, deadOnArrival},
	}
}

func failingSource(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.answer = func(_ int, w http.ResponseWriter, _ grant) bool { refuse(w, "Unknown client"); return true }
	c := config(t, e)
	good, asked := credential(t, noSigner{}), 0
	c.Credential = sourceFunc(func(context.Context) (*maskinporten.Credential, error) {
		if asked++; asked%3 == 0 {
			return nil, errors.New("the vault does not answer")
		}
		return good, nil
	})
	client := newClient(t, c)
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
		client.Token(t.Context(), request(0))
	}
	return fmt.Sprint(e.requests()), e.requests() <= 10
}

// hanging passes requests on, and never comes back from those that hang.
type hanging struct {
	http.RoundTripper
	hangs   func(*http.Request) bool
	release chan struct{} // at the end, for goroutines must end
}

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.hangs(r) {
		<-h.release
		return nil, errors.New("released")
	}
	return h.RoundTripper.RoundTrip(r)
}

func hangingKeySet(t *testing.T) (string, bool) {
	fake := maskinportentest.New()
	hangs := false
	h := &hanging{
		RoundTripper: fake.Config().HTTPClient.Transport,
		hangs:        func(r *http.Request) bool { return hangs && strings.Contains(r.URL.Path, "jwk") },
		release:      make(chan struct{}),
	}
	verifier, err := newVerifier(fake.Environment(), &http.Client{Transport: h})
	must(err)
	client := newClient(t, fake.Config())
	verify := func() (time.Duration, error) {
		token, err := client.Token(t.Context(), maskinporten.Request{Scope: "a:one"})
		must(err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err = verifier.Verify(ctx, token.AccessToken())
		return time.Since(start), err
	}
	if _, err := verify(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(24*time.Hour + time.Minute)
	hangs = true
	took, err := verify()
	close(h.release)
	synctest.Wait()
	if err != nil {
		return "an error after " + round(took), false
	}
	return "verified after " + round(took), took < time.Second
}

// hangingSigns is a signer that does not come back before its release.
type hangingSigns struct {
	noSigner
	count   atomic.Int64
	release chan struct{}
}

func (s *hangingSigns) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	s.count.Add(1)
	<-s.release
	return nil, errors.New("released")
}

func hangingSigner(t *testing.T) (string, bool) {
	s := &hangingSigns{release: make(chan struct{})}
	c := config(t, newEndpoint())
	c.Credential = credential(t, s)
	client := newClient(t, c)
	ctx, stop := context.WithTimeout(t.Context(), time.Hour)
	defer stop()
	var callers sync.WaitGroup
	for n := range 200 {
		callers.Go(func() {
			for ctx.Err() == nil {
				one, cancel := context.WithTimeout(ctx, time.Minute)
				client.Token(one, request(n))
				cancel()
				time.Sleep(time.Second)
			}
		})
	}
	callers.Wait()
	hung := s.count.Load()
	close(s.release)
	time.Sleep(time.Minute)
	return fmt.Sprint(hung), hung <= 200
}

func pipe(t *testing.T) (string, bool) {
	file := filepath.Join(t.TempDir(), "keystore.p12")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		return "not tried: " + err.Error(), true
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	done := make(chan string, 1)
	go func() {
		start := time.Now()
		_, err := maskinporten.PKCS12File(file, "password").Credential(ctx)
		done <- fmt.Sprintf("%v after %s", map[bool]string{true: "an error", false: "a credential"}[err != nil], round(time.Since(start)))
	}()
	select {
	case result := <-done:
		return result, true
	case <-time.After(10 * time.Second):
		return "hangs, after ten seconds still", false
	}
}

// asking is a log handler that sends lines elsewhere, with a token of the same
// client.
type asking struct {
	client *maskinporten.Client
	mu     sync.Mutex
	within bool
}

func (*asking) Enabled(context.Context, slog.Level) bool { return true }
func (a *asking) WithAttrs([]slog.Attr) slog.Handler     { return a }
func (a *asking) WithGroup(string) slog.Handler          { return a }

func (a *asking) Handle(ctx context.Context, _ slog.Record) error {
	a.mu.Lock()
	again := a.within
	a.within = true
	a.mu.Unlock()
	if again || a.client == nil {
		return nil
	}
	_, err := a.client.Token(context.WithoutCancel(ctx), request(99))
	a.mu.Lock()
	a.within = false
	a.mu.Unlock()
	return err
}

func askingLog(t *testing.T) (string, bool) {
	file := filepath.Join(t.TempDir(), "key.jwk")
	must(os.WriteFile(file, privateJWK(), 0o600))
	handler := new(asking)
	c := config(t, newEndpoint())
	c.Credential = maskinporten.JWKFile(file)
	c.Logger = slog.New(handler)
	client := newClient(t, c)
	handler.client = client
	if _, err := client.Token(t.Context(), request(0)); err != nil {
		t.Fatal(err)
	}
	must(os.WriteFile(file, []byte("{"), 0o600))
	time.Sleep(2 * time.Second) // files are not looked at all the time
	took, err := timed(t.Context(), client, request(1))
	return outcome(err, took), err == nil && took < soonEnough
}

// privateJWK is a file as Samarbeidsportalen's users keep one.
func privateJWK() []byte {
	key := rsaKey()
	encode := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	text, err := json.Marshal(map[string]string{
		"kty": "RSA", "kid": "key", "alg": "RS256",
		"n": encode(key.N), "e": encode(big.NewInt(int64(key.E))), "d": encode(key.D),
		"p": encode(key.Primes[0]), "q": encode(key.Primes[1]),
		"dp": encode(key.Precomputed.Dp), "dq": encode(key.Precomputed.Dq), "qi": encode(key.Precomputed.Qinv),
	})
	must(err)
	return text
}

func wrongDate(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.answer = func(n int, w http.ResponseWriter, g grant) bool {
		// Every Date is an hour ahead; grants are held to the right time, but
		// for the first, which meets a node that believes its own clock.
		now := time.Now()
		w.Header().Set("Date", now.Add(time.Hour).UTC().Format(http.TimeFormat))
		if n == 1 {
			now = now.Add(time.Hour)
		}
		if n == 2 {
			return false // the correction is taken
		}
		if off := now.Sub(time.Unix(g.IssuedAt, 0)); off < -10*time.Second || off > 10*time.Second {
			refuse(w, "Issue time is after now, or too old")
			return true
		}
		return false
	}
	client := newClient(t, config(t, e))
	if _, err := client.Token(t.Context(), request(0)); err != nil {
		return "none was tried: " + err.Error(), false
	}
	failed := 0
	for n := range 20 {
		if _, err := client.Token(t.Context(), request(n+1)); err != nil {
			failed++
		}
		time.Sleep(time.Second)
	}
	return fmt.Sprintf("%d fail", failed), failed == 0
}

func deadOnArrival(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.lives = 10 * time.Second
	e.answer = func(n int, _ http.ResponseWriter, _ grant) bool {
		if n == 1 {
			time.Sleep(15 * time.Second)
		}
		return false
	}
	token, err := newClient(t, config(t, e)).Token(t.Context(), request(0))
	if err != nil {
		return "an error", false
	}
	left := time.Until(token.Expiry())
	if left <= 0 {
		return "dead for " + round(-left), false
	}
	return "lives for another " + round(left), true
}
