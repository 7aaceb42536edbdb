package maskinporten

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

// testKey and testChain are made once: an RSA key takes a tenth of a second.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func keyCredential(signer crypto.Signer) *Credential {
	cred, err := NewKeyCredential(signer, "k")
	if err != nil {
		panic(err)
	}
	return cred
}

func headerOf(t *testing.T, c *Credential) (header map[string]any) {
	t.Helper()
	assertion, err := c.sign(&grant{})
	require.NoError(t, err)
	token, _, err := jwt.NewParser().ParseUnverified(assertion, jwt.MapClaims{})
	require.NoError(t, err)
	return token.Header
}

const testOrg = "910753614"

// testCredential is a chain of three, whatever the (fake) time.
var testCredential = sync.OnceValue(func() *Credential {
	key := testKey()
	var chain []*x509.Certificate
	var parent *x509.Certificate
	for i, name := range []string{"Test Root", "Buypass Class 3 Test4 CA G2 ST Business", "EKSEMPEL PENSJON AS"} {
		template := &x509.Certificate{
			SerialNumber:          big.NewInt(int64(i + 1)),
			Subject:               pkix.Name{CommonName: name},
			NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
			NotAfter:              time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
			BasicConstraintsValid: true,
			IsCA:                  i < 2,
			KeyUsage:              x509.KeyUsageCertSign,
		}
		if i == 2 {
			template.KeyUsage = x509.KeyUsageDigitalSignature
			template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidOrganizationIdentifier, Value: "NTRNO-" + testOrg}}
		}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			panic(err)
		}
		cert, _ := x509.ParseCertificate(der)
		parent = cert
		chain = append(chain, cert)
	}
	cred, err := NewCredential(key, chain...)
	if err != nil {
		panic(err)
	}
	return cred
})

// wire is a token endpoint in the place of the network. It keeps what it was
// sent and answers with reply.
type wire struct {
	reply func(n int, g *sentGrant) (*http.Response, error)

	mu     sync.Mutex
	grants []*sentGrant
}

type sentGrant struct {
	assertion string
	header    map[string]any
	claims    map[string]any
	at        time.Time
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	g := &sentGrant{assertion: form.Get("assertion"), at: time.Now()}
	parts := strings.Split(g.assertion, ".")
	for i, into := range []*map[string]any{&g.header, &g.claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.grants = append(w.grants, g)
	n := len(w.grants)
	w.mu.Unlock()
	resp, err := w.reply(n, g)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

func (w *wire) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.grants)
}

func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func tokenJSON(lifetime int) string {
	return fmt.Sprintf(`{"access_token":"secret-access-token","token_type":"Bearer","expires_in":%d,"scope":"s"}`, lifetime)
}

func (w *wire) client(t *testing.T, log io.Writer) *Client {
	t.Helper()
	cfg := Config{Environment: Test, ClientID: "client-1", Credential: testCredential(), HTTPClient: &http.Client{Transport: w}}
	if log == nil {
		log = &said
	}
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := New(cfg)
	require.NoError(t, err)
	return c
}

func ok(int, *sentGrant) (*http.Response, error) { return reply(200, tokenJSON(120)), nil }

func TestGrantOnTheWire(t *testing.T) {
	w := &wire{reply: ok}
	c := w.client(t, nil)
	_, err := c.Token(t.Context(), Request{Scope: "b a"})
	require.NoError(t, err)
	g := w.grants[0]
	require.Equal(t, "RS256", g.header["alg"])
	require.NotContains(t, g.header, "kid")
	require.Len(t, g.header["x5c"], 3)
	require.Equal(t, "https://test.maskinporten.no/", g.claims["aud"], "one string, the issuer")
	require.Equal(t, "client-1", g.claims["iss"])
	require.Equal(t, "a b", g.claims["scope"])
	require.Equal(t, 120.0, g.claims["exp"].(float64)-g.claims["iat"].(float64))
	require.InDelta(t, float64(g.at.Unix()), g.claims["iat"], 1)
	require.Len(t, g.claims["jti"], 32, "128 bits")
	require.Len(t, g.claims, 6, "no claim that was not asked for")

	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(g.assertion, ".")[1])
	order := []int{}
	for _, name := range []string{`"aud"`, `"iss"`, `"scope"`, `"iat"`, `"exp"`, `"jti"`} {
		order = append(order, bytes.Index(raw, []byte(name)))
	}
	require.IsIncreasing(t, order, "claims in a fixed order")

	_, err = jwt.Parse(g.assertion, func(*jwt.Token) (any, error) { return testKey().Public(), nil })
	require.NoError(t, err)
}

