package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/redisstore"
)

func newStore(t testing.TB, rdb redis.UniversalClient) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(rdb, redisstore.Options{})
	require.NoError(t, err)
	return s
}

func TestNew(t *testing.T) {
	for _, none := range []redis.UniversalClient{nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil)} {
		_, err := redisstore.New(none, redisstore.Options{})
		require.ErrorContains(t, err, "nil")
	}
	const nobody = "127.0.0.1:1" // New must not ask it
	for reason, c := range map[string]struct {
		rdb  redis.UniversalClient
		warn bool
	}{
		"single":             {redis.NewClient(&redis.Options{Addr: nobody, ContextTimeoutEnabled: true}), false},
		"single, deaf":       {redis.NewClient(&redis.Options{Addr: nobody}), true},
		"sentinel":           {redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{nobody}, ContextTimeoutEnabled: true}), false},
		"sentinel, deaf":     {redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{nobody}}), true},
		"cluster":            {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nobody}, ContextTimeoutEnabled: true}), false},
		"cluster, deaf":      {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nobody}}), true},
		"ring":               {redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": nobody}, ContextTimeoutEnabled: true}), false},
		"ring, deaf":         {redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": nobody}}), true},
		"of another package": {struct{ redis.UniversalClient }{redis.NewClient(&redis.Options{Addr: nobody})}, false},
	} {
		var log bytes.Buffer
		_, err := redisstore.New(c.rdb, redisstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err, reason)
		require.Equal(t, c.warn, strings.Contains(log.String(), "ContextTimeoutEnabled"), reason)
		c.rdb.Close()
	}
}

func TestStore(t *testing.T) {
	clients := map[string]func(t *testing.T) redis.UniversalClient{
		"single":  func(t *testing.T) redis.UniversalClient { return startRedis(t).newClient() },
		"cluster": func(t *testing.T) redis.UniversalClient { return startCluster(t) },
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) { testStore(t, client(t)) })
	}
}

func testStore(t *testing.T, rdb redis.UniversalClient) {
	ctx := t.Context()
	s := newStore(t, rdb)
	one, two := []byte("one\x00\xff"), []byte("two")

	_, _, err := s.Get(ctx, "a")
	require.ErrorIs(t, err, maskinporten.ErrStoreMiss)

	require.NoError(t, s.Set(ctx, "a", one, time.Minute))
	got, left, err := s.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, one, got)
	require.Greater(t, left, 30*time.Second)
	require.LessOrEqual(t, left, time.Minute)
	_, _, err = s.Get(ctx, "b")
	require.ErrorIs(t, err, maskinporten.ErrStoreMiss)

	require.NoError(t, s.Delete(ctx, "a", two), "another value")
	require.NoError(t, s.Delete(ctx, "b", one), "none")
	_, _, err = s.Get(ctx, "a")
	require.NoError(t, err)
	require.NoError(t, s.Delete(ctx, "a", one))
	_, _, err = s.Get(ctx, "a")
	require.ErrorIs(t, err, maskinporten.ErrStoreMiss)

	lease := func(name string, ttl time.Duration) bool {
		won, err := s.Lease(ctx, name, ttl)
		require.NoError(t, err)
		return won
	}
	require.True(t, lease("a", time.Minute))
	require.False(t, lease("a", time.Minute), "somebody has it")
	require.True(t, lease("b", time.Minute), "of another name")
	_, _, err = s.Get(ctx, "a")
	require.ErrorIs(t, err, maskinporten.ErrStoreMiss, "a lease is no value")
	require.NoError(t, s.Set(ctx, "a", two, time.Minute))
	require.True(t, lease("a", 1), "Set has ended it; and a nanosecond is not for ever")
	require.Eventually(t, func() bool { return lease("a", time.Minute) }, time.Minute, time.Millisecond)

	require.NoError(t, s.Set(ctx, "a", one, 0), "not for ever either")
	require.Eventually(t, func() bool { _, _, err := s.Get(ctx, "a"); return err == maskinporten.ErrStoreMiss }, time.Minute, time.Millisecond)

	require.NoError(t, rdb.LPush(ctx, "maskinporten:{list}", "planted").Err())
	_, _, err = s.Get(ctx, "list")
	require.ErrorIs(t, err, maskinporten.ErrStoreMiss, "what is no string says nothing about the store")
	require.NoError(t, s.Set(ctx, "list", one, time.Minute))

	keys, err := rdb.Keys(ctx, "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		require.True(t, strings.HasPrefix(key, "maskinporten:{"), key)
		require.Greater(t, rdb.PTTL(ctx, key).Val(), time.Duration(0), "everything expires")
	}
}

