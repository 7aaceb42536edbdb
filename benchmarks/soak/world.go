package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/benchmarks/line"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

const apiHost = "api.example"

// world is one client with its callers, its API and its Maskinporten behind a
// line of its own.
type world struct {
	name     string
	server   *server
	line     *line.Line
	client   *maskinporten.Client
	verifier *resourceserver.Verifier
	clients  []*http.Client              // by key
	sources  []*maskinporten.TokenSource // by key
	cred     atomic.Pointer[maskinporten.Credential]
	creds    []*maskinporten.Credential

	mu         sync.Mutex
	seen       []atomic.Pointer[string] // by key: the token that the API saw last
	violations []violation

	calls, failed, verified, unverified, rejected atomic.Int64
	worst                                         atomic.Int64
	recovering                                    atomic.Bool // the faults have ended a while ago: nothing may fail
}

type violation struct {
	from, at time.Time // from when what was violated began
	what     string
}

func (w *world) violate(from time.Time, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, violation{from, time.Now(), fmt.Sprintf(format, args...)})
}

// Credential is the source's: what the client signs with now.
func (w *world) Credential(context.Context) (*maskinporten.Credential, error) {
	return w.cred.Load(), nil
}

func newWorld(name string, keys int, signing []*rsa.PrivateKey, clientKeys []*rsa.PrivateKey) *world {
	w := &world{name: name, server: newServer(signing), seen: make([]atomic.Pointer[string], keys)}
	for n, key := range clientKeys {
		cred, err := maskinporten.NewKeyCredential(key, fmt.Sprint("client-", n))
		must(err)
		w.creds = append(w.creds, cred)
	}
	w.cred.Store(w.creds[0])
	var err error
	w.line, err = line.New(w.server.http.Listener.Addr().String())
	must(err)
	roots := x509.NewCertPool()
	roots.AddCert(w.server.root)
	hc := &http.Client{Transport: &http.Transport{
		DialContext:       w.line.Dial,
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	env := maskinporten.Environment{
		Issuer: "https://" + host + "/", TokenURL: "https://" + host + "/token", JWKSURL: "https://" + host + "/jwk",
	}
	w.client, err = maskinporten.New(maskinporten.Config{Environment: env, ClientID: "soak", Credential: w, HTTPClient: hc})
	must(err)
	w.verifier, err = resourceserver.NewVerifier(env, hc)
	must(err)
	for key := range keys {
		transport, err := w.client.Transport(maskinporten.Request{Scope: scopeOf(key)}, w, apiHost)
		must(err)
		w.clients = append(w.clients, &http.Client{Transport: transport})
		source, err := w.client.TokenSource(maskinporten.Request{Scope: scopeOf(key)})
		must(err)
		w.sources = append(w.sources, source)
	}
	return w
}

// scopeOf says how long tokens of a key live: two to ten seconds.
func scopeOf(key int) string { return fmt.Sprintf("soak:%d.%d", 2+key%9, key) }

// RoundTrip is the API, which knows every token.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	key, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/"))
	nanoseconds, _ := strconv.ParseInt(req.Header.Get("Started"), 10, 64)
	start := time.Unix(0, nanoseconds)
	access := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	status := http.StatusNoContent
	switch token, ok := w.server.look(access); {
	case !ok:
		w.violate(start, "a token that was never issued, or long ago")
	case token.scope != scopeOf(key):
		w.violate(start, "another key's token")
	case !token.ends.After(start):
		w.violate(start, "a token that had been dead for %v when the call began", time.Since(token.ends))
	case !token.revoked.IsZero():
		status = http.StatusUnauthorized
	}
	w.seen[key].Store(&access)
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader("")), Request: req,
	}, nil
}

// callTimeout is what a caller gives a call.
const callTimeout = 8 * time.Second

// call makes one call, and holds what came of it to what may come.
func (w *world) call(key int) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+apiHost+"/"+strconv.Itoa(key), nil)
	must(err)
	req.Header.Set("Started", strconv.FormatInt(start.UnixNano(), 10))
	strict := w.recovering.Load()
	had := w.atHand(key)
	resp, err := w.clients[key].Do(req)
	took := time.Since(start)
	w.calls.Add(1)
	for worst := w.worst.Load(); int64(took) > worst && !w.worst.CompareAndSwap(worst, int64(took)); worst = w.worst.Load() {
	}
	if took > callTimeout+2*time.Second {
		w.violate(start, "a call went on for %v after its context had ended", took-callTimeout)
	}
	if err != nil {
		w.failed.Add(1)
		if had != nil && time.Until(had.Expiry()) > 50*time.Millisecond {
			if token, ok := w.server.look(had.AccessToken()); ok && token.revoked.IsZero() {
				w.violate(start, "a call failed after %v although a token had %v to live: %v", took, time.Until(had.Expiry()), errors.Unwrap(err))
			}
		}
		if !errors.Is(err, maskinporten.ErrNoToken) && !errors.Is(err, context.DeadlineExceeded) {
			w.violate(start, "an error that is no ErrNoToken: %v", errors.Unwrap(err))
		}
		if strict {
			w.violate(start, "a call failed although all has been well for a while: %v", errors.Unwrap(err))
		}
		return
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		w.rejected.Add(1)
	}
}

// atHand is the token that the client has for a key, if any: who comes with a
// context that has ended gets no other. Its end is the client's own reckoning.
func (w *world) atHand(key int) *maskinporten.Token {
	token, err := w.sources[key].TokenContext(ended)
	if err != nil {
		return nil
	}
	return token
}

var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// verify checks a token as an API would: a good one is never found invalid.
func (w *world) verify(key int) {
	access := w.seen[key].Load()
	if access == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	strict, start := w.recovering.Load(), time.Now()
	_, err := w.verifier.Verify(ctx, *access)
	token, ok := w.server.look(*access)
	switch {
	case err == nil:
		w.verified.Add(1)
	case !ok || time.Until(token.ends) <= 0: // its key may be gone as well
	case errors.Is(err, resourceserver.ErrTokenExpired): // its exp is a whole second, and up to one earlier
	case errors.Is(err, resourceserver.ErrTokenInvalid):
		w.violate(start, "a good token was found invalid: %v", err)
	default:
		w.unverified.Add(1)
		if strict {
			w.violate(start, "a token could not be verified although all has been well for a while: %v", err)
		}
	}
}

// run has callers call, and some verify, until ctx ends.
func (w *world) run(ctx context.Context, callers int, pause time.Duration) *sync.WaitGroup {
	var all sync.WaitGroup
	repeat := func(do func(int)) {
		all.Go(func() {
			for ctx.Err() == nil {
				do(rand.IntN(len(w.clients)))
				time.Sleep(pause/2 + rand.N(pause))
			}
		})
	}
	for range callers {
		repeat(w.call)
	}
	for range 4 {
		repeat(w.verify)
	}
	return &all
}

// close breaks off the line and ends the server.
func (w *world) close() {
	w.line.Close()
	w.server.http.CloseClientConnections()
	w.server.http.Close()
}
