package maskinporten

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// said is all that the library has logged in this package's tests, at every
// level, and what it printed in TestNothingLeaks; secrets is all that must not
// be in it. TestMain compares them when every test has run.
var (
	said    lockedBuffer
	secrets = struct {
		sync.Mutex
		m map[string]string // secret to what it is
	}{m: map[string]string{}}
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func secret(what, value string) {
	secrets.Lock()
	defer secrets.Unlock()
	secrets.m[value] = what
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, leak := range leaks(said.b.String()) {
		fmt.Println("leaked:", leak)
		code = 1
	}
	os.Exit(code)
}

// leaks names the secrets that are in text, in whole or in a telling part.
func leaks(text string) []string {
	secrets.Lock()
	defer secrets.Unlock()
	var found []string
	for value, what := range secrets.m {
		if strings.Contains(text, value) {
			found = append(found, what)
		}
		// An assertion or a key also leaks when a part of it does.
		const part = 40
		for i := 0; i+part < len(value); i += part / 2 {
			if strings.Contains(text, value[i:i+part]) {
				found = append(found, "part of "+what)
				break
			}
		}
	}
	return found
}

// tell prints v in every way that a program may.
func tell(v any) {
	fmt.Fprintf(&said, "%v\n%+v\n%#v\n%s\n%q\n%d\n%x\n", v, v, v, v, v, v, v)
	raw, _ := json.Marshal(v)
	said.Write(raw)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&said, nil), slog.NewJSONHandler(&said, nil)} {
		slog.New(handler).Info("told", "value", v, "in", struct{ V any }{v})
	}
	func() {
		defer func() { fmt.Fprintln(&said, recover()) }()
		panic(v)
	}()
	if err, ok := v.(error); ok {
		for _, inner := range unwrapped(err) {
			tell(inner)
		}
	}
}

func unwrapped(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return []error{inner}
		}
	}
	return nil
}

func TestLeaksAreFound(t *testing.T) {
	secret("a test value", "test-value-that-was-never-printed")
	require.Empty(t, leaks("nothing"))
	require.Equal(t, []string{"a test value"}, leaks("a test-value-that-was-never-printed b"))
}

