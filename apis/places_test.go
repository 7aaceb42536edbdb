package apis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

// server is an API in the place of the network. It counts the calls under way.
type server struct {
	takes   time.Duration
	respond func(req *http.Request) *http.Response // nil: 200 with a short body

	mu              sync.Mutex
	now, most, seen int
}

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.now++
	s.seen++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if req.Body != nil {
		defer req.Body.Close()
	}
	ctx, cancel := context.WithTimeout(req.Context(), s.takes)
	defer cancel()
	<-ctx.Done()
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if s.respond != nil {
		return s.respond(req), nil
	}
	return answer(200, io.NopCloser(strings.NewReader("svar"))), nil
}

func answer(status int, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: body}
}

// open is a body of which nobody knows that it has been read or closed.
func open() io.ReadCloser {
	return io.NopCloser(strings.NewReader(strings.Repeat("x", 10_000)))
}

func httpClient(t *testing.T, api apis.API, client *maskinporten.Client, consumer string) *http.Client {
	t.Helper()
	hc, err := api.HTTPClient(client, consumer)
	require.NoError(t, err)
	return hc
}

func get(t *testing.T, ctx context.Context, hc *http.Client, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	require.NoError(t, err)
	return hc.Do(req)
}

// A thousand callers at an API that takes five calls at a time and a second for
// each stand in a queue for over three minutes, and tokens live for two. Each
// gets its token when it has its place: none arrives dead, none is answered 401.
func TestThousandCallersArriveWithLivingTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.SetTokenLifetime(120 * time.Second)
		var under, most, answered, refused atomic.Int64
		host := "inntekt.api.skatteetaten-test.no"
		fake.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := under.Add(1)
			defer under.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if _, denied := fake.Check(r, "skatteetaten:inntekt"); denied != nil {
				refused.Add(1)
				w.WriteHeader(denied.Status)
				return
			}
			time.Sleep(time.Second)
			answered.Add(1)
		}))
		api := apis.SkatteetatenInntekt.Via(fake.Transport())
		hc := httpClient(t, api, newClient(t, fake), "")
		began := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				resp, err := hc.Get(api.TestURL + "/otp")
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Error(resp.StatusCode)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1000, answered.Load())
		require.Zero(t, refused.Load())
		require.EqualValues(t, 5, most.Load())
		require.Equal(t, 200*time.Second, time.Since(began), "no place stands empty")
		require.LessOrEqual(t, fake.TokenRequests(), 4)
	})
}

