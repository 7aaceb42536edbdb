package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/redisstore"
)

// The size of the fleet. What is said of it in docs/production.md was measured
// with -fleet.customers 2000 -fleet.lifetime 120s -fleet.time 360s
// -fleet.interval 1s -parallel 2. A customer's first call comes within the
// first quarter of the time, which there is the time between two refreshes:
// so the number of requests does not hang on where the run happens to end.
var fleet = struct {
	customers                    *int
	lifetime, duration, interval *time.Duration
}{
	flag.Int("fleet.customers", 20, "customers of each process"),
	flag.Duration("fleet.lifetime", 12*time.Second, "of a token"),
	flag.Duration("fleet.time", 24*time.Second, "of a run"),
	flag.Duration("fleet.interval", 100*time.Millisecond, "between calls for one customer"),
}

// order is what a process of the fleet is told, and report what it answers.
type (
	order struct {
		Environment maskinporten.Environment
		Keystore    []byte
		Redis       string // empty: no store
		Customers   int
		Duration    time.Duration
		Interval    time.Duration
	}
	report struct {
		Calls, Failed, Signatures, FromStore int64
		WorstCold, WorstWarm                 time.Duration // the first call of a customer, and all later ones
		Store                                map[string]int64
		Error                                string
	}
)

const fleetOrder = "REDISSTORE_TEST_FLEET"

func TestMain(m *testing.M) {
	if text := os.Getenv(fleetOrder); text != "" {
		var o order
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			panic(err)
		}
		json.NewEncoder(os.Stdout).Encode(serve(o))
		return
	}
	flag.Set("test.parallel", "30") // they wait for the clock, most of the time
	flag.Parse()
	os.Exit(m.Run())
}

// serve is one process: it asks for the token of each customer again and again.
func serve(o order) (r report) {
	cred, err := maskinporten.LoadPKCS12(o.Keystore, "password")
	if err != nil {
		panic(err)
	}
	var signatures atomic.Int64
	config := maskinporten.Config{
		Environment: o.Environment,
		ClientID:    maskinportentest.DefaultClientID,
		Credential:  cred,
		Trace: &maskinporten.Trace{AttemptStart: func(ctx context.Context, _ maskinporten.Fetch, _ int) context.Context {
			signatures.Add(1)
			return ctx
		}},
	}
	if o.Redis != "" {
		rdb := redis.NewClient(&redis.Options{Addr: o.Redis, ContextTimeoutEnabled: true})
		defer rdb.Close()
		if config.Store, err = redisstore.New(rdb, redisstore.Options{}); err != nil {
			panic(err)
		}
	}
	client, err := maskinporten.New(config)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	note := func(cold bool, took time.Duration, err error) {
		mu.Lock()
		defer mu.Unlock()
		r.Calls++
		worst := &r.WorstWarm
		if cold {
			worst = &r.WorstCold
		}
		*worst = max(*worst, took)
		if err != nil {
			r.Failed++
			r.Error = err.Error()
		}
	}
	start := time.Now()
	ramp := o.Duration / 4 // nobody's customers come all at once
	var all sync.WaitGroup
	for i := range o.Customers {
		source, err := client.TokenSource(maskinporten.Request{Scope: "a:one", ConsumerOrg: orgNumber(i)})
		if err != nil {
			panic(err)
		}
		all.Go(func() {
			time.Sleep(ramp*time.Duration(i)/time.Duration(o.Customers) + rand.N(o.Interval))
			for cold := true; time.Since(start) < o.Duration; cold = false {
				before := time.Now()
				_, err := source.TokenContext(context.Background())
				note(cold, time.Since(before), err)
				time.Sleep(o.Interval)
			}
		})
	}
	all.Wait()
	stats := client.Stats()
	r.Signatures, r.FromStore, r.Store = signatures.Load(), stats.FromStore, make(map[string]int64)
	for request, n := range stats.StoreRequests {
		r.Store[request.Operation+" "+request.Result] = n
	}
	return r
}

// orgNumber returns the i-th of the numbers that pass the modulus 11 check.
func orgNumber(i int) string {
	for n := 20000000; ; n++ {
		digits, sum := fmt.Sprint(n), 0
		for j, weight := range []int{3, 2, 7, 6, 5, 4, 3, 2} {
			sum += int(digits[j]-'0') * weight
		}
		check := (11 - sum%11) % 11
		if check == 10 {
			continue
		}
		if i--; i < 0 {
			return digits + fmt.Sprint(check)
		}
	}
}

// run has n processes work, and returns how often the token endpoint was asked.
func run(t *testing.T, name string, n int, redisAddr string, middle func()) (requests int) {
	t.Helper()
	fake := maskinportentest.NewServer()
	defer fake.Close()
	fake.SetTokenLifetime(*fleet.lifetime)
	fake.Fail(maskinportentest.Fault{Delay: 50 * time.Millisecond})
	text, err := json.Marshal(order{
		Environment: fake.Environment(),
		Keystore:    maskinportentest.Certificate{}.PKCS12("password"),
		Redis:       redisAddr,
		Customers:   *fleet.customers,
		Duration:    *fleet.duration,
		Interval:    *fleet.interval,
	})
	require.NoError(t, err)
	executable, err := os.Executable()
	require.NoError(t, err)
	reports := make([]report, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			cmd := exec.Command(executable)
			cmd.Env = append(os.Environ(), fleetOrder+"="+string(text))
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out, &reports[i])
			}
			if err != nil {
				var exit *exec.ExitError
				errors.As(err, &exit)
				t.Errorf("process %d: %v: %s", i, err, exit.Stderr)
			}
		})
	}
	if middle != nil {
		time.Sleep(*fleet.duration / 2)
		middle()
	}
	all.Wait()
	for _, r := range reports {
		t.Logf("%s: %+v", name, r)
		require.Zero(t, r.Failed, r.Error)
	}
	return fake.TokenRequests()
}

// Three processes that share a store ask Maskinporten as one does, and no call
// fails when the store is killed.
func TestFleet(t *testing.T) {
	store, doomed := startRedis(t), startRedis(t)
	var requests [4]int
	t.Run("runs", func(t *testing.T) {
		for i, f := range []func(t *testing.T) int{
			func(t *testing.T) int { return run(t, "alone", 1, "", nil) },
			func(t *testing.T) int { return run(t, "no store", 3, "", nil) },
			func(t *testing.T) int { return run(t, "store", 3, store.addr(), nil) },
			func(t *testing.T) int { return run(t, "store killed", 3, doomed.addr(), doomed.kill) },
		} {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				requests[i] = f(t)
			})
		}
	})
	t.Logf("requests to the token endpoint: one process %d, three %d, three with a store %d (%.3f times one), store killed in the middle %d",
		requests[0], requests[1], requests[2], float64(requests[2])/float64(requests[0]), requests[3])
	require.Less(t, requests[2], (requests[0]+requests[1])/2)
}
