package redisstore_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// renewed is a credential that is put in place of another.
type renewed struct {
	atomic.Pointer[maskinporten.Credential]
}

func (r *renewed) Credential(context.Context) (*maskinporten.Credential, error) { return r.Load(), nil }

// A credential that is renewed on half of the replicas splits them: each half
// shares tokens of its own, and none fails. Once all have it they share again.
func TestCredentialRenewedOnHalf(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	old, young := maskinportentest.Certificate{}.Credential(), maskinportentest.Certificate{Key: key}.Credential()
	var sources [4]renewed
	var all []maskinporten.CredentialSource
	for i := range sources {
		sources[i].Store(old)
		all = append(all, &sources[i])
	}
	p := newReplicas(t, func() redis.UniversalClient { return s.newClient() }, all...)

	p.sharesAgain(t)
	sources[2].Store(young)
	sources[3].Store(young)
	found := func(i int) int64 { return p.clients[i].Stats().FromStore }
	before, began := p.fake.TokenRequests(), time.Now()
	foundOld, foundYoung := found(0)+found(1), found(2)+found(3)
	worst := p.work(t, lifetime+2*time.Second)
	one := customers * (1 + time.Since(began).Seconds()/(0.7*lifetime.Seconds())) // requests of one replica, at most
	requests := p.fake.TokenRequests() - before
	t.Logf("worst call %v, %d requests, of one replica %.0f at most", worst, requests, one)
	require.Less(t, worst, patience)
	require.LessOrEqual(t, float64(requests), 2*one, "each half asks as one does")
	require.Greater(t, found(0)+found(1), foundOld)
	require.Greater(t, found(2)+found(3), foundYoung)
	sources[0].Store(young)
	sources[1].Store(young)
	p.sharesAgain(t)
}

// Replicas whose clocks are ten minutes apart share tokens once they have seen
// Maskinporten's clock, and never take one for living that is not. A bubble of
// synctest has a clock of its own, which stands still while Redis is asked.
func TestClocksApart(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		off      time.Duration // of the other replica's clock
		warm     bool          // it has asked Maskinporten before
		requests int           // that it makes
	}{
		{"late", -10 * time.Minute, true, 0},
		{"early", 10 * time.Minute, true, 0},
		{"late, and cold: the store's word", -10 * time.Minute, false, 0},
		{"early, and cold: all has ended by its clock, and its first grant is refused for its time", 10 * time.Minute, false, 2},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			s := startRedis(t)
			request := maskinporten.Request{Scope: "a:one", ConsumerOrg: orgNumber(0)}
			// live is a replica that asks for a token, on a clock that is off.
			live := func(off time.Duration, warm bool) (access string, requests int) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(time.Hour + off)
					fake := maskinportentest.New()
					fake.SetClock(-off)
					rdb := s.client(redis.Options{ContextTimeoutEnabled: true})
					defer rdb.Close()
					config := fake.Config()
					config.Store = newStore(t, rdb)
					client, err := maskinporten.New(config)
					require.NoError(t, err)
					if warm {
						_, err := client.Token(t.Context(), maskinporten.Request{Scope: "b:two"})
						require.NoError(t, err)
					}
					before, began := fake.TokenRequests(), time.Now()
					token, err := client.Token(t.Context(), request)
					require.NoError(t, err)
					synctest.Wait()
					require.Less(t, time.Since(began), 2*100*time.Millisecond+time.Second)
					require.WithinDuration(t, time.Now().Add(2*time.Minute), token.Expiry(), 20*time.Second)
					access, requests = token.AccessToken(), fake.TokenRequests()-before
				})
				return access, requests
			}
			first, requests := live(0, true)
			require.Equal(t, 1, requests)
			other, requests := live(tt.off, tt.warm)
			require.Equal(t, tt.requests, requests)
			require.Equal(t, tt.requests == 0, first == other)
			again, requests := live(0, true)
			require.Zero(t, requests, "what the other has put there serves as well")
			require.Equal(t, other, again)
		})
	}
}