// Who has the same places, and who has others.
func TestWhoSharesPlaces(t *testing.T) {
	limited := apis.API{Name: "x", Scope: "x:y", ProdURL: "https://api.example.no/v1", TestURL: "https://api.test.example.no/v1", Concurrency: 2}
	for _, tt := range []struct {
		reason string
		calls  func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string)
		most   int // at once, when each calls five times
	}{
		{"one client", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			return []func() (*http.Client, string){via(t, api, c, "")}
		}, 2},
		{"two made from one Client", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			return []func() (*http.Client, string){via(t, api, c, ""), via(t, api, c, "")}
		}, 2},
		{"two Clients of one organisation, with client ids of their own", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			fake, api := maskinportentest.New(), limited.Via(base)
			fake.AddClient(maskinportentest.Integration{ID: "another", OrgNumber: maskinportentest.DefaultOrgNumber})
			second, err := maskinporten.New(fake.ConfigFor("another"))
			require.NoError(t, err)
			return []func() (*http.Client, string){via(t, api, newClient(t, fake), ""), via(t, api, second, "")}
		}, 2},
		{"two suppliers for one customer", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api := limited.Via(base)
			return []func() (*http.Client, string){via(t, api, newClient(t, maskinportentest.New()), customer), via(t, api, newClient(t, maskinportentest.New()), customer)}
		}, 2},
		{"a customer, and the supplier itself", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			return []func() (*http.Client, string){via(t, api, c, ""), via(t, api, c, customer)}
		}, 4},
		{"keys without an organisation: the client id", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api := limited.Via(base)
			return []func() (*http.Client, string){via(t, api, keyClient(t, "a"), ""), via(t, api, keyClient(t, "b"), ""), via(t, api, keyClient(t, "a"), "")}
		}, 4},
		{"test and production", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api := limited.Via(base)
			return []func() (*http.Client, string){via(t, api, newClient(t, maskinportentest.New()), ""), via(t, api, newClient(t, maskinportentest.NewFor(maskinporten.Prod)), "")}
		}, 4},
		{"two values from Via", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			c := newClient(t, maskinportentest.New())
			return []func() (*http.Client, string){via(t, limited.Via(base), c, ""), via(t, limited.Via(base), c, "")}
		}, 4},
		{"a value from At beside the one it is made from", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			return []func() (*http.Client, string){via(t, api, c, ""), via(t, api.At("https://gateway.example.no"), c, "")}
		}, 4},
		{"values that share places and differ: the smallest holds", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			wide, none := api, api
			wide.Concurrency, none.Concurrency = 5, 0
			return []func() (*http.Client, string){via(t, none, c, ""), via(t, wide, c, ""), via(t, api, c, "")}
		}, 2},
		{"another scope at the same place", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			other := api
			other.Scope = "x:z"
			return []func() (*http.Client, string){via(t, api, c, ""), via(t, other, c, "")}
		}, 4},
		{"no limit is known", func(t *testing.T, base http.RoundTripper) []func() (*http.Client, string) {
			api, c := limited.Via(base), newClient(t, maskinportentest.New())
			api.Concurrency = 0
			return []func() (*http.Client, string){via(t, api, c, "")}
		}, 5},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{takes: time.Second}
				var wg sync.WaitGroup
				for _, made := range tt.calls(t, s) {
					hc, url := made()
					for range 5 {
						wg.Go(func() {
							resp, err := get(t, context.Background(), hc, url)
							if err != nil {
								t.Error(err)
								return
							}
							resp.Body.Close()
						})
					}
				}
				wg.Wait()
				require.Equal(t, tt.most, s.most)
			})
		})
	}
}

func via(t *testing.T, api apis.API, c *maskinporten.Client, consumer string) func() (*http.Client, string) {
	hc := httpClient(t, api, c, consumer)
	return func() (*http.Client, string) { return hc, api.BaseURL(c.Environment()) }
}

func keyClient(t *testing.T, id string) *maskinporten.Client {
	t.Helper()
	fake := maskinportentest.New()
	fake.AddClient(maskinportentest.Integration{ID: id, OrgNumber: maskinportentest.DefaultOrgNumber})
	cfg := fake.ConfigFor(id)
	cfg.Credential = maskinportentest.KeyCredential("k")
	fake.AddKey(id, maskinportentest.Key{ID: "k"})
	c, err := maskinporten.New(cfg)
	require.NoError(t, err)
	return c
}

