package maskinporten_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// memoryStore is a store that obeys the contract of TokenStore, until a test
// has it do otherwise.
type memoryStore struct {
	mu     sync.Mutex
	values map[string]stored
	leases map[string]time.Time
	asked  map[string]int // by operation

	before func(ctx context.Context, operation string) error
	read   func(name string, sealed []byte) []byte
	offset time.Duration // of the store's clock
}

type stored struct {
	sealed []byte
	until  time.Time
}

func newMemoryStore() *memoryStore {
	return &memoryStore{values: make(map[string]stored), leases: make(map[string]time.Time), asked: make(map[string]int)}
}

func (s *memoryStore) start(ctx context.Context, operation string) error {
	s.mu.Lock()
	s.asked[operation]++
	before := s.before
	s.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx, operation)
}

func (s *memoryStore) set(before func(ctx context.Context, operation string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func (s *memoryStore) now() time.Time { return time.Now().Add(s.offset) }

func (s *memoryStore) Get(ctx context.Context, name string) ([]byte, time.Duration, error) {
	if err := s.start(ctx, "get"); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[name]
	if left := v.until.Sub(s.now()); ok && left > 0 {
		if s.read != nil {
			return s.read(name, v.sealed), left, nil
		}
		return v.sealed, left, nil
	}
	return nil, 0, maskinporten.ErrStoreMiss
}

func (s *memoryStore) Set(ctx context.Context, name string, sealed []byte, ttl time.Duration) error {
	if err := s.start(ctx, "set"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] = stored{sealed, s.now().Add(ttl)}
	delete(s.leases, name)
	return nil
}

func (s *memoryStore) Delete(ctx context.Context, name string, sealed []byte) error {
	if err := s.start(ctx, "delete"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.values[name].sealed, sealed) {
		delete(s.values, name)
	}
	return nil
}

func (s *memoryStore) Lease(ctx context.Context, name string, ttl time.Duration) (bool, error) {
	if err := s.start(ctx, "lease"); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[name].After(s.now()) {
		return false, nil
	}
	s.leases[name] = s.now().Add(ttl)
	return true, nil
}

// replicas are clients of one integration that share a store.
func replicas(t *testing.T, fake *maskinportentest.Fake, store maskinporten.TokenStore, n int) []*maskinporten.Client {
	t.Helper()
	clients := make([]*maskinporten.Client, n)
	for i := range clients {
		config := fake.Config()
		config.Store = store
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		clients[i] = client
	}
	return clients
}

func get(t *testing.T, c *maskinporten.Client, r maskinporten.Request) *maskinporten.Token {
	t.Helper()
	token, err := c.Token(t.Context(), r)
	require.NoError(t, err)
	require.Greater(t, time.Until(token.Expiry()), time.Duration(0))
	synctest.Wait() // until the token is in the store
	return token
}

var storeRequest = maskinporten.Request{Scope: "a:one", ConsumerOrg: pension}

func TestReplicasFetchAsOne(t *testing.T) {
	fetches := func(n int, store maskinporten.TokenStore) (count int) {
		synctest.Test(t, func(t *testing.T) {
			fake := maskinportentest.New()
			clients := replicas(t, fake, store, n)
			for start := time.Now(); time.Since(start) < 30*time.Minute; time.Sleep(100 * time.Millisecond) {
				for _, c := range clients {
					_, err := c.Token(t.Context(), storeRequest)
					require.NoError(t, err)
				}
			}
			synctest.Wait()
			count = fake.TokenRequests()
		})
		return count
	}
	alone := fetches(1, nil)
	require.InDelta(t, 3*alone, fetches(3, nil), 3)
	require.LessOrEqual(t, fetches(3, newMemoryStore()), alone+1)
}

// Who fetched a token refreshes it, and the others find its successor: ten
// replicas ask as often as one, and not as often as whichever of them finds a
// token stale first.
func TestReplicasFollowTheOneThatFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.SetTokenLifetime(2 * time.Minute)
		store := newMemoryStore()
		clients := replicas(t, fake, store, 10)
		for range int(time.Hour / time.Second) {
			for _, c := range clients {
				get(t, c, storeRequest)
			}
			time.Sleep(time.Second)
		}
		for _, c := range clients[1:] {
			require.Equal(t, c.Stats().FromStore, c.Stats().Fetches, "a follower has fetched")
		}
		require.Equal(t, fake.TokenRequests(), store.asked["lease"], "followers compete for the lease")
	})
}