func TestPrefix(t *testing.T) {
	rdb := startRedis(t).newClient()
	a, err := redisstore.New(rdb, redisstore.Options{Prefix: "a:"})
	require.NoError(t, err)
	require.NoError(t, a.Set(t.Context(), "n", []byte("x"), time.Minute))
	_, _, err = newStore(t, rdb).Get(t.Context(), "n")
	require.ErrorIs(t, err, maskinporten.ErrStoreMiss)
	require.Equal(t, []string{"a:{n}"}, rdb.Keys(t.Context(), "*").Val())
}

// One of many wins a lease.
func TestLeaseIsOneReplicas(t *testing.T) {
	s := newStore(t, startRedis(t).newClient())
	var wins atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			won, err := s.Lease(t.Context(), "a", time.Minute)
			require.NoError(t, err)
			if won {
				wins.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, wins.Load())
}

// A value and the time it has left are of one moment: the even values live a
// minute, the odd ones an hour.
func TestGetIsOneMoment(t *testing.T) {
	s := newStore(t, startRedis(t).newClient())
	ctx := t.Context()
	ttls := map[string]time.Duration{"even": time.Minute, "odd": time.Hour}
	require.NoError(t, s.Set(ctx, "a", []byte("even"), ttls["even"]))
	var all sync.WaitGroup
	all.Go(func() {
		for range 300 {
			for value, ttl := range ttls {
				require.NoError(t, s.Set(ctx, "a", []byte(value), ttl))
			}
		}
	})
	for range 600 {
		value, left, err := s.Get(ctx, "a")
		require.NoError(t, err)
		require.InDelta(t, ttls[string(value)].Seconds(), left.Seconds(), 45, string(value))
	}
	all.Wait()
}

// Where scripts are forbidden nothing is deleted, and that is no failure. All
// other rights are those that the package comment lists.
func TestRights(t *testing.T) {
	const listed = "+get +pttl +set +del +multi +exec +eval +evalsha"
	for reason, c := range map[string]struct {
		rights string
		left   bool
	}{
		"those listed":            {listed, false},
		"all but those to script": {strings.NewReplacer("+evalsha", "", "+eval", "").Replace(listed), true},
	} {
		t.Run(reason, func(t *testing.T) {
			server := startRedis(t)
			rules := append([]any{"ACL", "SETUSER", "app", "on", ">secret", "~maskinporten:*"}, anys(strings.Fields(c.rights))...)
			require.NoError(t, server.newClient().Do(t.Context(), rules...).Err())
			rdb := server.client(redis.Options{Username: "app", Password: "secret", ContextTimeoutEnabled: true, DisableIdentity: true})
			defer rdb.Close()
			s := newStore(t, rdb)
			ctx := t.Context()
			won, err := s.Lease(ctx, "a", time.Minute)
			require.NoError(t, err)
			require.True(t, won)
			require.NoError(t, s.Set(ctx, "a", []byte("x"), time.Minute))
			require.NoError(t, s.Delete(ctx, "a", []byte("x")))
			_, _, err = s.Get(ctx, "a")
			require.Equal(t, c.left, err == nil, fmt.Sprint(err))
		})
	}
}

func anys(words []string) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	return list
}

func TestErrorsAreNoMisses(t *testing.T) {
	server := startRedis(t)
	s := newStore(t, server.newClient())
	server.kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _, err := s.Get(ctx, "a")
	require.Error(t, err)
	require.NotErrorIs(t, err, maskinporten.ErrStoreMiss)
	require.Error(t, s.Set(ctx, "a", []byte("x"), time.Minute))
	require.Error(t, s.Delete(ctx, "a", []byte("x")))
	won, err := s.Lease(ctx, "a", time.Minute)
	require.Error(t, err)
	require.False(t, won)
}
