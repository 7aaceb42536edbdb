package maskinporten_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

// swap trades each token for one named after it, and counts.
type swap struct {
	name  string
	calls *atomic.Int64
	fail  func(t *maskinporten.Token) error
}

func (s *swap) Exchange(_ context.Context, _ *http.Client, t *maskinporten.Token, _ maskinporten.Request) (maskinporten.ExchangedToken, error) {
	s.calls.Add(1)
	if s.fail != nil {
		if err := s.fail(t); err != nil {
			return maskinporten.ExchangedToken{}, err
		}
	}
	return maskinporten.ExchangedToken{AccessToken: fmt.Sprint(s.name, "-", s.calls.Load()), Lifetime: time.Hour}, nil
}

// byValue is comparable, byMap is not.
type byValue struct {
	name  string
	calls *atomic.Int64
}

func (s byValue) Exchange(ctx context.Context, hc *http.Client, t *maskinporten.Token, r maskinporten.Request) (maskinporten.ExchangedToken, error) {
	return (&swap{name: s.name, calls: s.calls}).Exchange(ctx, hc, t, r)
}

type byMap struct {
	byValue
	_ map[string]string
}

var exchangedRequest = maskinporten.Request{Scope: "a:b"}

func TestWhoSharesExchangedTokens(t *testing.T) {
	client := newClient(t, maskinportentest.New())
	var calls atomic.Int64
	token := func(c *maskinporten.Client) string {
		token, err := c.Token(t.Context(), exchangedRequest)
		require.NoError(t, err)
		return token.AccessToken()
	}
	a := client.WithExchange(byValue{"a", &calls})
	require.Equal(t, "a-1", token(a))
	require.Equal(t, "a-1", token(client.WithExchange(byValue{"a", &calls})), "an equal one shares")
	require.Equal(t, "b-2", token(client.WithExchange(byValue{"b", &calls})))
	notComparable := client.WithExchange(byMap{byValue: byValue{"a", &calls}})
	require.Equal(t, "a-3", token(notComparable), "a cache of its own")
	require.Equal(t, "a-4", token(client.WithExchange(byMap{byValue: byValue{"a", &calls}})))
	require.Equal(t, "a-3", token(notComparable), "and kept")
	require.Equal(t, "c-5", token(a.WithExchange(byValue{"c", &calls})), "a trade of what a trade brought")
	require.EqualValues(t, 1, client.Stats().Fetches)
	require.EqualValues(t, 1, a.Stats().Fetches)
	a.Invalidate("a-1")
	require.Equal(t, "a-6", token(a))
	require.EqualValues(t, 1, client.Stats().Fetches, "Maskinporten's token was not at fault")
}

// What an exchange says with its error, and what comes of it.
func TestErrorsOfAnExchange(t *testing.T) {
	own := errors.New("own")
	for _, tt := range []struct {
		reason  string
		fail    func(*maskinporten.Token) error
		calls   int64 // in ten seconds of asking ten times a second
		atLeast int64
		grants  int
		is      error
	}{
		{"a refusal is remembered", func(*maskinporten.Token) error { return own }, 5, 1, 1, own},
		{"what may pass is tried again soon", func(*maskinporten.Token) error { return fmt.Errorf("x: %w", maskinporten.ErrUnavailable) }, 20, 8, 1, maskinporten.ErrUnavailable},
		{"so is what ran out of time", func(*maskinporten.Token) error { return context.DeadlineExceeded }, 20, 8, 1, maskinporten.ErrUnavailable},
		{"a rejected token is replaced once, as long as there are replacements", func(*maskinporten.Token) error { return maskinporten.ErrTokenRejected }, 10, 4, 6, maskinporten.ErrTokenRejected},
		{"a time to wait is kept to", func(*maskinporten.Token) error { return pacedError{} }, 1, 1, 1, nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := maskinportentest.New()
				var calls atomic.Int64
				c := newClient(t, fake).WithExchange(&swap{"a", &calls, tt.fail})
				for range 100 {
					_, err := c.Token(t.Context(), exchangedRequest)
					require.ErrorIs(t, err, maskinporten.ErrNoToken)
					require.ErrorContains(t, err, "exchanged by")
					if tt.is != nil {
						require.ErrorIs(t, err, tt.is)
					}
					time.Sleep(100 * time.Millisecond)
				}
				require.LessOrEqual(t, calls.Load(), tt.calls)
				require.GreaterOrEqual(t, calls.Load(), tt.atLeast)
				require.LessOrEqual(t, fake.TokenRequests(), tt.grants)
			})
		})
	}
}

