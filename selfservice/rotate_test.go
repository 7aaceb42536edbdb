package selfservice_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

func TestMain(m *testing.M) {
	restore := selfservice.UseSmallKeys()
	code := m.Run()
	restore()
	os.Exit(code)
}

var request = maskinporten.Request{Scope: "skatteetaten:inntekt"}

// house is a client with a key file, and what renews it.
type house struct {
	fake     *maskinportentest.Fake
	api      *selfservice.Client
	clientID string
	rotation selfservice.Rotation
	file     string
}

// newHouse makes an integration with a first key in a file.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{fake: maskinportentest.New(), file: filepath.Join(t.TempDir(), "client.jwk")}
	h.api = h.newAPI(t, h.fake.HTTPClient())
	made, err := h.api.Create(t.Context(), selfservice.Integration{Name: "Pensjon", Scopes: []string{request.Scope}})
	require.NoError(t, err)
	h.clientID = made.ClientID
	h.rotation = selfservice.KeyFile(h.clientID, h.file)
	_, err = h.api.Rotate(t.Context(), h.rotation)
	require.NoError(t, err)
	return h
}

func (h *house) newAPI(t *testing.T, hc *http.Client) *selfservice.Client {
	t.Helper()
	admin, err := maskinporten.New(h.fake.Config())
	require.NoError(t, err)
	api, err := selfservice.New(admin, selfservice.Options{HTTPClient: hc})
	require.NoError(t, err)
	return api
}

// user is a program that signs with the key file.
func (h *house) user(t *testing.T) *maskinporten.Client {
	t.Helper()
	client, err := maskinporten.New(maskinporten.Config{
		Environment: h.fake.Environment(), ClientID: h.clientID,
		Credential: maskinporten.JWKFile(h.file), HTTPClient: h.fake.HTTPClient(),
	})
	require.NoError(t, err)
	return client
}

func (h *house) kids(t *testing.T) (kids []string) {
	t.Helper()
	keys, err := h.api.Keys(t.Context(), h.clientID)
	require.NoError(t, err)
	for _, k := range keys {
		kids = append(kids, k.KeyID)
	}
	return kids
}

// works wants a token by the key that is in the file now.
func (h *house) works(t *testing.T, reason string) {
	t.Helper()
	_, err := h.user(t).Token(t.Context(), request)
	require.NoError(t, err, reason)
}

func TestRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.fake.SelfService().SetArrival(2 * time.Minute)
		before := h.kids(t)
		require.Len(t, before, 1)
		rotated, err := h.api.Rotate(t.Context(), h.rotation)
		require.NoError(t, err)
		assert.Equal(t, before[0], rotated.Removed)
		assert.Equal(t, []string{rotated.KeyID}, h.kids(t))
		h.works(t, "the published key is the registered one")

		cred, err := maskinporten.JWKFile(h.file).Credential(t.Context())
		require.NoError(t, err)
		assert.Equal(t, rotated.KeyID, cred.KeyID())
		assert.WithinDuration(t, time.Now().AddDate(1, 0, 0), cred.NotAfter(), time.Hour, "the file says when the key ends")
		info, err := os.Stat(h.file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		left, err := filepath.Glob(filepath.Join(filepath.Dir(h.file), "*"))
		require.NoError(t, err)
		assert.Equal(t, []string{h.file}, left, "no state and no temporary file is left")
	})
}

// Tokens of two seconds are fetched without pause while keys rotate: nobody is refused.
func TestRotateUnderLoad(t *testing.T) {
	for arrival, rotations := range map[time.Duration]int{0: 10, 30 * time.Second: 10, 180 * time.Second: 4} {
		t.Run(arrival.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.fake.SetTokenLifetime(2 * time.Second)
				h.fake.SelfService().SetArrival(arrival)
				h.rotation.Grace = 15 * time.Second // the program reads the file when it signs
				client := h.user(t)
				ctx, stop := context.WithCancel(t.Context())
				var all sync.WaitGroup
				var failed sync.Map
				for range 50 {
					all.Go(func() {
						for ctx.Err() == nil {
							if _, err := client.Token(context.WithoutCancel(ctx), request); err != nil {
								failed.Store(err.Error(), time.Now())
							}
							time.Sleep(time.Second)
						}
					})
				}
				seen := map[string]bool{}
				for range rotations {
					rotated, err := h.api.Rotate(t.Context(), h.rotation)
					require.NoError(t, err)
					require.False(t, seen[rotated.KeyID])
					seen[rotated.KeyID] = true
				}
				time.Sleep(arrival + time.Minute) // the last removal arrives
				stop()
				all.Wait()
				failed.Range(func(message, at any) bool {
					t.Errorf("%v: %v", at, message)
					return true
				})
				assert.Empty(t, client.Stats().Failures)
				assert.Len(t, h.kids(t), 1)
			})
		})
	}
}

