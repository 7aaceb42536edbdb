package altinn_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func TestTrade(t *testing.T) {
	for _, test := range []struct {
		name string
		at   altinn.Exchange
		url  string
	}{
		{"prod", altinn.Prod, "https://platform.altinn.no/authentication/api/v1/exchange/maskinporten"},
		{"tt02", altinn.TT02, "https://platform.tt02.altinn.no/authentication/api/v1/exchange/maskinporten"},
		{"own, with a slash", altinn.Exchange{Platform: "http://127.0.0.1:5101/"}, "http://127.0.0.1:5101/authentication/api/v1/exchange/maskinporten"},
		{"test", altinn.Exchange{Platform: altinn.TT02.Platform, TestOrg: true}, "https://platform.tt02.altinn.no/authentication/api/v1/exchange/maskinporten?test=true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &world{}
			a := w.client(t).WithExchange(test.at)
			_, trades := w.counts()
			require.Zero(t, trades, "making it does no I/O")
			token, err := a.Token(t.Context(), maskinporten.Request{Scope: "altinn:instances.read"})
			require.NoError(t, err)
			require.Equal(t, []trade{{http.MethodGet, test.url, "Bearer maskinporten-1", "text/plain, application/json"}}, w.trades)
			require.Equal(t, "altinn:instances.read", token.Scope())
			require.Len(t, strings.Split(token.AccessToken(), "."), 3)
		})
	}
}

func TestRefusesAPlatform(t *testing.T) {
	w := &world{}
	for _, platform := range []string{"", "platform.altinn.no", "http://platform.altinn.no", "https://user:secret@platform.altinn.no", "https://platform.altinn.no?test=true"} {
		a := w.client(t).WithExchange(altinn.Exchange{Platform: platform})
		_, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
		var field *maskinporten.FieldError
		require.ErrorAs(t, err, &field, platform)
		require.Equal(t, "altinn.Exchange.Platform", field.Field)
		require.NotContains(t, err.Error(), "secret")
	}
	grants, trades := w.counts()
	require.Zero(t, grants+trades, "nothing is sent")

	a := w.altinn(t)
	var field *maskinporten.FieldError
	_, err := a.Token(t.Context(), maskinporten.Request{})
	require.ErrorAs(t, err, &field)
	_, err = a.Transport(maskinporten.Request{Scope: "s"}, nil)
	require.ErrorAs(t, err, &field)
}

// What others get wrong: a token of one exchange handed out for another.
func TestExchangesShareNoTokens(t *testing.T) {
	w := &world{}
	c := w.client(t)
	seen := map[string]altinn.Exchange{}
	for range 2 {
		for _, at := range []altinn.Exchange{
			altinn.Prod, altinn.TT02, {Platform: altinn.Prod.Platform, TestOrg: true}, {Platform: altinn.TT02.Platform, TestOrg: true},
		} {
			for _, r := range []maskinporten.Request{{Scope: "a b"}, {Scope: "a", ConsumerOrg: "991825827"}} {
				a := c.WithExchange(at)
				token, err := a.Token(t.Context(), r)
				require.NoError(t, err)
				own, err := c.Token(t.Context(), r)
				require.NoError(t, err)
				require.NotEqual(t, own.AccessToken(), token.AccessToken())
				payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token.AccessToken(), ".")[1])
				require.NoError(t, err)
				var claims struct{ Traded, At string }
				require.NoError(t, json.Unmarshal(payload, &claims))
				require.Equal(t, "Bearer "+own.AccessToken(), claims.Traded)
				require.True(t, strings.HasPrefix(claims.At, at.Platform))
				require.Equal(t, at.TestOrg, strings.HasSuffix(claims.At, "?test=true"))
				seen[token.AccessToken()] = at
			}
		}
	}
	require.Len(t, seen, 8)
	grants, trades := w.counts()
	require.Equal(t, 2, grants)
	require.Equal(t, 8, trades, "equal exchanges share one cache")
}

