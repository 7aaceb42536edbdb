package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/redisstore"
)

// replicas share a Redis, and an API that knows whose data it was asked for.
type replicas struct {
	fake    *maskinportentest.Fake
	clients []*maskinporten.Client
	apis    [][]*http.Client // of each, by customer
	log     lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

const (
	customers = 5

	// lifetime is short, so that there is much to fetch, and so long that
	// it matters little that a token's exp is in whole seconds.
	lifetime = 6 * time.Second
)

// newReplicas makes one replica for each credential. Nil is the fake's own.
func newReplicas(t *testing.T, rdb func() redis.UniversalClient, credentials ...maskinporten.CredentialSource) *replicas {
	t.Helper()
	p := &replicas{fake: maskinportentest.New()}
	p.fake.SetTokenLifetime(lifetime)
	p.fake.Handle("api.example.no", p.fake.Guard("a:one", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, maskinportentest.ClaimsFromContext(r.Context()).Consumer)
	})))
	for _, credential := range credentials {
		config := p.fake.Config()
		if credential != nil {
			config.Credential = credential
		}
		store, err := redisstore.New(rdb(), redisstore.Options{})
		require.NoError(t, err)
		config.Store, config.Logger = store, slog.New(slog.NewTextHandler(&p.log, nil))
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		p.clients = append(p.clients, client)
		var apis []*http.Client
		for c := range customers {
			transport, err := client.Transport(maskinporten.Request{Scope: "a:one", ConsumerOrg: orgNumber(c)}, p.fake.Transport(), "api.example.no")
			require.NoError(t, err)
			apis = append(apis, &http.Client{Transport: transport})
		}
		p.apis = append(p.apis, apis)
	}
	return p
}

// work calls for d, and returns the longest that a call took. Whatever is wrong
// with the store, each call gets the data of the customer that it is for.
func (p *replicas) work(t *testing.T, d time.Duration) (worst time.Duration) {
	t.Helper()
	for start := time.Now(); time.Since(start) < d; time.Sleep(20 * time.Millisecond) {
		for i := range p.apis {
			for c, api := range p.apis[i] {
				before := time.Now()
				resp, err := api.Get("https://api.example.no/")
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, orgNumber(c), string(body))
				worst = max(worst, time.Since(before))
			}
		}
	}
	return worst
}

func (p *replicas) fromStore() (n int64) {
	for _, client := range p.clients {
		n += client.Stats().FromStore
	}
	return n
}

// sharesAgain waits until tokens come from the store.
func (p *replicas) sharesAgain(t *testing.T) {
	t.Helper()
	before := p.fromStore()
	for deadline := time.Now().Add(time.Minute); p.fromStore() < before+customers; {
		require.Less(t, time.Now(), deadline, "no token comes from the store any more")
		p.work(t, 200*time.Millisecond)
	}
}

// patience is how long a call may take: two operations of the store, another's
// lease, and a busy machine.
const patience = 2*100*time.Millisecond + time.Second + 3*time.Second