func TestKeyIDInsteadOfChain(t *testing.T) {
	w := &wire{reply: ok}
	c := w.client(t, nil)
	c.exchange.source = testCredential().WithKeyID("key-1")
	_, err := c.Token(t.Context(), Request{Scope: "s"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "RS256", "kid": "key-1"}, w.grants[0].header)
}

func TestAttempts(t *testing.T) {
	oauth := `{"error":"invalid_scope","error_description":"x"}`
	network := errors.New("connection reset by peer")
	for _, tt := range []struct {
		reason  string
		replies func(n int) (*http.Response, error)
		sent    int
		ok      bool
		longest time.Duration
	}{
		{"a success needs no second", func(int) (*http.Response, error) { return reply(200, tokenJSON(120)), nil }, 1, true, 0},
		{"a refusal is final", func(int) (*http.Response, error) { return reply(400, oauth), nil }, 1, false, 0},
		{"503 passes", func(n int) (*http.Response, error) {
			if n < 3 {
				return reply(503, ""), nil
			}
			return reply(200, tokenJSON(120)), nil
		}, 3, true, 1500 * time.Millisecond},
		{"503 stays: three attempts", func(int) (*http.Response, error) { return reply(503, ""), nil }, 3, false, 1500 * time.Millisecond},
		{"500 with an OAuth code is still an outage", func(int) (*http.Response, error) { return reply(500, oauth), nil }, 3, false, 1500 * time.Millisecond},
		{"429", func(int) (*http.Response, error) { return reply(429, oauth), nil }, 3, false, 1500 * time.Millisecond},
		{"400 without an OAuth code: rejected without a clear error", func(int) (*http.Response, error) { return reply(400, "<html>Bad Request"), nil }, 3, false, 1500 * time.Millisecond},
		{"a network error", func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, network
			}
			return reply(200, tokenJSON(120)), nil
		}, 2, true, 500 * time.Millisecond},
		{"a redirect is not followed and not repeated", func(int) (*http.Response, error) {
			return reply(307, "", "Location", "https://elsewhere.example/token"), nil
		}, 1, false, 0},
		{"a gateway's page with 200", func(int) (*http.Response, error) { return reply(200, "<html>"), nil }, 3, false, 1500 * time.Millisecond},
		{"Retry-After in seconds is obeyed", func(n int) (*http.Response, error) {
			if n == 1 {
				return reply(503, "", "Retry-After", "7"), nil
			}
			return reply(200, tokenJSON(120)), nil
		}, 2, true, 7 * time.Second},
		{"Retry-After as a date is obeyed", func(n int) (*http.Response, error) {
			if n == 1 {
				return reply(503, "", "Retry-After", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat)), nil
			}
			return reply(200, tokenJSON(120)), nil
		}, 2, true, 9 * time.Second},
		{"Retry-After beyond the deadline fails at once", func(int) (*http.Response, error) { return reply(429, "", "Retry-After", "31"), nil }, 1, false, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{reply: func(n int, _ *sentGrant) (*http.Response, error) { return tt.replies(n) }}
				start := time.Now()
				_, err := w.client(t, nil).Token(t.Context(), Request{Scope: "s"})
				require.Equal(t, tt.ok, err == nil, "%v", err)
				require.Equal(t, tt.sent, w.sent())
				require.LessOrEqual(t, time.Since(start), tt.longest)
				seen := map[any]bool{}
				for _, g := range w.grants {
					require.False(t, seen[g.claims["jti"]] || seen[g.assertion], "every attempt is signed anew")
					seen[g.claims["jti"]], seen[g.assertion] = true, true
				}
			})
		})
	}
}

func TestBlackHoleEndsByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hc := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})}
		c, err := New(Config{Environment: Test, ClientID: "c", Credential: testCredential(), HTTPClient: hc})
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, tokencache.Timeout, time.Since(start))
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestSignerThatHangsHurtsOnlyItsFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		c := w.client(t, nil)
		wake := make(chan struct{})
		c.exchange.source = keyCredential(&hangingSigner{Signer: testKey(), wake: wake})
		start := time.Now()
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `token for scope "s" from test`)
		require.Equal(t, tokencache.Timeout+100*time.Millisecond, time.Since(start))
		c.exchange.source = testCredential()
		time.Sleep(time.Second)
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, context.DeadlineExceeded, "no other is started beside one that hangs")
		_, err = c.Token(t.Context(), Request{Scope: "other"})
		require.NoError(t, err)
		close(wake)
		synctest.Wait()
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
	})
}