// A process that starts when another has the token asks Maskinporten nothing.
func TestColdStartFindsAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		clients := replicas(t, fake, store, 2)
		first := get(t, clients[0], storeRequest)
		time.Sleep(time.Minute)
		second := get(t, clients[1], storeRequest)
		require.Equal(t, first.AccessToken(), second.AccessToken())
		require.Equal(t, first.Scope(), second.Scope())
		require.WithinDuration(t, first.Expiry(), second.Expiry(), time.Second)
		require.Equal(t, 1, fake.TokenRequests())
		require.EqualValues(t, 1, clients[1].Stats().FromStore)
		require.Equal(t, map[maskinporten.StoreRequest]int64{{Operation: "get", Result: "hit"}: 1}, clients[1].Stats().StoreRequests)

		other := get(t, clients[1], maskinporten.Request{Scope: "a:one"})
		require.NotEqual(t, first.AccessToken(), other.AccessToken(), "of another request")
		require.Equal(t, 2, fake.TokenRequests())
	})
}

func TestHitsAskNoStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore()
		client := replicas(t, maskinportentest.New(), store, 1)[0]
		get(t, client, storeRequest)
		before := maps.Clone(store.asked)
		for range 1000 {
			get(t, client, storeRequest)
		}
		require.Equal(t, before, store.asked)
	})
}

func TestStoreSeesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		client := replicas(t, fake, store, 1)[0]
		r := storeRequest
		r.PID = "25922947409"
		token := get(t, client, r)
		var dump strings.Builder
		for name, v := range store.values {
			fmt.Fprintf(&dump, "%s %s\n", name, v.sealed)
		}
		require.NotEmpty(t, dump.String())
		for _, open := range []string{token.AccessToken(), r.Scope, r.ConsumerOrg, r.PID, maskinportentest.DefaultClientID, "access_token"} {
			require.NotContains(t, dump.String(), open)
		}
	})
}