// Each fault that a Redis can have: no call fails, none waits for long, no
// wrong token is handed out, and all is well when Redis is.
func TestFaults(t *testing.T) {
	t.Parallel()
	background := context.Background()
	type world struct {
		*server
		admin *redis.Client
		proxy *slowProxy
	}
	// tamper changes all values, by what f makes of the key and the value.
	tamper := func(w world, f func(key string, value []byte, all map[string][]byte) []byte) {
		all := make(map[string][]byte)
		keys := w.admin.Keys(background, "maskinporten:*}").Val()
		for _, key := range keys {
			if b, err := w.admin.Get(background, key).Bytes(); err == nil {
				all[key] = b
			}
		}
		for key, value := range all {
			w.admin.Set(background, key, f(key, bytes.Clone(value), all), time.Hour)
		}
	}
	restrict := func(rights ...any) func(w world) {
		return func(w world) {
			w.admin.Do(background, append([]any{"ACL", "SETUSER", "app"}, rights...)...)
		}
	}
	var replayed map[string][]byte
	for _, tt := range []struct {
		reason     string
		begin, end func(w world)
	}{
		{"stopped", func(w world) { w.cmd.Process.Signal(syscall.SIGSTOP) }, func(w world) { w.cmd.Process.Signal(syscall.SIGCONT) }},
		{"killed and started again", func(w world) { w.kill() }, func(w world) { w.start(); restrict(everything...)(w) }},
		{"flushed", func(w world) { w.admin.FlushAll(background) }, nil},
		{"full, and evicting", func(w world) {
			w.admin.ConfigSet(background, "maxmemory-policy", "allkeys-random")
			w.admin.ConfigSet(background, "maxmemory", "2mb")
			for i := range 200 {
				w.admin.Set(background, fmt.Sprint("filler", i), strings.Repeat("x", 10_000), time.Minute)
			}
		}, func(w world) { w.admin.ConfigSet(background, "maxmemory", "0") }},
		{"full, and refusing to write", func(w world) {
			w.admin.ConfigSet(background, "maxmemory-policy", "noeviction")
			w.admin.ConfigSet(background, "maxmemory", "1")
		}, func(w world) { w.admin.ConfigSet(background, "maxmemory", "0") }},
		{"no right to do anything", restrict("-@all"), restrict(everything...)},
		{"no right to write", restrict("-set", "-del"), restrict(everything...)},
		{"no right to these keys", restrict("resetkeys"), restrict(everything...)},
		{"another password", func(w world) {
			restrict("resetpass", ">another")(w)
			w.admin.ClientKillByFilter(background, "USER", "app")
		}, restrict(everything...)},
		{"100 ms slow", func(w world) { w.proxy.delay(100 * time.Millisecond) }, func(w world) { w.proxy.delay(0) }},
		{"10 s slow", func(w world) { w.proxy.delay(10 * time.Second) }, func(w world) { w.proxy.delay(0) }},
		{"values cut", func(w world) {
			tamper(w, func(_ string, b []byte, _ map[string][]byte) []byte { return b[:len(b)-7] })
		}, nil},
		{"values flipped", func(w world) {
			tamper(w, func(_ string, b []byte, _ map[string][]byte) []byte { b[len(b)/2] ^= 4; return b })
		}, nil},
		{"values swapped between customers", func(w world) {
			tamper(w, func(key string, b []byte, all map[string][]byte) []byte {
				for other, value := range all {
					if other != key {
						return value
					}
				}
				return b
			})
		}, nil},
		{"values of another version", func(w world) {
			tamper(w, func(_ string, b []byte, _ map[string][]byte) []byte { b[0]++; return b })
		}, nil},
		{"values planted", func(w world) {
			tamper(w, func(string, []byte, map[string][]byte) []byte { return []byte("eyJhbGciOiJub25lIn0.e30.") })
		}, nil},
		{"values replayed", func(w world) {
			tamper(w, func(key string, b []byte, all map[string][]byte) []byte { replayed = all; return b })
			time.Sleep(lifetime + 100*time.Millisecond) // until they have ended
			for key, value := range replayed {
				w.admin.Set(background, key, value, time.Hour)
			}
		}, nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			w := world{server: s, admin: s.newClient(), proxy: startSlowProxy(t, s.addr())}
			restrict(everything...)(w)
			p := newReplicas(t, func() redis.UniversalClient {
				rdb := redis.NewClient(&redis.Options{Addr: w.proxy.addr, Username: "app", Password: "secret", ContextTimeoutEnabled: true})
				t.Cleanup(func() { rdb.Close() })
				return rdb
			}, nil, nil)
			p.sharesAgain(t)
			tt.begin(w)
			worst := p.work(t, lifetime+2*time.Second)
			if tt.end != nil {
				tt.end(w)
			}
			t.Logf("worst call %v", worst)
			require.Less(t, worst, patience)
			p.sharesAgain(t)
			require.NotContains(t, p.log.text(), "eyJ")
			require.NotContains(t, p.log.text(), orgNumber(0))
		})
	}
}

// everything is what the package comment says that a user needs.
var everything = []any{"on", "resetpass", ">secret", "~maskinporten:*", "-@all", "+hello", "+client", "+ping", "+get", "+pttl", "+set", "+del", "+multi", "+exec", "+eval", "+evalsha"}

// slowProxy passes on what it gets, after a while.
type slowProxy struct {
	addr string

	mu   sync.Mutex
	late time.Duration
}

func (p *slowProxy) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = d
}

func startSlowProxy(t *testing.T, to string) *slowProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	p := &slowProxy{addr: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go p.pass(server, client)
			go p.pass(client, server)
		}
	}()
	return p
}

func (p *slowProxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		late := p.late
		p.mu.Unlock()
		time.Sleep(late)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