func TestHTTPClientThatIgnoresItsContext(t *testing.T) {
	for _, tt := range []struct {
		reason string
		answer func() (*http.Response, error)
	}{
		{"it does not come back", func() (*http.Response, error) { time.Sleep(time.Hour); return nil, errors.New("late") }},
		{"its body does not", func() (*http.Response, error) {
			r := reply(200, "")
			r.Body = &drip{ctx: context.Background()}
			return r, nil
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := true
				w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
					if n == 1 && hang {
						return tt.answer()
					}
					return ok(n, g)
				}}
				c := w.client(t, nil)
				start := time.Now()
				_, err := c.Token(t.Context(), Request{Scope: "s"})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, tokencache.Timeout+100*time.Millisecond, time.Since(start))
				time.Sleep(time.Second)
				_, err = c.Token(t.Context(), Request{Scope: "other"})
				require.NoError(t, err, "another key is not blocked")
				time.Sleep(2 * time.Hour) // what was left behind ends, too
				_, err = c.Token(t.Context(), Request{Scope: "s"})
				require.NoError(t, err, "and then the key itself is not")
			})
		})
	}
}

// A source that loads its credential anew on every call is as patient as one
// that does not.
func TestRefusalsBackOffWithCredentialsLoadedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(int, *sentGrant) (*http.Response, error) { return reply(400, `{"error":"invalid_scope"}`), nil }}
		c := w.client(t, nil)
		c.exchange.source = sourceFunc(func() *Credential { return testCredential().WithKeyID("k") })
		c.cache.static = false
		for range 600 {
			_, err := c.Token(t.Context(), Request{Scope: "s"})
			require.Error(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 6, w.sent(), "at 0, 1, 3, 7, 15 and 31 seconds")
	})
}

type sourceFunc func() *Credential

func (f sourceFunc) Credential(context.Context) (*Credential, error) { return f(), nil }

// After a restart with thousands of customers, grants are sent as they are
// signed.
func TestSignaturesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
			time.Sleep(time.Second)
			return ok(n, g)
		}}
		c := w.client(t, nil)
		signer := &countingSigner{Signer: testKey()}
		c.exchange.source = keyCredential(signer)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_, err := c.Token(t.Context(), Request{Scope: fmt.Sprint(i)})
				require.NoError(t, err)
			})
		}
		start := time.Now()
		wg.Wait()
		require.Equal(t, int64(maxSigning), signer.most.Load())
		require.Equal(t, 4*signingTime+time.Second, time.Since(start), "only signing is bounded, not sending")
	})
}

// A signer that hangs is not called more often than it may sign at once, also
// when the flights that called it have ended; flights that waited for it do not
// begin to sign then. Another credential is not held up, and the same one
// signs again once it comes back.
func TestSignerThatHangsForEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		c := w.client(t, nil)
		wake := make(chan struct{})
		hanging := &hangingSigner{Signer: testKey(), wake: wake}
		source := &switchingSource{}
		source.use(keyCredential(hanging))
		c.exchange.source = source
		var wg sync.WaitGroup
		for round := range 10 {
			for i := range 3 * maxSigning {
				wg.Go(func() {
					_, err := c.Token(t.Context(), Request{Scope: fmt.Sprintf("s%d-%d", round, i)})
					require.Error(t, err)
				})
			}
			wg.Wait()
		}
		require.Equal(t, int64(maxSigning), hanging.calls.Load())
		require.Zero(t, w.sent())

		source.use(testCredential())
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err, "another credential")
		source.use(keyCredential(hanging))
		close(wake)
		time.Sleep(time.Minute)
		_, err = c.Token(t.Context(), Request{Scope: "t"})
		require.NoError(t, err, "it came back")
		require.Equal(t, int64(maxSigning+1), hanging.calls.Load())
	})
}

const signingTime = 100 * time.Millisecond

type countingSigner struct {
	crypto.Signer
	now, most atomic.Int64
}

func (s *countingSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	for n, most := s.now.Add(1), s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	defer s.now.Add(-1)
	time.Sleep(signingTime)
	return s.Signer.Sign(r, digest, opts)
}