// Whatever a store does, no call fails, none waits for more than two operations
// beside what it waits for without a store, and no wrong token is handed out.
func TestStoreFaults(t *testing.T) {
	const latency = 300 * time.Millisecond
	hang := func(context.Context, string) error { time.Sleep(time.Minute); return nil }
	var replayed []byte
	swap := map[string][]byte{}
	for _, tt := range []struct {
		reason string
		before func(ctx context.Context, operation string) error
		read   func(name string, sealed []byte) []byte
	}{
		{"it works", nil, nil},
		{"it is down", func(context.Context, string) error { return errors.New("connection refused") }, nil},
		{"it is slow, and obeys", func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }, nil},
		{"it hangs", hang, nil},
		{"it is nearly too slow", func(context.Context, string) error { time.Sleep(99 * time.Millisecond); return nil }, nil},
		{"it panics", func(context.Context, string) error { panic("no store") }, nil},
		{"it cannot be written to", func(_ context.Context, op string) error {
			if op == "get" {
				return nil
			}
			return errors.New("READONLY")
		}, nil},
		{"it gives no lease", func(_ context.Context, op string) error {
			if op == "lease" {
				return errors.New("NOPERM")
			}
			return nil
		}, nil},
		{"values are cut", nil, func(_ string, b []byte) []byte { return b[:len(b)/2] }},
		{"values are flipped", nil, func(_ string, b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }},
		{"values are swapped", nil, func(name string, b []byte) []byte {
			for other, sealed := range swap {
				if other != name {
					return sealed
				}
			}
			swap[name] = b
			return b
		}},
		{"values are replayed", nil, func(_ string, b []byte) []byte {
			if replayed == nil {
				replayed = b
			}
			return replayed
		}},
		{"values are of another version", nil, func(_ string, b []byte) []byte { b = bytes.Clone(b); b[0]++; return b }},
		{"values are planted", nil, func(string, []byte) []byte { return []byte("eyJhbGciOiJub25lIn0.e30.") }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, store := maskinportentest.New(), newMemoryStore()
				fake.Fail(maskinportentest.Fault{Delay: latency})
				store.before, store.read = tt.before, tt.read
				var log bytes.Buffer
				config := fake.Config()
				config.Store, config.Logger = store, slog.New(slog.NewTextHandler(&log, nil))
				var clients []*maskinporten.Client
				for range 3 {
					c, err := maskinporten.New(config)
					require.NoError(t, err)
					clients = append(clients, c)
				}
				fake.Handle("api.example.no", fake.Guard("a:one", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, maskinportentest.ClaimsFromContext(r.Context()).Consumer)
				})))
				for start := time.Now(); time.Since(start) < 10*time.Minute; time.Sleep(7 * time.Second) {
					for i, org := range []string{pension, "314168267", pension} {
						transport, err := clients[i].Transport(maskinporten.Request{Scope: "a:one", ConsumerOrg: org}, fake.Transport(), "api.example.no")
						require.NoError(t, err)
						before := time.Now()
						resp, err := (&http.Client{Transport: transport}).Get("https://api.example.no/")
						require.NoError(t, err)
						require.Equal(t, http.StatusOK, resp.StatusCode)
						body, err := io.ReadAll(resp.Body)
						require.NoError(t, err)
						require.Equal(t, org, string(body), "whose data it is")
						require.LessOrEqual(t, time.Since(before), latency+2*100*time.Millisecond)
					}
				}
				synctest.Wait() // until the log is written, which nobody waits for
				require.LessOrEqual(t, fake.TokenRequests(), 3*10, "as without a store: one in 87 s each")
				require.LessOrEqual(t, strings.Count(log.String(), "level=WARN"), 3*2, log.String())
				store.set(nil)
				time.Sleep(time.Minute) // until what hangs is back
			})
		})
	}
}

// All is well when the store is.
func TestStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		clients := replicas(t, fake, store, 3)
		run := func(d time.Duration) (requests int) {
			before := fake.TokenRequests()
			for start := time.Now(); time.Since(start) < d; time.Sleep(100 * time.Millisecond) {
				for _, c := range clients {
					get(t, c, storeRequest)
				}
			}
			return fake.TokenRequests() - before
		}
		store.set(func(context.Context, string) error { return errors.New("connection refused") })
		require.GreaterOrEqual(t, run(10*time.Minute), 3*6)
		store.set(nil)
		run(2 * time.Minute) // for a new token
		require.LessOrEqual(t, run(10*time.Minute), 7)
	})
}

// A call that lost the lease takes what the winner puts there, or waits for a
// second and fetches for itself. One in the background does neither.
func TestLease(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		latency  time.Duration // of the winner's fetch
		most     time.Duration // the loser waits
		requests int
	}{
		{"the winner is quick", 300 * time.Millisecond, 400 * time.Millisecond, 1},
		{"the winner is slow", 15 * time.Second, time.Second + 15*time.Second, 2},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, store := maskinportentest.New(), newMemoryStore()
				clients := replicas(t, fake, store, 2)
				fake.Fail(maskinportentest.Fault{Delay: tt.latency})
				go clients[0].Token(t.Context(), storeRequest)
				time.Sleep(time.Millisecond)
				start := time.Now()
				_, err := clients[1].Token(t.Context(), storeRequest)
				require.NoError(t, err)
				require.LessOrEqual(t, time.Since(start), tt.most)
				require.Equal(t, tt.requests, fake.TokenRequests())
				synctest.Wait()
			})
		})
	}
}

func TestLeaseInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		clients := replicas(t, fake, store, 2)
		first := get(t, clients[0], storeRequest)
		get(t, clients[1], storeRequest)
		fake.Fail(maskinportentest.Fault{Delay: 5 * time.Second})
		time.Sleep(91 * time.Second)
		get(t, clients[0], storeRequest) // starts a refresh
		for range 70 {
			start := time.Now()
			get(t, clients[1], storeRequest)
			require.Equal(t, start, time.Now(), "nobody waits")
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 2, fake.TokenRequests())
		require.NotEqual(t, first.AccessToken(), get(t, clients[1], storeRequest).AccessToken())
		require.LessOrEqual(t, clients[1].Stats().StoreRequests[maskinporten.StoreRequest{Operation: "lease", Result: "lost"}], int64(6), "one look a second")
		require.Empty(t, clients[1].Stats().Failures)
		require.EqualValues(t, 2, clients[1].Stats().Fetches)
	})
}

// A lease may be won because another has just put its token there.
func TestLeaseWonTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		clients := replicas(t, fake, store, 2)
		var slow atomic.Bool
		slow.Store(true)
		store.before = func(_ context.Context, operation string) error {
			if operation == "lease" && slow.CompareAndSwap(true, false) {
				time.Sleep(50 * time.Millisecond)
			}
			return nil
		}
		done := make(chan string)
		go func() {
			token, err := clients[0].Token(t.Context(), storeRequest)
			require.NoError(t, err)
			done <- token.AccessToken()
		}()
		time.Sleep(time.Millisecond)
		first := get(t, clients[1], storeRequest)
		require.Equal(t, first.AccessToken(), <-done)
		require.Equal(t, 1, fake.TokenRequests())
		require.Empty(t, store.leases, "nobody is fetching")
	})
}

// A process whose fetch has failed has the lease still, and does not wait for
// itself.
func TestLeaseOfAFailedFetchIsOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		client := replicas(t, fake, store, 1)[0]
		fake.FailNext(1, maskinportentest.Fault{MPCode: "MP-251"})
		_, err := client.Token(t.Context(), storeRequest)
		require.ErrorIs(t, err, maskinporten.ErrNotDelegated)
		time.Sleep(2 * time.Second)
		start := time.Now()
		get(t, client, storeRequest)
		require.Equal(t, start, time.Now())
		require.Empty(t, store.leases)
	})
}

// A token that an API has rejected is replaced for all replicas by the first
// that hears of it. One from the store has not just been fetched.
func TestRejectedTokenLeavesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		clients := replicas(t, fake, store, 3)
		fake.Handle("api.example.no", fake.Guard("a:one", http.NotFoundHandler()))
		call := func(c *maskinporten.Client) int {
			transport, err := c.Transport(storeRequest, fake.Transport(), "api.example.no")
			require.NoError(t, err)
			resp, err := (&http.Client{Transport: transport}).Get("https://api.example.no/")
			require.NoError(t, err)
			resp.Body.Close()
			synctest.Wait()
			return resp.StatusCode
		}
		require.Equal(t, http.StatusNotFound, call(clients[0]))
		require.Equal(t, http.StatusNotFound, call(clients[1]))
		require.Equal(t, 1, fake.TokenRequests())
		time.Sleep(time.Second)
		fake.RevokeTokens()
		require.Equal(t, http.StatusNotFound, call(clients[2]), "it was got from the store, rejected and replaced")
		require.Equal(t, 2, fake.TokenRequests())
		require.Equal(t, 1, store.asked["delete"])
		require.Equal(t, http.StatusNotFound, call(clients[0]))
		require.Equal(t, http.StatusNotFound, call(clients[1]))
		require.Equal(t, 2, fake.TokenRequests(), "the replacement is everybody's")
	})
}

func TestInvalidatedTokenLeavesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		clients := replicas(t, fake, store, 2)
		first := get(t, clients[0], storeRequest)
		clients[0].Invalidate(first.AccessToken())
		second := get(t, clients[0], storeRequest)
		require.NotEqual(t, first.AccessToken(), second.AccessToken())
		require.Equal(t, second.AccessToken(), get(t, clients[1], storeRequest).AccessToken())
	})
}

// Who waits for a token does not wait for the store to have it.
func TestNobodyWaitsForSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		store.before = func(ctx context.Context, operation string) error {
			if operation == "set" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		client := replicas(t, fake, store, 1)[0]
		start := time.Now()
		_, err := client.Token(t.Context(), storeRequest)
		require.NoError(t, err)
		require.Equal(t, start, time.Now())
		time.Sleep(time.Hour)
	})
}

func TestExchangedTokensStayOutOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		client := replicas(t, fake, store, 1)[0].WithExchange(fixedExchange{})
		token := get(t, client, storeRequest)
		require.Equal(t, "exchanged", token.AccessToken())
		require.Len(t, store.values, 1, "Maskinporten's own")
		require.Nil(t, client.Stats().StoreRequests)
	})
}

type fixedExchange struct{}

func (fixedExchange) Exchange(context.Context, *http.Client, *maskinporten.Token, maskinporten.Request) (maskinporten.ExchangedToken, error) {
	return maskinporten.ExchangedToken{AccessToken: "exchanged", Lifetime: time.Minute}, nil
}

// While a new credential is rolled out, those with the old one share tokens
// among themselves, and those with the new one likewise.
func TestStoreWhileACredentialIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, store := maskinportentest.New(), newMemoryStore()
		old := replicas(t, fake, store, 2)
		config := fake.Config()
		config.Store = store
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		config.Credential = maskinportentest.Certificate{Key: key}.Credential()
		young, err := maskinporten.New(config)
		require.NoError(t, err)
		for range 20 {
			a, b := get(t, old[0], storeRequest), get(t, old[1], storeRequest)
			require.Equal(t, a.AccessToken(), b.AccessToken())
			require.NotEqual(t, a.AccessToken(), get(t, young, storeRequest).AccessToken())
			time.Sleep(50 * time.Second)
		}
	})
}

// Replicas whose clocks are ten minutes off share tokens once they have seen
// Maskinporten's, and never take one for living that is not.
func TestStoreAcrossClocks(t *testing.T) {
	const age = 30 * time.Second // of the token, when the other replica looks
	for _, tt := range []struct {
		reason  string
		off     time.Duration // of the other replica's clock
		warm    bool          // it has asked Maskinporten before
		fetches bool          // it fetches a token of its own
	}{
		{"late", -10 * time.Minute, true, false},
		{"early", 10 * time.Minute, true, false},
		{"late, and cold: the store's word", -10 * time.Minute, false, false},
		{"early, and cold: all has ended by its clock", 10 * time.Minute, false, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			store := newMemoryStore()
			var first *maskinporten.Token
			synctest.Test(t, func(t *testing.T) { // the same hour twice: on a clock that is right
				time.Sleep(time.Hour)
				first = get(t, replicas(t, maskinportentest.New(), store, 1)[0], storeRequest)
			})
			synctest.Test(t, func(t *testing.T) { // and on one that is not
				time.Sleep(time.Hour + age + tt.off)
				store.offset = -tt.off
				fake := maskinportentest.New()
				fake.SetClock(-tt.off)
				client := replicas(t, fake, store, 1)[0]
				if tt.warm {
					get(t, client, maskinporten.Request{Scope: "b:two"})
				}
				asked := fake.TokenRequests()
				second := get(t, client, storeRequest)
				if tt.fetches {
					require.NotEqual(t, first.AccessToken(), second.AccessToken())
					return
				}
				require.Equal(t, first.AccessToken(), second.AccessToken())
				require.Equal(t, asked, fake.TokenRequests())
				require.InDelta(t, (2*time.Minute - age).Seconds(), time.Until(second.Expiry()).Seconds(), 2)
			})
		})
	}
}