// crash ends a rotation at its n-th step, before or after it was done: from
// then on nothing of that process works any more.
type crash struct {
	mu    sync.Mutex
	at    int
	after bool
	n     int
	dead  bool
	log   []string
	die   context.CancelFunc
}

var errCrashed = errors.New("crashed")

func (c *crash) step(name string, do func() error) error {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return errCrashed
	}
	c.n++
	now := c.n == c.at
	c.dead = now
	c.log = append(c.log, name)
	c.mu.Unlock()
	if now && !c.after {
		c.die()
		return errCrashed
	}
	err := do()
	if now {
		c.die()
		return errCrashed
	}
	return err
}

// RoundTrip counts what writes.
func (c *crash) wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (resp *http.Response, err error) {
		if r.Method == http.MethodGet {
			return base.RoundTrip(r)
		}
		err = c.step(r.Method+" "+r.URL.Path, func() (err error) { resp, err = base.RoundTrip(r); return err })
		if err != nil {
			return nil, err
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// crashingState is a state whose Save may be the last thing done.
type crashingState struct {
	selfservice.State
	crash *crash
}

func (s crashingState) Save(ctx context.Context, data []byte) error {
	return s.crash.step("save", func() error { return s.State.Save(ctx, data) })
}

// Whatever a rotation was doing when it ended, the client has a working key at
// once, and the next run ends where an undisturbed one does.
func TestRotateCrashes(t *testing.T) {
	t.Parallel()
	for at := 1; !t.Failed(); at++ {
		ended := false
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d after=%v", at, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHouse(t)
					ctx, die := context.WithCancel(t.Context())
					defer die()
					c := &crash{at: at, after: after, die: die}
					r := h.rotation
					r.State = crashingState{r.State, c}
					publish := r.Publish
					r.Publish = func(ctx context.Context, key *selfservice.PrivateKey) error {
						return c.step("publish", func() error { return publish(ctx, key) })
					}
					hc := h.fake.HTTPClient()
					_, err := h.newAPI(t, &http.Client{Transport: c.wrap(hc.Transport)}).Rotate(ctx, r)
					if ended = !c.dead; ended {
						require.NoError(t, err)
						t.Log("steps:", c.log)
						return
					}
					t.Logf("ended at %q: %v", c.log[len(c.log)-1], err)
					require.Error(t, err)
					h.works(t, "right after the crash")

					_, err = h.newAPI(t, hc).Rotate(t.Context(), h.rotation)
					require.NoError(t, err)
					h.works(t, "after the second run")
					cred, err := maskinporten.JWKFile(h.file).Credential(t.Context())
					require.NoError(t, err)
					assert.Equal(t, []string{cred.KeyID()}, h.kids(t), "the key in the file alone is registered")
					assert.NoFileExists(t, h.file+".rotation")
				})
			})
		}
		if ended {
			require.Greater(t, at, 8, "a rotation has more steps")
			return
		}
	}
}

// Two rotators at once do no harm, be it with one state or with two.
func TestTwoRotators(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{true, false} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.fake.SelfService().SetArrival(30 * time.Second)
				old := h.kids(t)[0]
				other := h.rotation
				if !shared {
					other.State = selfservice.FileState(h.file + ".other")
				}
				var both sync.WaitGroup
				for _, r := range []selfservice.Rotation{h.rotation, other} {
					both.Go(func() {
						_, err := h.newAPI(t, h.fake.HTTPClient()).Rotate(t.Context(), r)
						assert.NoError(t, err)
					})
				}
				both.Wait()
				time.Sleep(time.Minute)
				assert.NotContains(t, h.kids(t), old)
				assert.LessOrEqual(t, len(h.kids(t)), 2)
				h.works(t, "whichever was published last is registered")
			})
		})
	}
}

// A change by somebody else between reading and writing is not lost.
func TestRotateBesideAnotherWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		old := h.kids(t)[0]
		theirs, err := selfservice.SmallKey()
		require.NoError(t, err)
		hc, once := h.fake.HTTPClient(), sync.Once{}
		api := h.newAPI(t, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := hc.Transport.RoundTrip(r)
			if r.Method == http.MethodPost && filepath.Base(r.URL.Path) == "jwks" {
				once.Do(func() { // they had read the set before ours was in it
					_, err := h.api.RemoveKey(t.Context(), h.clientID, newest(h.kids(t), old))
					assert.NoError(t, err)
					_, err = h.api.RegisterKey(t.Context(), h.clientID, theirs.Public())
					assert.NoError(t, err)
				})
			}
			return resp, err
		})})
		rotated, err := api.Rotate(t.Context(), h.rotation)
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{theirs.KeyID(), rotated.KeyID}, h.kids(t))
		h.works(t, "ours was put back beside theirs")
	})
}