type hangingSigner struct {
	crypto.Signer
	wake  chan struct{}
	calls atomic.Int64
}

func (s *hangingSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.calls.Add(1)
	<-s.wake
	return s.Signer.Sign(r, digest, opts)
}

func TestClock(t *testing.T) {
	for _, off := range []time.Duration{-48 * time.Hour, -time.Hour, -15 * time.Second, -11 * time.Second, 0, 11 * time.Second, 15 * time.Second, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				theirs := func() time.Time { return time.Now().Add(-off) } // our clock is off by off
				w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
					iat := time.Unix(int64(g.claims["iat"].(float64)), 0)
					date := theirs().UTC().Format(http.TimeFormat)
					switch age := theirs().Sub(iat); {
					case age < -10*time.Second:
						return reply(400, `{"error":"invalid_grant","error_description":"Invalid assertion. Issue time is after now"}`, "Date", date), nil
					case age > 10*time.Second:
						return reply(400, `{"error":"invalid_grant","error_description":"Grant expired","error_uri":"https://test.maskinporten.no/errors/MP-130"}`, "Date", date), nil
					}
					return reply(200, tokenJSON(120), "Date", date), nil
				}}
				c := w.client(t, &log)
				token, err := c.Token(t.Context(), Request{Scope: "a"})
				tolerable := off.Abs() <= 10*time.Second
				switch {
				case off.Abs() > 24*time.Hour:
					require.ErrorIs(t, err, ErrClock)
					require.ErrorContains(t, err, "172800 seconds behind", "the remedy knows the skew")
					require.Equal(t, 2, w.sent(), "tried once more, and only a second refusal counts")
					return
				case tolerable:
					require.Equal(t, 1, w.sent())
				default:
					require.Equal(t, 2, w.sent())
				}
				require.NoError(t, err)
				require.Equal(t, time.Now().Add(120*time.Second).Unix(), token.Expiry().Unix(), "by our clock, however wrong it is")
				before := w.sent()
				for _, scope := range []string{"b", "c"} {
					_, err = c.Token(t.Context(), Request{Scope: scope})
					require.NoError(t, err)
				}
				require.Equal(t, before+2, w.sent(), "later grants use the offset at once")
				want := 1
				if tolerable {
					want = 0
				}
				require.Equal(t, want, strings.Count(log.String(), "clock is off"), "logged once per change")
			})
		})
	}
}

func TestClockComesRightAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := time.Minute
		w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
			theirs := time.Now().Add(-off)
			date := theirs.UTC().Format(http.TimeFormat)
			if (theirs.Unix() - int64(g.claims["iat"].(float64))) < -10 {
				return reply(400, `{"error":"invalid_grant","error_description":"Issue time is after now"}`, "Date", date), nil
			}
			return reply(200, tokenJSON(120), "Date", date), nil
		}}
		c := w.client(t, nil)
		for i, step := range []struct {
			off  time.Duration
			sent int
		}{{time.Minute, 2}, {time.Minute, 3}, {0, 4}, {0, 5}} {
			off = step.off
			_, err := c.Token(t.Context(), Request{Scope: fmt.Sprint(i)})
			require.NoError(t, err)
			require.Equal(t, step.sent, w.sent())
		}
		require.Equal(t, time.Now().Unix(), int64(w.grants[4].claims["iat"].(float64)))
	})
}

// A clock that was off once and is right again, and a gateway that states
// a wrong Date now and then: no grant goes by it.
func TestWrongDateBreaksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off, stated := -time.Minute, time.Duration(0) // our clock's, and the Date's error
		w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
			theirs := time.Now().Add(-off)
			date := theirs.Add(stated).UTC().Format(http.TimeFormat)
			if iat := time.Unix(int64(g.claims["iat"].(float64)), 0); theirs.Sub(iat).Abs() > 10*time.Second {
				return reply(400, `{"error":"invalid_grant","error_description":"JWT has expired"}`, "Date", date), nil
			}
			return reply(200, tokenJSON(120), "Date", date), nil
		}}
		c := w.client(t, nil)
		next := 0
		ask := func() error {
			next++
			_, err := c.Token(t.Context(), Request{Scope: fmt.Sprint(next)})
			return err
		}
		require.NoError(t, ask())
		require.Equal(t, 2, w.sent())
		require.NoError(t, ask())
		require.Equal(t, 3, w.sent(), "by the offset")

		off = 0
		require.NoError(t, ask())
		require.Equal(t, 5, w.sent(), "the offset is refused, this machine's own clock is tried")
		for i := range 20 {
			stated = time.Duration(i%2) * time.Hour
			require.NoError(t, ask())
		}
		stated = time.Hour
		for range 20 {
			require.NoError(t, ask())
		}
		require.Equal(t, 45, w.sent())
	})
}