type pacedError struct{}

func (pacedError) Error() string             { return "slow down" }
func (pacedError) RetryAfter() time.Duration { return 20 * time.Second }

// An exchange that echoes the token or the person in its error gives neither
// away, in the text or in what it unwraps to.
func TestErrorsOfAnExchangeHoldNoSecret(t *testing.T) {
	const person = "25922947409"
	for name, wrap := range map[string]func(error) error{
		"plain":   func(err error) error { return err },
		"wrapped": func(err error) error { return fmt.Errorf("echo: %w", err) },
		"joined":  func(err error) error { return errors.Join(errors.New("x"), err) },
		"hidden":  func(err error) error { return hiding{err} },
	} {
		var secret string
		var calls atomic.Int64
		c := newClient(t, maskinportentest.New()).WithExchange(&swap{"a", &calls, func(token *maskinporten.Token) error {
			secret = token.AccessToken()
			return wrap(errors.New("you sent " + secret + " for " + person))
		}})
		_, err := c.Token(t.Context(), maskinporten.Request{Scope: "a:b", PID: person})
		require.Error(t, err)
		var walk func(error)
		walk = func(err error) {
			if err == nil {
				return
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
				require.NotContains(t, text, secret, name)
				require.NotContains(t, text, person, name)
			}
			switch e := err.(type) {
			case interface{ Unwrap() error }:
				walk(e.Unwrap())
			case interface{ Unwrap() []error }:
				for _, inner := range e.Unwrap() {
					walk(inner)
				}
			}
		}
		walk(err)
		require.NotContains(t, c.Stats().LastError, secret)
	}
}

type hiding struct{ error }

func (hiding) Error() string   { return "nothing to see" }
func (h hiding) Unwrap() error { return h.error }

func TestBadExchangedTokens(t *testing.T) {
	for reason, x := range map[string]maskinporten.TokenExchange{
		"gave no token":  constant{},
		"line break":     constant{AccessToken: "a\r\nX: y", Lifetime: time.Hour},
		"lives 0s":       constant{AccessToken: "a"},
		"is nil":         nil,
		"lives -1s":      constant{AccessToken: "a", Lifetime: -time.Second},
		"holds a space,": constant{AccessToken: "a b", Lifetime: time.Hour},
	} {
		_, err := newClient(t, maskinportentest.New()).WithExchange(x).Token(t.Context(), exchangedRequest)
		require.ErrorContains(t, err, reason)
	}
	shown := maskinporten.ExchangedToken{AccessToken: "secret", Lifetime: time.Minute}
	text, err := shown.MarshalJSON()
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", shown, shown, shown, shown), shown.LogValue().String(), string(text)} {
		require.NotContains(t, text, "secret")
	}
}

type constant maskinporten.ExchangedToken

func (c constant) Exchange(context.Context, *http.Client, *maskinporten.Token, maskinporten.Request) (maskinporten.ExchangedToken, error) {
	return maskinporten.ExchangedToken(c), nil
}

// Nor can it put lines of its own into a log, or persons nobody knows of, be it
// in what its error unwraps to; what is found in the error is found still.
func TestErrorsOfAnExchangeAreCleaned(t *testing.T) {
	var calls atomic.Int64
	own := errors.New("own")
	c := newClient(t, maskinportentest.New()).WithExchange(&swap{"a", &calls, func(*maskinporten.Token) error {
		return fmt.Errorf("echo: %w\nlevel=INFO all is well %w", errors.New("\x1b[31mfor 259229-47409 by eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln"), own)
	}})
	_, err := c.Token(t.Context(), maskinporten.Request{Scope: "a:b"})
	require.ErrorIs(t, err, own)
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		for _, foreign := range []string{"\n", "\x1b", "259229", "eyJ"} {
			require.NotContains(t, err.Error(), foreign)
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	require.NotContains(t, c.Stats().LastError, "\n")
}