func newest(kids []string, not string) string {
	for _, kid := range kids {
		if kid != not {
			return kid
		}
	}
	return ""
}

func TestRotateFiveKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for range selfservice.MaxKeys - 1 {
			key, err := selfservice.SmallKey()
			require.NoError(t, err)
			_, err = h.api.RegisterKey(t.Context(), h.clientID, key.Public())
			require.NoError(t, err)
		}
		_, err := h.api.Rotate(t.Context(), h.rotation)
		require.ErrorIs(t, err, selfservice.ErrTooManyKeys)
		assert.NoFileExists(t, h.file+".rotation", "nothing was begun")
		key, err := selfservice.SmallKey()
		require.NoError(t, err)
		_, err = h.api.RegisterKey(t.Context(), h.clientID, key.Public())
		require.ErrorIs(t, err, selfservice.ErrTooManyKeys)

		time.Sleep(370 * 24 * time.Hour) // all have died
		rotated, err := h.api.Rotate(t.Context(), h.rotation)
		require.NoError(t, err, "the dead make room")
		assert.Equal(t, []string{rotated.KeyID}, h.kids(t))
	})
}

// A key that Maskinporten never takes is removed again.
func TestRotateGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		before := h.kids(t)
		h.fake.SelfService().SetArrival(time.Hour)
		_, err := h.api.Rotate(t.Context(), h.rotation)
		require.ErrorIs(t, err, maskinporten.ErrUnknownKey)
		assert.Equal(t, before, h.kids(t))
		assert.NoFileExists(t, h.file+".rotation")
		h.works(t, "the old key stays")
	})
}

// What was published must have arrived before the old key goes.
func TestRotateKeepsAKeyInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		old := h.kids(t)[0]
		r := h.rotation
		var published *selfservice.PrivateKey
		r.Publish = func(_ context.Context, key *selfservice.PrivateKey) error {
			published = key
			return nil // and the file stays as it is
		}
		_, err := h.api.Rotate(t.Context(), r)
		require.ErrorIs(t, err, selfservice.ErrOwnKey)
		assert.Contains(t, h.kids(t), old)
		require.NoError(t, selfservice.WriteKey(h.file)(t.Context(), published))
		_, err = h.api.Rotate(t.Context(), r)
		require.NoError(t, err, "it goes on where it was")
		assert.Equal(t, []string{published.KeyID()}, h.kids(t))
	})
}

func TestRotateWhenDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for _, tt := range []struct {
			reason string
			after  time.Duration
			want   bool
		}{
			{"a new key lives a year", 0, false},
			{"65 days are left", 300 * 24 * time.Hour, false},
			{"58 days are left", 8 * 24 * time.Hour, true},
			{"it is new again", 24 * time.Hour, false},
		} {
			time.Sleep(tt.after)
			rotated, err := h.api.RotateWhenDue(t.Context(), h.rotation)
			require.NoError(t, err, tt.reason)
			assert.Equal(t, tt.want, rotated, tt.reason)
		}
		require.NoError(t, os.Remove(h.file))
		rotated, err := h.api.RotateWhenDue(t.Context(), selfservice.KeyFile(h.clientID, h.file))
		require.NoError(t, err)
		assert.True(t, rotated, "a client without a key file gets one")
	})
}

// The admin client's own key is renewed as any other, and never removed while
// it signs with it.
func TestRotateOwnKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		own := maskinportentest.DefaultClientID
		file := filepath.Join(t.TempDir(), "admin.jwk")
		r := selfservice.KeyFile(own, file)
		_, err := h.api.Rotate(t.Context(), r)
		require.NoError(t, err)

		cfg := h.fake.Config()
		cfg.Credential = maskinporten.JWKFile(file)
		admin, err := maskinporten.New(cfg)
		require.NoError(t, err)
		api, err := selfservice.New(admin, selfservice.Options{HTTPClient: h.fake.HTTPClient()})
		require.NoError(t, err)
		keys, err := api.Keys(t.Context(), own)
		require.NoError(t, err)
		require.Len(t, keys, 1)
		_, err = api.RemoveKey(t.Context(), own, keys[0].KeyID)
		require.ErrorIs(t, err, selfservice.ErrOwnKey)

		rotated, err := api.Rotate(t.Context(), r)
		require.NoError(t, err)
		assert.Equal(t, keys[0].KeyID, rotated.Removed)
		_, err = api.Integrations(t.Context(), false)
		require.NoError(t, err, "the admin signs with the new key")
	})
}
