package maskinporten

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// perCustomer answers with a token that names the consumer of its grant, and
// with one that does not: what it is for, under a name of its own.
func perCustomer(_ int, g *sentGrant) (*http.Response, error) {
	consumer, _ := g.claims["consumer_org"].(string)
	token := unsignedToken(string(mustJSON(object{
		"consumer": object{"authority": actorAuthority, "ID": "0192:" + consumer}, "for": consumer,
	})))
	return reply(200, string(mustJSON(object{"access_token": token, "token_type": "Bearer", "expires_in": 120}))), nil
}

// A supplier has a transport for each customer. It must be cheap enough to
// make one for all of them, or one for each call.
func TestCustomerCostsLessThanAKilobyte(t *testing.T) {
	const n = 20_000
	w := &wire{reply: perCustomer}
	c := w.client(t, nil)
	requests := customers(n)
	transports := make([]*Transport, n)
	sources := make([]*TokenSource, n)
	base := http.DefaultTransport

	weigh := func(make func(i int)) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC() // what sync.Pools held goes with the second
		runtime.ReadMemStats(&before)
		for i := range n {
			make(i)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		return (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / n
	}
	transport := weigh(func(i int) {
		var err error
		transports[i], err = c.Transport(requests[i], base, "inntekt.api.skatteetaten-test.no")
		require.NoError(t, err)
	})
	source := weigh(func(i int) {
		var err error
		sources[i], err = c.TokenSource(requests[i])
		require.NoError(t, err)
	})
	t.Logf("%.0f bytes a transport, %.0f a token source", transport, source)
	require.Less(t, transport, 1024.0)
	require.Less(t, source, 1024.0)
	require.Zero(t, w.sent(), "and no I/O")
	require.Zero(t, c.Stats().Entries, "nor an entry, before it is used")
	runtime.KeepAlive(requests)
	runtime.KeepAlive(transports)
	runtime.KeepAlive(sources)
}

// Five hundred customers call at the same time through one client, twice: no
// call carries another's token.
func TestCustomersDoNotMix(t *testing.T) {
	t.Parallel()
	const n = 500
	w := &wire{reply: perCustomer}
	c := w.client(t, nil)
	api := roundTripper(func(req *http.Request) (*http.Response, error) {
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			return nil, err
		}
		var claims struct{ For string }
		if err := json.Unmarshal(payload, &claims); err != nil {
			return nil, err
		}
		return reply(200, claims.For), nil
	})
	requests := customers(n)
	for range 2 {
		var wg sync.WaitGroup
		for _, r := range requests {
			wg.Go(func() {
				transport, err := c.Transport(r, api, "inntekt.api.skatteetaten-test.no")
				if err != nil {
					t.Error(err)
					return
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://inntekt.api.skatteetaten-test.no/v1/"+r.ConsumerOrg, nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if body, _ := io.ReadAll(resp.Body); string(body) != r.ConsumerOrg {
					t.Errorf("%s got the token of %q", r.ConsumerOrg, body)
				}
			})
		}
		wg.Wait()
		require.Equal(t, n, w.sent(), "each is fetched once")
		require.Equal(t, n, c.Stats().Entries)
	}
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