// An attempt that meets silence on a kept connection gets company by another
// grant. The first token wins.
func TestGrantOnADeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := func(ctx context.Context) (*http.Response, error) {
			httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true, IdleTime: time.Minute})
			<-ctx.Done()
			return nil, ctx.Err()
		}
		w := &wire{reply: ok}
		client := w.client(t, nil)
		requests := 0
		client.exchange.http.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if requests++; requests == 1 {
				w.RoundTrip(req.Clone(context.Background())) // for its count
				return dead(req.Context())
			}
			return w.RoundTrip(req)
		})
		start := time.Now()
		_, err := client.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Equal(t, 2, w.sent())
		require.NotEqual(t, w.grants[0].claims["jti"], w.grants[1].claims["jti"], "no grant is sent twice")
		require.Equal(t, int64(1), client.Stats().Fetches)
	})
}

// The company counts among the three attempts, and comes once in a flight.
func TestCompanyIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		client := w.client(t, nil)
		client.exchange.http.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			w.RoundTrip(req.Clone(context.Background()))
			if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
				trace.GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true, IdleTime: time.Minute})
			}
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		_, err := client.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, ErrUnavailable)
		require.Equal(t, endpoint.MaxAttempts, w.sent())
	})
}

// The first attempt hangs; the second has its own time.
func TestTimeLimitOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		client := w.client(t, nil)
		requests := 0
		client.exchange.http.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if requests++; requests == 1 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return w.RoundTrip(req)
		})
		start := time.Now()
		_, err := client.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.InDelta(t, 20, time.Since(start).Seconds(), 0.6)
	})
}

func TestAnswers(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for _, tt := range []struct {
		reason   string
		body     string
		header   []string
		lifetime time.Duration // zero: refused
	}{
		{"as documented", tokenJSON(120), nil, 120 * time.Second},
		{"the right content with another type", tokenJSON(120), []string{"Content-Type", "text/html"}, 120 * time.Second},
		{"a web page with the right type", "<html>Logg inn</html>", []string{"Content-Type", "application/json"}, 0},
		{"token_type in lower case", `{"access_token":"a","token_type":"bearer","expires_in":60}`, nil, time.Minute},
		{"no token_type", `{"access_token":"a","expires_in":60}`, nil, 0},
		{"another token_type", `{"access_token":"a","token_type":"DPoP","expires_in":60}`, nil, 0},
		{"no access_token", `{"token_type":"Bearer","expires_in":60}`, nil, 0},
		{"an empty access_token", `{"access_token":"","token_type":"Bearer","expires_in":60}`, nil, 0},
		{"a number for a token", `{"access_token":1,"token_type":"Bearer","expires_in":60}`, nil, 0},
		{"a token with a line break", `{"access_token":"a\r\nX: b","token_type":"Bearer","expires_in":60}`, nil, 0},
		{"a token with a space", `{"access_token":"a b","token_type":"Bearer","expires_in":60}`, nil, 0},
		{"a token outside ASCII", `{"access_token":"å","token_type":"Bearer","expires_in":60}`, nil, 0},
		{"the token twice", `{"access_token":"a","access_token":"b","token_type":"Bearer","expires_in":60}`, nil, 0},
		{"expires_in twice", `{"access_token":"a","token_type":"Bearer","expires_in":60,"expires_in":61}`, nil, 0},
		{"a name in other letters is another name", `{"ACCESS_TOKEN":"b","access_token":"a","token_type":"Bearer","expires_in":60}`, nil, time.Minute},
		{"expires_in as a string", `{"access_token":"a","token_type":"Bearer","expires_in":"60"}`, nil, time.Minute},
		{"expires_in as a float", `{"access_token":"a","token_type":"Bearer","expires_in":60.5}`, nil, 60500 * time.Millisecond},
		{"expires_in 0", `{"access_token":"a","token_type":"Bearer","expires_in":0}`, nil, 0},
		{"expires_in negative", `{"access_token":"a","token_type":"Bearer","expires_in":-1}`, nil, 0},
		{"expires_in 10^18 counts as a day", `{"access_token":"a","token_type":"Bearer","expires_in":1000000000000000000}`, nil, 24 * time.Hour},
		{"expires_in beyond a float", `{"access_token":"a","token_type":"Bearer","expires_in":1e999}`, nil, 24 * time.Hour},
		{"expires_in NaN", `{"access_token":"a","token_type":"Bearer","expires_in":"NaN"}`, nil, 0},
		{"expires_in an object", `{"access_token":"a","token_type":"Bearer","expires_in":{}}`, nil, 0},
		{"no expires_in and an opaque token", `{"access_token":"a","token_type":"Bearer"}`, nil, 0},
		{"no expires_in: the token's own exp", `{"access_token":"` + jwt(`{"iat":1000,"exp":1600}`) + `","token_type":"Bearer"}`, nil, 10 * time.Minute},
		{"null expires_in, and a token without exp", `{"access_token":"` + jwt(`{"iat":1000}`) + `","token_type":"Bearer","expires_in":null}`, nil, 0},
		{"more after the object", tokenJSON(120) + "{}", nil, 0},
		{"half an object", tokenJSON(120)[:60], nil, 0},
		{"an array", "[]", nil, 0},
		{"nothing", "", nil, 0},
		{"more than 1 MiB", `{"x":"` + strings.Repeat("x", endpoint.MaxBody) + `",` + tokenJSON(120)[1:], nil, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{reply: func(int, *sentGrant) (*http.Response, error) { return reply(200, tt.body, tt.header...), nil }}
				token, err := w.client(t, nil).Token(t.Context(), Request{Scope: "s"})
				if tt.lifetime == 0 {
					require.ErrorIs(t, err, ErrUnavailable)
					require.Equal(t, endpoint.MaxAttempts, w.sent())
					return
				}
				require.NoError(t, err)
				require.Equal(t, tt.lifetime, token.times.Lifetime)
			})
		})
	}
}

func TestSlowDripEndsByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hc := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			r := reply(200, "")
			r.Body = &drip{ctx: req.Context()}
			return r, nil
		})}
		c, err := New(Config{Environment: Test, ClientID: "c", Credential: testCredential(), HTTPClient: hc})
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, ErrUnavailable)
		require.Equal(t, tokencache.Timeout, time.Since(start))
	})
}

// drip gives a byte a second for as long as its request may live, or an hour.
type drip struct {
	ctx   context.Context
	bytes int
}

func (d *drip) Read(p []byte) (int, error) {
	sleep(d.ctx, time.Second)
	if err := d.ctx.Err(); err != nil {
		return 0, err
	}
	if d.bytes++; d.bytes > 3600 {
		return 0, io.EOF
	}
	p[0] = ' '
	return 1, nil
}

func (d *drip) Close() error { return nil }

func TestNewCredentialForgetsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
			if refuse && g.header["kid"] == "old" {
				return reply(400, `{"error":"invalid_grant","error_uri":"https://test.maskinporten.no/errors/MP-121"}`), nil
			}
			return reply(200, tokenJSON(120)), nil
		}}
		source := &switchingSource{}
		source.use(testCredential().WithKeyID("old"))
		c, err := New(Config{Environment: Test, ClientID: "c", Credential: source, HTTPClient: &http.Client{Transport: w}})
		require.NoError(t, err)
		for range 10 {
			_, err = c.Token(t.Context(), Request{Scope: "s"})
			require.ErrorIs(t, err, ErrKeyExpired)
			source.use(testCredential().WithKeyID("old")) // another value, the same key
		}
		require.Equal(t, 1, w.sent())
		source.use(testCredential().WithKeyID("new"))
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
		require.Equal(t, 2, w.sent())
	})
}

type switchingSource struct {
	mu   sync.Mutex
	cred *Credential
}

func (s *switchingSource) use(c *Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred = c
}

func (s *switchingSource) Credential(context.Context) (*Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred, nil
}

func TestTokenOfAnotherConsumerIsRefused(t *testing.T) {
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:974760673"}}`))
	w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
		return reply(200, `{"access_token":"e30.`+payload+`.c2ln","token_type":"Bearer","expires_in":120}`), nil
	}}
	c := w.client(t, nil)
	_, err := c.Token(t.Context(), Request{Scope: "s", ConsumerOrg: "889640782"})
	require.ErrorIs(t, err, ErrWrongConsumer)
	require.Equal(t, 1, w.sent())
	_, err = c.Token(t.Context(), Request{Scope: "s", ConsumerOrg: "974760673"})
	require.NoError(t, err)
}

