package maskinporten

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

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
