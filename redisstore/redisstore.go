// Package redisstore keeps Maskinporten tokens in Redis or Valkey, so that the
// replicas of a program fetch each token once and not once each.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(rdb, redisstore.Options{})
//	client, err := maskinporten.New(maskinporten.Config{…, Store: store})
//
// What gets here has been sealed by the client. Nobody who reads the database,
// its dumps or its traffic sees a token, a customer or a person; nobody who
// writes to it can make a client use a token that is not its own.
//
// Each token is two keys with an expiry: Prefix + "{" + name + "}" is the
// sealed token, and the same with ":lease" behind it says that a replica is
// fetching it. A user for it needs these rights (Redis ACL):
//
//	~maskinporten:* +get +pttl +set +del +multi +exec +eval +evalsha
//
// The braces put both keys into one slot of a cluster.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/maskinporten-go/maskinporten"
)

// Options is what can be chosen. The zero value will do.
type Options struct {
	// Prefix begins every key. Empty means "maskinporten:". Braces in it are
	// hash tags for a cluster, as they are everywhere in Redis.
	Prefix string

	// Logger gets a warning if rdb does not obey contexts. Nil means silence.
	Logger *slog.Logger
}

// Store is a [maskinporten.TokenStore] in Redis. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	prefix string
}

var _ maskinporten.TokenStore = (*Store)(nil)

// New returns a store that uses rdb: a single Redis, Sentinel, a Cluster or a
// Ring, with the TLS, user and timeouts that rdb was made with. It does no I/O,
// and fails only if rdb is nil. Closing rdb is the caller's business.
//
// Set ContextTimeoutEnabled in the options of rdb. Without it go-redis goes on
// waiting for an answer after the client has given it up, and so holds a
// connection: that is logged once as a warning.
func New(rdb redis.UniversalClient, o Options) (*Store, error) {
	if v := reflect.ValueOf(rdb); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("redisstore: the Redis client is nil: make one with redis.NewClient or redis.NewUniversalClient")
	}
	if o.Prefix == "" {
		o.Prefix = "maskinporten:"
	}
	if o.Logger != nil && !obeysContexts(rdb) {
		o.Logger.Warn("redisstore: the Redis client waits for answers that nobody waits for any more; set ContextTimeoutEnabled in its options")
	}
	return &Store{rdb: rdb, prefix: o.Prefix}, nil
}

// obeysContexts reports whether rdb is known to give up when a context ends. A
// client of another type is taken to.
func obeysContexts(rdb redis.UniversalClient) bool {
	switch c := rdb.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	}
	return true
}

func (s *Store) key(name string) string { return s.prefix + "{" + name + "}" }

func (s *Store) leaseKey(name string) string { return s.key(name) + ":lease" }

// Get reads the value and what it has to live in one transaction. A pipeline
// alone could pair one value with the time of the next.
func (s *Store) Get(ctx context.Context, name string) (sealed []byte, left time.Duration, err error) {
	var value *redis.StringCmd
	var ttl *redis.DurationCmd
	_, err = s.rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		value = tx.Get(ctx, s.key(name))
		ttl = tx.PTTL(ctx, s.key(name))
		return nil
	})
	switch {
	case errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "WRONGTYPE"): // the latter was not put there by Set
		return nil, 0, maskinporten.ErrStoreMiss
	case err != nil:
		return nil, 0, failed("reading a token", err)
	}
	sealed, err = value.Bytes()
	return sealed, ttl.Val(), err
}

// Set writes the value and ends the lease, in one transaction.
func (s *Store) Set(ctx context.Context, name string, sealed []byte, ttl time.Duration) error {
	_, err := s.rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.Set(ctx, s.key(name), sealed, inMilliseconds(ttl))
		tx.Del(ctx, s.leaseKey(name))
		return nil
	})
	return failed("writing a token", err)
}

// deleteIf compares and deletes at once.
var deleteIf = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// Delete removes the value if it is still sealed. That takes a script: where
// scripts are forbidden, nothing is deleted, which costs other replicas one
// rejected call each.
func (s *Store) Delete(ctx context.Context, name string, sealed []byte) error {
	err := deleteIf.Run(ctx, s.rdb, []string{s.key(name)}, sealed).Err()
	if redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command") {
		return nil
	}
	return failed("deleting a token", err)
}

// Lease is one SET with NX and PX.
func (s *Store) Lease(ctx context.Context, name string, ttl time.Duration) (won bool, err error) {
	err = s.rdb.SetArgs(ctx, s.leaseKey(name), 1, redis.SetArgs{Mode: "NX", TTL: inMilliseconds(ttl)}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, failed("asking for a lease", err)
}

// inMilliseconds returns d in the unit of Redis, and at least one: zero would
// mean for ever.
func inMilliseconds(d time.Duration) time.Duration {
	return max(d.Truncate(time.Millisecond), time.Millisecond)
}

func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redisstore: %s: %w", what, err)
}