// A token of another consumer is no outage: it is remembered as a refusal is.
func TestTokenOfAnotherConsumerIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := unsignedToken(`{"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:974760673"}}`)
		w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
			return reply(200, `{"access_token":"`+token+`","token_type":"Bearer","expires_in":120}`), nil
		}}
		c := w.client(t, nil)
		for range 9 {
			_, err := c.Token(t.Context(), Request{Scope: "s", ConsumerOrg: "889640782"})
			require.ErrorIs(t, err, ErrWrongConsumer)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 1, w.sent())
	})
}

// A token that speaks for another than was asked for is thrown away, and so is
// a JWT that cannot be read. What only its issuer can read is taken.
func TestTokenIsHeldToWhatWasAskedFor(t *testing.T) {
	const pid = "25922947409"
	for _, test := range []struct {
		name, access string
		request      Request
		err          error
	}{
		{"a customer's for the own organisation", unsignedToken(`{"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:974760673"},"supplier":{"authority":"iso6523-actorid-upis","ID":"0192:` + testOrg + `"}}`), Request{}, ErrWrongConsumer},
		{"another supplier's", unsignedToken(`{"supplier":{"authority":"iso6523-actorid-upis","ID":"0192:974760673"}}`), Request{ConsumerOrg: "991825827"}, ErrWrongConsumer},
		{"another person's", unsignedToken(`{"pid":"10987654321"}`), Request{PID: pid}, ErrWrongConsumer},
		{"a person's", unsignedToken(`{"pid":"` + pid + `"}`), Request{}, ErrWrongConsumer},
		{"another systembruker's", unsignedToken(`{"authorization_details":[{"type":"urn:altinn:systemuser","systemuser_org":{"authority":"iso6523-actorid-upis","ID":"0192:974760673"}}]}`), Request{SystemUser: SystemUser{OrgNumber: "991825827"}}, ErrWrongConsumer},
		{"another consent's", unsignedToken(`{"authorization_details":[{"type":"urn:altinn:consent","id":"77ed8698-4d9b-4a3b-8f9e-1a7cdbc1f0aa"}]}`), Request{Consent: Consent{ID: goldenConsent, From: consentPerson + pid}}, ErrWrongConsumer},
		{"a JWT that cannot be read", "a.b.c", Request{}, ErrUnavailable},
		{"the own organisation's", unsignedToken(`{"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:` + testOrg + `"}}`), Request{}, nil},
		{"opaque", "opaque", Request{ConsumerOrg: "991825827", PID: pid}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
				return reply(200, `{"access_token":"`+test.access+`","token_type":"Bearer","expires_in":120}`), nil
			}}
			c := w.client(t, nil)
			test.request.Scope = "s"
			_, err := c.Token(t.Context(), test.request)
			if test.err == nil {
				require.NoError(t, err, test.name)
				return
			}
			require.ErrorIs(t, err, test.err, test.name)
			require.NotContains(t, err.Error(), pid)
			require.NotContains(t, err.Error(), "10987654321")
		})
	}
}

// What a TokenExchange brings is held to the same.
func TestExchangedTokenIsHeldToWhatWasAskedFor(t *testing.T) {
	token := func(consumer string) string {
		return unsignedToken(`{"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:` + consumer + `"}}`)
	}
	for _, test := range []struct{ name, access, refused string }{
		{"another's", token("974760673"), ErrWrongConsumer.Error()},
		{"a JWT that cannot be read", "a.b.c", "cannot be read"},
		{"the own organisation's", token(testOrg), ""},
		{"opaque", "opaque", ""},
	} {
		c := (&wire{reply: ok}).client(t, nil).WithExchange(fixedExchange(test.access))
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		if test.refused == "" {
			require.NoError(t, err, test.name)
			continue
		}
		require.ErrorContains(t, err, test.refused, test.name)
		require.Equal(t, test.name == "another's", errors.Is(err, ErrWrongConsumer), test.name)
	}
}

// fixedExchange always brings this token.
type fixedExchange string

func (x fixedExchange) Exchange(context.Context, *http.Client, *Token, Request) (ExchangedToken, error) {
	return ExchangedToken{AccessToken: string(x), Lifetime: time.Minute}, nil
}

func sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
