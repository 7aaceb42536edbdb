package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// benchClient is a client of a fake in memory. Nil means no store.
func benchClient(b *testing.B, fake *maskinportentest.Fake, store maskinporten.TokenStore) *maskinporten.Client {
	b.Helper()
	config := fake.Config()
	config.Store = store
	client, err := maskinporten.New(config)
	require.NoError(b, err)
	return client
}

func benchRequest(n int) maskinporten.Request {
	return maskinporten.Request{Scope: fmt.Sprint("a:", n)}
}

// BenchmarkFetch is what a call waits for that has no token at hand: without a
// store; with one that does not hold the token, which is asked for it and for
// the lease, and gets it afterwards; and with one that holds it. The first two
// include the fake's work, which is a signature as well, and no network.
func BenchmarkFetch(b *testing.B) {
	fetch := func(b *testing.B, client *maskinporten.Client, next func(n int)) (fetches, fromStore int64) {
		before := client.Stats()
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			next(n)
			if _, err := client.Token(b.Context(), benchRequest(n)); err != nil {
				b.Fatal(err)
			}
			n++
		}
		after := client.Stats()
		require.EqualValues(b, n, after.Fetches-before.Fetches)
		return after.Fetches - before.Fetches, after.FromStore - before.FromStore
	}
	nothing := func(int) {}
	b.Run("no store", func(b *testing.B) {
		fetch(b, benchClient(b, maskinportentest.New(), nil), nothing)
	})
	b.Run("store put", func(b *testing.B) {
		client := benchClient(b, maskinportentest.New(), newStore(b, startRedis(b).newClient()))
		_, fromStore := fetch(b, client, nothing)
		require.Zero(b, fromStore)
		require.Positive(b, client.Stats().StoreRequests[put])
	})
	b.Run("store hit", func(b *testing.B) {
		fake, store := maskinportentest.New(), newStore(b, startRedis(b).newClient())
		fake.SetTokenLifetime(time.Hour)
		filler, client := benchClient(b, fake, store), benchClient(b, fake, store)
		const batch = 100
		fetches, fromStore := fetch(b, client, func(n int) {
			if n%batch != 0 {
				return
			}
			b.StopTimer()
			fill(b, filler, n, n+batch)
			b.StartTimer()
		})
		require.Equal(b, fetches, fromStore)
	})
}

// fill has client put tokens into its store, and waits until they are there:
// calls are answered before.
func fill(b *testing.B, client *maskinporten.Client, from, to int) {
	b.Helper()
	for n := from; n < to; n++ {
		_, err := client.Token(b.Context(), benchRequest(n))
		require.NoError(b, err)
	}
	for deadline := time.Now().Add(time.Minute); client.Stats().StoreRequests[put] < int64(to); time.Sleep(time.Millisecond) {
		require.Less(b, time.Now(), deadline, "the store does not take the tokens: %v", client.Stats().StoreRequests)
	}
}

var put = maskinporten.StoreRequest{Operation: "set", Result: "ok"}

// BenchmarkHit is a call that has its token at hand: it costs the same with a
// store, which is not looked at.
func BenchmarkHit(b *testing.B) {
	hit := func(b *testing.B, store maskinporten.TokenStore) {
		fake := maskinportentest.New()
		fake.SetTokenLifetime(time.Hour)
		client := benchClient(b, fake, store)
		source, err := client.TokenSource(benchRequest(0))
		require.NoError(b, err)
		ctx := b.Context()
		_, err = source.TokenContext(ctx)
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := source.TokenContext(ctx); err != nil {
				b.Fatal(err)
			}
		}
		require.EqualValues(b, 1, client.Stats().Fetches)
	}
	b.Run("no store", func(b *testing.B) { hit(b, nil) })
	b.Run("store", func(b *testing.B) { hit(b, newStore(b, startRedis(b).newClient())) })
}
