package maskinporten

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

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