func TestNothingLeaks(t *testing.T) {
	const (
		pid      = "12345678901"
		other    = "10987654321"
		password = "keystore-password"
		token    = "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiJzZWNyZXQtYWNjZXNzLXRva2VuIn0.c2lnbmF0dXJl"
	)
	secret("a pid", pid)
	secret("a consent's pid", other)
	secret("a password", password)
	secret("an access token", token)
	secret("half a pid", pid[:8])
	secret("an access token", "secret-access-token")
	d := testKey().D.Bytes()
	secret("a private key", hex.EncodeToString(d))
	secret("a private key", base64.StdEncoding.EncodeToString(d))
	secret("a private key", base64.RawURLEncoding.EncodeToString(d))
	secret("a private key", testKey().D.String())
	secret("a private key", testKey().Primes[0].String())

	request := Request{Scope: "s", PID: pid, Consent: Consent{ID: "77ed8698-4d9b-4a3b-8f9e-1a7cdbc1f0aa", From: consentPerson + other}}
	tell(request)
	tell(&request)
	tell(struct{ R Request }{request})
	tell(map[Request]int{request: 1})
	tell(request.Consent)

	answers := map[string]func(g *sentGrant) (*http.Response, error){
		"a refusal that echoes all it was sent": func(g *sentGrant) (*http.Response, error) {
			body, _ := json.Marshal(map[string]string{
				"error":             g.assertion,
				"error_description": "bad: " + g.assertion + " of " + pid + " and " + other + " (trace_id: " + pid + ")",
				"error_uri":         "https://x/" + g.assertion + "/" + pid,
			})
			return reply(400, string(body)), nil
		},
		"a gateway's page that echoes": func(g *sentGrant) (*http.Response, error) {
			return reply(502, "<html>"+g.assertion+" "+pid), nil
		},
		"an echo where the text is cut": func(g *sentGrant) (*http.Response, error) {
			body, _ := json.Marshal(map[string]string{
				"error":             "invalid_grant",
				"error_description": strings.Repeat("word ", 90) + g.assertion,
				"error_uri":         strings.Repeat("word ", 38) + pid,
			})
			return reply(400, string(body)), nil
		},
		"a page's echo where it is cut": func(g *sentGrant) (*http.Response, error) {
			return reply(502, strings.Repeat("word ", 35)+g.assertion), nil
		},
		"a redirect with the assertion": func(g *sentGrant) (*http.Response, error) {
			return reply(302, "", "Location", "https://x/?assertion="+g.assertion), nil
		},
		"a token that is none": func(g *sentGrant) (*http.Response, error) {
			return reply(200, `{"access_token":"`+token+`\n","token_type":"`+token+`","expires_in":"`+token+`"}`), nil
		},
		"a lifetime that is a token": func(g *sentGrant) (*http.Response, error) {
			return reply(200, `{"access_token":"a","token_type":"Bearer","expires_in":"`+token+`"}`), nil
		},
		"a field that is a token, twice": func(g *sentGrant) (*http.Response, error) {
			return reply(200, `{"`+token+`":1,"`+token+`":2}`), nil
		},
		"an HTTP client that prints what it sends": func(g *sentGrant) (*http.Response, error) {
			return nil, fmt.Errorf("could not send %s about %s", g.assertion, pid)
		},
		"an HTTP client that panics with it": func(g *sentGrant) (*http.Response, error) { panic(g.assertion) },
		"a token": func(g *sentGrant) (*http.Response, error) {
			return reply(200, `{"access_token":"`+token+`","token_type":"Bearer","expires_in":120}`), nil
		},
	}
	for reason, answer := range answers {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{reply: func(_ int, g *sentGrant) (*http.Response, error) {
					_, signed, _ := strings.Cut(g.assertion, ".") // the header is certificates, which are public
					secret("an assertion", signed)
					return answer(g)
				}}
				c := w.client(t, &said)
				got, err := c.Token(t.Context(), request)
				require.Equal(t, reason == "a token", got != nil)
				tellError(err)
				if got != nil {
					tell(got)
					tell(*got)
					tell(struct{ T *Token }{got})
					tell(struct{ T Token }{*got})
					tell(struct{ t Token }{*got})
				}
				s, err := c.TokenSource(request)
				require.NoError(t, err)
				tell(s)
				tr, err := c.Transport(request, nil, "api.example.no")
				require.NoError(t, err)
				tell(tr)
				tell(c)
				tell(c.Stats())
				time.Sleep(time.Minute)
			})
		})
	}

	cred := testCredential()
	tell(cred)
	tell(*cred)
	tell(Config{Credential: cred})
	tell(struct{ c *Credential }{cred})
	tell(PKCS12File("nowhere.p12", password))
	tell(&fileSource{file: keystore.StoreFile("nowhere.p12", password, "", "")})
	_, err := PKCS12File("nowhere.p12", password).Credential(context.Background())
	tell(err)
	_, err = LoadPKCS12([]byte("not a keystore"), password)
	tell(err)
	for _, bad := range []string{`{"kty":"RSA","kid":"k","d":"` + base64.RawURLEncoding.EncodeToString(d) + `"}`, base64.RawURLEncoding.EncodeToString(d)} {
		_, err = LoadJWK([]byte(bad))
		tell(err)
	}
}

// tellError prints an error, all that it wraps, and what errors.As finds in it.
func tellError(err error) {
	if err == nil {
		return
	}
	tell(err)
	var e *Error
	if errors.As(err, &e) {
		tell(*e)
	}
	var x *oauth2.RetrieveError
	if errors.As(err, &x) {
		tell(x)
	}
}

// An exchange may put what it was sent, or part of it, into its errors.
func TestExchangeErrorsHoldNoEcho(t *testing.T) {
	const token = "opaque-token-that-has-no-look-of-its-own"
	secret("a token that was traded", token)
	for reason, echo := range map[string]error{
		"whole":    errors.New("refused " + token),
		"part":     errors.New("refused " + token[5:25]),
		"wrapped":  fmt.Errorf("%w: refused", fmt.Errorf("got %s", token)),
		"a person": errors.New("refused 123456 78901"),
		"lines":    errors.New("refused\r\nlevel=ERROR"),
	} {
		t.Run(reason, func(t *testing.T) {
			w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
				return reply(200, `{"access_token":"`+token+`","token_type":"Bearer","expires_in":120}`), nil
			}}
			_, err := w.client(t, nil).WithExchange(failingExchange{echo}).Token(t.Context(), Request{Scope: "s", PID: "12345678901"})
			require.Error(t, err)
			for all := []error{err}; len(all) > 0; all = append(all[1:], unwrapped(all[0])...) {
				require.NotContains(t, all[0].Error(), token[5:25])
				require.NotContains(t, all[0].Error(), "78901")
				require.NotContains(t, all[0].Error(), "\n")
			}
			tellError(err)
		})
	}
}

type failingExchange struct{ err error }

func (x failingExchange) Exchange(context.Context, *http.Client, *Token, Request) (ExchangedToken, error) {
	return ExchangedToken{}, x.err
}
