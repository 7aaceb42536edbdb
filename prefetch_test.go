package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// organisations is n numbers that pass the check.
func organisations(n int) []string {
	var numbers []string
	for prefix := 300_000_000; len(numbers) < n; prefix += 10 {
		for check := range 10 {
			if number := itoa9(prefix + check); modulus11(number) {
				numbers = append(numbers, number)
			}
		}
	}
	return numbers
}

func customers(n int) []Request {
	var requests []Request
	for _, org := range organisations(n) {
		requests = append(requests, Request{Scope: "skatteetaten:inntekt", ConsumerOrg: org})
	}
	return requests
}

func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flying, most atomic.Int64
		requests := customers(100)
		undelegated, cut := requests[17].ConsumerOrg, requests[42].ConsumerOrg
		w := &wire{reply: func(_ int, g *sentGrant) (*http.Response, error) {
			now := flying.Add(1)
			defer flying.Add(-1)
			most.Store(max(most.Load(), now))
			time.Sleep(time.Second)
			switch g.claims["consumer_org"] {
			case undelegated:
				return reply(403, `{"error":"forbidden","error_uri":"https://test.maskinporten.no/errors/MP-251"}`), nil
			case cut:
				return nil, errors.New("cut off")
			}
			return ok(0, g)
		}}
		c := w.client(t, nil)
		bad := Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "123456789"}
		requests = append(requests, bad, requests[0])

		var progress []Prefetched
		err := c.Prefetch(t.Context(), requests, 10, func(p Prefetched) { progress = append(progress, p) })

		require.EqualValues(t, 10, most.Load())
		require.Len(t, progress, 102)
		for i, p := range progress {
			require.Equal(t, i+1, p.Done)
			require.Equal(t, 102, p.Total)
		}
		var failed *PrefetchError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failed, 3)
		require.Equal(t, 102, failed.Total)
		require.ErrorIs(t, failed.Failed[requests[17]], ErrNotDelegated)
		require.ErrorIs(t, failed.Failed[requests[42]], ErrUnavailable)
		var field *FieldError
		require.ErrorAs(t, failed.Failed[bad], &field)
		require.ErrorIs(t, err, ErrNotDelegated)
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorAs(t, err, &field)
		require.Contains(t, err.Error(), "3 of 102")

		sent := w.sent()
		require.NoError(t, c.Prefetch(t.Context(), requests[:17], 0, nil))
		require.Equal(t, sent, w.sent(), "what is at hand is not fetched again")
		require.NoError(t, c.Prefetch(t.Context(), nil, 10, nil))
	})
}

func TestPrefetchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(_ int, g *sentGrant) (*http.Response, error) {
			time.Sleep(time.Second)
			return ok(0, g)
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := w.client(t, nil).Prefetch(ctx, customers(100), 10, nil)
		require.Equal(t, 2500*time.Millisecond, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var failed *PrefetchError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failed, 80)
		require.Equal(t, 30, w.sent(), "nothing is begun after the end")
		time.Sleep(time.Minute)
	})
}

func TestPrefetchWhoseProgressPanicsLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := (&wire{reply: ok}).client(t, nil)
		require.PanicsWithValue(t, "mine", func() {
			_ = c.Prefetch(t.Context(), customers(100), 10, func(Prefetched) { panic("mine") })
		})
	}) // synctest.Test waits for every goroutine
}

func TestPrefetchErrorShowsNoPerson(t *testing.T) {
	w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
		return reply(400, `{"error":"invalid_request","error_description":"bad pid `+goldenPID+`"}`), nil
	}}
	err := w.client(t, nil).Prefetch(t.Context(), []Request{{Scope: "s", PID: goldenPID}}, 1, nil)
	var failed *PrefetchError
	require.ErrorAs(t, err, &failed)
	for _, verb := range []string{"%v", "%+v", "%s", "%q", "%#v"} {
		require.NotContains(t, fmt.Sprintf(verb, err), goldenPID, verb)
		require.NotContains(t, fmt.Sprintf(verb, failed.Failed), goldenPID, verb)
	}
}

// Many prefetching at once share what they fetch.
func TestPrefetchSharesFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		c := w.client(t, nil)
		requests := customers(50)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { require.NoError(t, c.Prefetch(context.Background(), requests, 10, nil)) })
		}
		wg.Wait()
		require.Equal(t, 50, w.sent())
	})
}

func TestPrefetchCountsThoseAlike(t *testing.T) {
	w := &wire{reply: func(int, *sentGrant) (*http.Response, error) {
		return reply(400, `{"error":"invalid_grant","error_uri":"https://test.maskinporten.no/errors/MP-100"}`), nil
	}}
	r := Request{Scope: "a b"}
	err := w.client(t, nil).Prefetch(t.Context(), []Request{r, r, r, {Scope: "b a"}}, 2, nil)
	require.ErrorContains(t, err, "4 of 4 requests got no token")
	require.ErrorIs(t, err, ErrUnknownClient)
	require.ErrorIs(t, err, ErrNoToken)
	require.Equal(t, 1, w.sent())
}

func TestPrefetchOfMoreThanThereIsRoomFor(t *testing.T) {
	w := &wire{reply: ok}
	c := w.client(t, nil)
	requests := make([]Request, maxEntries+1)
	for i := range requests {
		requests[i] = Request{Scope: fmt.Sprintf("s:%d", i)}
	}
	err := c.Prefetch(t.Context(), requests, 8, nil)
	require.ErrorContains(t, err, "a client holds at most 100000 tokens")
	require.ErrorIs(t, err, ErrNoToken)
	require.Zero(t, w.sent(), "nothing is sent")
	require.Zero(t, c.Stats().Entries)

	// Many requests for few tokens are no matter of room.
	for i := range requests {
		requests[i] = Request{Scope: []string{"a b", "b a"}[i%2]}
	}
	require.NoError(t, c.Prefetch(t.Context(), requests, 8, nil))
	require.Equal(t, 1, w.sent())
}

// Without an error all tokens are at hand: also those that came first.
func TestPrefetchNoticesTokensThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(n int, _ *sentGrant) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":8}`, n)), nil
		}}
		err := w.client(t, nil).Prefetch(t.Context(), customers(12), 1, nil)
		var failed *PrefetchError
		require.ErrorAs(t, err, &failed)
		require.ErrorContains(t, err, "5 of 12 requests got no token; the first: maskinporten: the token came, but is not at hand any more")
		require.Len(t, failed.Failed, 5)
		time.Sleep(time.Minute)
	})
}