// A place is given back at the end of the body, at Close, when the call fails,
// and with the call's context, whichever comes first; and once only.
func TestPlacesAreGivenBack(t *testing.T) {
	for _, tt := range []struct {
		reason string
		body   io.ReadCloser
		use    func(resp *http.Response, end context.CancelFunc)
		freed  bool
	}{
		{"nothing is done", open(), func(*http.Response, context.CancelFunc) {}, false},
		{"read in part", open(), func(r *http.Response, _ context.CancelFunc) { r.Body.Read(make([]byte, 10)) }, false},
		{"read to the end, and not closed", open(), func(r *http.Response, _ context.CancelFunc) { io.Copy(io.Discard, r.Body) }, true},
		{"closed, and not read", open(), func(r *http.Response, _ context.CancelFunc) { r.Body.Close() }, true},
		{"closed twice and read", open(), func(r *http.Response, end context.CancelFunc) {
			r.Body.Close()
			r.Body.Close()
			io.Copy(io.Discard, r.Body)
			end()
		}, true},
		{"the context ends", open(), func(_ *http.Response, end context.CancelFunc) { end() }, true},
		{"there is no body", http.NoBody, func(*http.Response, context.CancelFunc) {}, true},
		{"a body that fails", io.NopCloser(failing{}), func(r *http.Response, _ context.CancelFunc) { r.Body.Read(make([]byte, 1)) }, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 2}.Via(s)
				hc := httpClient(t, api, newClient(t, maskinportentest.New()), "")
				s.respond = func(*http.Request) *http.Response { return answer(200, tt.body) }
				for range 2 {
					ctx, end := context.WithCancel(t.Context())
					defer end()
					resp, err := get(t, ctx, hc, api.TestURL)
					require.NoError(t, err)
					tt.use(resp, end)
					synctest.Wait()
				}
				s.respond = nil
				want := 2
				if !tt.freed {
					want = 0
				}
				// Five at once: two have a place, if they were given back.
				short, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				s.takes = 2 * time.Second
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						_, err := get(t, short, hc, api.TestURL)
						if err == nil {
							t.Error("an answer")
						}
					})
				}
				wg.Wait()
				require.Equal(t, 2+want, s.seen)
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

// After a 101 the body is the connection: both read and written.
func TestBodyOfAnUpgradeStaysWritable(t *testing.T) {
	s := &server{respond: func(*http.Request) *http.Response {
		return answer(101, &connection{Reader: strings.NewReader("from there")})
	}}
	api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 1}.Via(s)
	resp, err := httpClient(t, api, newClient(t, maskinportentest.New()), "").Get(api.TestURL)
	require.NoError(t, err)
	w, ok := resp.Body.(io.ReadWriteCloser)
	require.True(t, ok)
	fmt.Fprint(w, "from here")
	read, err := io.ReadAll(w)
	require.NoError(t, err)
	require.Equal(t, "from there", string(read))
	require.NoError(t, w.Close())
}

type connection struct {
	io.Reader
	bytes.Buffer
}

func (c *connection) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (*connection) Close() error { return nil }

// The place is kept while the call is repeated after a 401.
func TestRepeatKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		client := newClient(t, fake)
		old, err := client.Token(t.Context(), maskinporten.Request{Scope: "x:y"})
		require.NoError(t, err)
		s := &server{takes: time.Second, respond: func(req *http.Request) *http.Response {
			if req.Header.Get("Authorization") == "Bearer "+old.AccessToken() {
				return answer(401, open())
			}
			return answer(200, open())
		}}
		api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 1}.Via(s)
		hc := httpClient(t, api, client, "")
		fake.Fail(maskinportentest.Fault{Delay: 3 * time.Second})
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				resp, err := hc.Get(api.TestURL)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if i == 0 && time.Since(began) != 5*time.Second || i == 1 && time.Since(began) != 6*time.Second {
					t.Error(i, time.Since(began))
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, s.most)
	})
}

// Organisations that are not seen any more leave nothing behind.
func TestUnusedPlacesTakeNoMemory(t *testing.T) {
	const n = 20_000
	api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 5}.Via(&server{respond: func(*http.Request) *http.Response {
		return answer(404, http.NoBody)
	}})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	req, err := http.NewRequest("GET", api.TestURL, nil)
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	call := func(n int) {
		client := newClient(t, maskinportentest.New())
		for i := range n {
			hc, err := api.HTTPClient(client, orgNumber(i))
			require.NoError(t, err)
			_, err = hc.Do(req.WithContext(ended)) // has its place, and gets no token
			require.Error(t, err)
		}
	}
	call(1)
	before := heap()
	call(n)
	require.Less(t, heap()-before, int64(200<<10))
	runtime.KeepAlive(api)
}

// orgNumber is the i-th of those that pass the modulus 11 check.
func orgNumber(i int) string {
	for n := 100_000_00*10 + i*100; ; n++ {
		if s := fmt.Sprint(n); valid(s) {
			return s
		}
	}
}

func valid(s string) bool { _, err := maskinporten.ParseOrgNumber(s); return err == nil }