// What others get wrong too: Maskinporten's two minutes taken for Altinn's
// thirty, and the reverse.
func TestLifetimeIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		a := w.altinn(t)
		get := func() string {
			token, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.NoError(t, err)
			return token.AccessToken()
		}
		token, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
		require.NoError(t, err)
		require.Equal(t, 30*time.Minute, time.Until(token.Expiry()))
		first := token.AccessToken()
		time.Sleep(28 * time.Minute)
		require.Equal(t, first, get())
		grants, trades := w.counts()
		require.Equal(t, 1, grants)
		require.Equal(t, 1, trades)

		time.Sleep(time.Minute + 15*time.Second)
		require.Equal(t, first, get(), "stale: served at once")
		synctest.Wait()
		require.NotEqual(t, first, get(), "and refreshed behind it")
		grants, trades = w.counts()
		require.Equal(t, 2, grants)
		require.Equal(t, 2, trades)
		s := a.Stats()
		require.EqualValues(t, 2, s.Fetches)
		require.EqualValues(t, 1, s.Refreshes)
		require.False(t, s.NotAfter.IsZero())
	})
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hour = 3600
		now := time.Now().Unix()
		for _, test := range []struct {
			name   string
			claims object
			date   int64 // of the answer, from now; 0: none
			want   time.Duration
			reason string
		}{
			{"right clocks", object{"iat": now, "nbf": now, "exp": now + 1800}, 0, 30 * time.Minute, ""},
			{"Altinn an hour ahead", object{"iat": now + hour, "nbf": now + hour, "exp": now + hour + 1800}, hour, 30 * time.Minute, "our clock is not asked"},
			{"Altinn an hour behind", object{"iat": now - hour, "nbf": now - hour, "exp": now - hour + 1800}, -hour, 30 * time.Minute, "our clock is not asked"},
			{"iat of Maskinporten's token", object{"iat": now - 100, "nbf": now, "exp": now + 1800}, 0, 30 * time.Minute, "Altinn carries iat over"},
			{"nbf backdated", object{"iat": now, "nbf": now - 300, "exp": now + 1800}, 0, 30 * time.Minute, "the later counts"},
			{"only exp", object{"iat": nil, "nbf": nil, "exp": now + hour + 1800}, hour, 30 * time.Minute, "the answer's Date is Altinn's clock"},
			{"only exp, no Date", object{"iat": nil, "nbf": nil, "exp": now + 1800}, 0, 30 * time.Minute, "there is no other clock"},
			{"a year", object{"exp": now + 365*86400}, 0, 24 * time.Hour, "more than a day counts as a day"},
			{"ten seconds", object{"exp": now + 10}, 0, 10 * time.Second, ""},
		} {
			w := &world{answer: func(int, string) *http.Response {
				resp := reply(200, altinnsToken(test.claims))
				resp.Header.Del("Date")
				if test.date != 0 {
					resp.Header.Set("Date", time.Unix(now+test.date, 0).UTC().Format(http.TimeFormat))
				}
				return resp
			}}
			token, err := w.altinn(t).Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.NoError(t, err, test.name)
			require.Equal(t, test.want, time.Until(token.Expiry()), "%s: %s", test.name, test.reason)
		}
	})
}

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := altinnsToken(nil)
		for _, test := range []struct {
			name, body string
			reason     string // empty: it is a token
		}{
			{"plain", good, ""},
			{"a JSON string", `"` + good + `"`, ""},
			{"with a line break after", good + "\r\n", ""},
			{"empty", "", "no token"},
			{"an empty string", `""`, "no token"},
			{"half a string", `"` + good, "not valid JSON"},
			{"two strings", `"` + good + `""x"`, "not valid JSON"},
			{"an object", `{"token":"x"}`, "no token"},
			{"an object with a good one", `{"token":"` + good + `"}`, "no token"},
			{"an array with a good one", `["` + good + `"]`, "no token"},
			{"a scheme before a good one", "token=" + good + ";", "no token"},
			{"a page", "<html>log in</html>", "no token"},
			{"a line break inside", `"` + good + `\r\nX-Header: y"`, "line break"},
			{"no exp", altinnsToken(object{"exp": nil}), "no exp"},
			{"exp in the past", altinnsToken(object{"exp": 1}), "lives"},
			{"no JSON inside", "a.b.c", "no JWT"},
			{"another consumer's", altinnsToken(object{"consumer": object{"authority": "iso6523-actorid-upis", "ID": "0192:910753614"}}), "another consumer"},
			{"the consumer's", altinnsToken(object{"consumer": object{"authority": "iso6523-actorid-upis", "ID": "0192:991825827"}}), ""},
		} {
			w := &world{answer: func(int, string) *http.Response { return reply(200, test.body) }}
			token, err := w.altinn(t).Token(t.Context(), maskinporten.Request{Scope: "s", ConsumerOrg: "991825827"})
			if test.reason == "" {
				require.NoError(t, err, test.name)
				require.Len(t, strings.Split(token.AccessToken(), "."), 3)
				continue
			}
			require.ErrorContains(t, err, test.reason, test.name)
			require.ErrorContains(t, err, altinn.TT02.Platform)
			require.NotContains(t, err.Error(), good[:40])
			require.Equal(t, test.name != "another consumer's", errors.Is(err, maskinporten.ErrUnavailable), test.name)
			require.Equal(t, test.name == "another consumer's", errors.Is(err, maskinporten.ErrWrongConsumer), test.name)
		}
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name           string
			statuses       []int // of the trades in turn; the last one goes on
			grants, trades int
			ok             bool
		}{
			{"500 once", []int{500, 200}, 1, 2, true},
			{"503 for ever", []int{503}, 1, 3, false},
			{"429 twice", []int{429, 429, 200}, 1, 3, true},
			{"403", []int{403}, 1, 1, false},
			{"400", []int{400}, 1, 1, false},
			{"302", []int{302}, 1, 1, false},
			{"401 once: with a new Maskinporten token", []int{401, 200}, 2, 2, true},
			{"401 for ever: once", []int{401}, 2, 2, false},
			{"401, then 500, then a token", []int{401, 500, 200}, 2, 3, true},
		} {
			w := &world{answer: func(n int, bearer string) *http.Response {
				status := test.statuses[min(n, len(test.statuses))-1]
				if status == 200 {
					return reply(200, altinnsToken(nil))
				}
				return reply(status, "sorry: "+bearer)
			}}
			_, err := w.altinn(t).Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.Equal(t, test.ok, err == nil, "%s: %v", test.name, err)
			grants, trades := w.counts()
			require.Equal(t, test.grants, grants, test.name)
			require.Equal(t, test.trades, trades, test.name)
			if test.statuses[0] == 401 {
				require.NotEqual(t, w.trades[0].bearer, w.trades[1].bearer)
			}
		}
	})
}

func TestErrorsSayWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		for _, status := range []int{302, 400, 401, 403, 404, 429, 503} {
			w := &world{jwt: true, answer: func(int, string) *http.Response {
				return reply(status, "Something about "+person+"\nand more", "Retry-After", "7")
			}}
			a := w.altinn(t)
			_, err := a.Token(t.Context(), maskinporten.Request{Scope: "altinn:instances.read", ConsumerOrg: "991825827", PID: person})
			var refusal *altinn.Error
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, status, refusal.StatusCode)
			require.Equal(t, 7*time.Second, refusal.RetryAfter())
			require.Equal(t, status == 429 || status == 503, errors.Is(err, maskinporten.ErrUnavailable))
			require.NotContains(t, err.Error(), person)
			fmt.Fprintln(&out, err)
			want := "exchange"
			if refusal.Temporary() {
				want = "unavailable"
			}
			require.Equal(t, map[string]int64{want: 1}, a.Stats().Failures)
		}
		golden(t, "errors/altinn.txt", out.String())
	})
}

func TestRefusalIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(int, string) *http.Response { return reply(403, "") }}
		a := w.altinn(t)
		for range 100 {
			_, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.Error(t, err)
		}
		_, trades := w.counts()
		require.Equal(t, 1, trades)
		time.Sleep(time.Minute)
		w.answer = nil
		_, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
		require.NoError(t, err)
	})
}

// An Altinn that refuses every token must not make Maskinporten be asked for
// one on every call.
func TestAltinnThatAlwaysRefusesCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(int, string) *http.Response { return reply(401, "") }}
		a := w.altinn(t)
		for range 10 * 60 * 10 {
			_, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.Error(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		grants, trades := w.counts()
		require.Less(t, grants, 40, "in ten minutes")
		require.Less(t, trades, 60)
	})
}

func TestMaskinportensRefusalIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{refuse: reply(400, "")}
		a := w.altinn(t)
		for range 100 {
			_, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.ErrorIs(t, err, maskinporten.ErrUnknownClient)
		}
		grants, trades := w.counts()
		require.Equal(t, 1, grants)
		require.Zero(t, trades)
	})
}

// A new credential forgets refusals, for Altinn tokens too.
func TestNewCredentialForgetsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{refuse: reply(400, ""), lifetime: 120}
		first, second := maskinportentest.Certificate{}.Credential(), maskinportentest.Certificate{}.Credential().WithKeyID("new")
		source := &switchingSource{}
		source.use(first)
		c, err := maskinporten.New(maskinporten.Config{Environment: maskinporten.Test, ClientID: "client-1", Credential: source, HTTPClient: &http.Client{Transport: w}})
		require.NoError(t, err)
		a := c.WithExchange(altinn.TT02)
		for range 10 {
			_, err = a.Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.ErrorIs(t, err, maskinporten.ErrUnknownClient)
		}
		grants, _ := w.counts()
		require.Equal(t, 1, grants, "the same credential is not tried again")
		w.mu.Lock()
		w.refuse = nil
		w.mu.Unlock()
		source.use(second)
		_, err = a.Token(t.Context(), maskinporten.Request{Scope: "s"})
		require.NoError(t, err)
	})
}

func TestTransport(t *testing.T) {
	w := &world{}
	a := w.altinn(t)
	var sent []string
	refuseNext := false
	base := roundTrip(func(req *http.Request) (*http.Response, error) {
		sent = append(sent, req.Header.Get("Authorization"))
		if refuseNext {
			refuseNext = false
			return reply(401, ""), nil
		}
		return reply(200, "fine"), nil
	})
	transport, err := a.Transport(maskinporten.Request{Scope: "s"}, base, "ttd.apps.altinn.no")
	require.NoError(t, err)
	call := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://ttd.apps.altinn.no/ttd/app", nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, call())
	token, err := a.Token(t.Context(), maskinporten.Request{Scope: "s"})
	require.NoError(t, err)
	require.Equal(t, []string{"Bearer " + token.AccessToken()}, sent, "Altinn's token, not Maskinporten's")

	w.answer = func(n int, _ string) *http.Response { return reply(200, altinnsToken(object{"n": n})) }
	refuseNext = true
	require.Equal(t, 200, call(), "a token that an app refuses is traded anew")
	grants, trades := w.counts()
	require.Equal(t, 1, grants)
	require.Equal(t, 2, trades)
	require.NotEqual(t, sent[1], sent[2])

	a.Invalidate(strings.TrimPrefix(sent[2], "Bearer "))
	require.Equal(t, 200, call())
	_, trades = w.counts()
	require.Equal(t, 3, trades)
}

func TestPrefetch(t *testing.T) {
	w := &world{}
	requests := []maskinporten.Request{{Scope: "a"}, {Scope: "b"}, {Scope: "c"}}
	require.NoError(t, w.altinn(t).Prefetch(t.Context(), requests, 2, nil))
	_, trades := w.counts()
	require.Equal(t, 3, trades)
}

// Altinn, or what answers in its place, may echo a token that looks like none
// where net/http quotes it.
func TestEchoOfAnOpaqueTokenIsNotPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, err := (&world{}).client(t).Token(t.Context(), maskinporten.Request{Scope: "s"})
		require.NoError(t, err)
		_, err = altinn.TT02.Exchange(t.Context(), &http.Client{Transport: echo{}}, token, maskinporten.Request{Scope: "s"})
		require.ErrorContains(t, err, "malformed")
		for ; err != nil; err = errors.Unwrap(err) {
			require.NotContains(t, err.Error(), token.AccessToken())
		}
	})
}

type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("malformed HTTP response %q", r.Header.Get("Authorization"))
}

func TestPageInPlaceOfATokenIsQuoted(t *testing.T) {
	for body, says := range map[string]string{
		"<html>\n<title>Request Rejected</title>": "Request Rejected",
		`{"title":"Sperret","detail":"logg inn"}`: "Sperret: logg inn",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{answer: func(int, string) *http.Response { return reply(200, body) }}
			_, err := w.altinn(t).Token(t.Context(), maskinporten.Request{Scope: "s"})
			require.ErrorContains(t, err, says)
		})
	}
}
