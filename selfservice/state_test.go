package selfservice_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// A key that programs may have got already is never given up, however late the
// next run comes.
func TestRotateLateAfterPublishing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		old := h.kids(t)[0]
		ctx, die := context.WithCancel(t.Context())
		c := &crash{at: -1, die: die}
		r := h.rotation
		r.State = crashingState{r.State, c}
		publish := r.Publish
		r.Publish = func(ctx context.Context, key *selfservice.PrivateKey) error {
			err := publish(ctx, key)
			c.dead = true
			die()
			return err
		}
		_, err := h.api.Rotate(ctx, r)
		require.Error(t, err)
		h.works(t, "right after the crash")
		published, err := maskinporten.JWKFile(h.file).Credential(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, old, published.KeyID())

		time.Sleep(25 * time.Hour)
		hc := h.fake.HTTPClient()
		api := h.newAPI(t, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := hc.Transport.RoundTrip(r)
			if r.Method == http.MethodPost && filepath.Base(r.URL.Path) == "jwks" {
				h.works(t, "after each write of the keys")
			}
			return resp, err
		})})
		rotated, err := api.Rotate(t.Context(), h.rotation)
		require.NoError(t, err)
		assert.Equal(t, selfservice.Rotated{KeyID: published.KeyID(), Removed: old}, rotated)
		assert.Equal(t, []string{published.KeyID()}, h.kids(t))
	})
}

// forgetful is a state that keeps nothing.
type forgetful struct{}

func (forgetful) Load(context.Context) ([]byte, error) { return nil, nil }
func (forgetful) Save(context.Context, []byte) error   { return nil }

// A state that is not what a rotation left is named before anything is written.
func TestRotateRefusesStates(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.kids(t)
	key, err := selfservice.SmallKey()
	require.NoError(t, err)
	state := func(change func(map[string]any)) selfservice.State {
		path := filepath.Join(t.TempDir(), "state")
		m := map[string]any{"client_id": h.clientID, "step": "published", "kid": key.KeyID(), "replaces": before[0],
			"key": json.RawMessage(key.PublicJWK()), "began": time.Now(), "published": time.Now().Add(-time.Hour)}
		change(m)
		data, err := json.Marshal(m)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return selfservice.FileState(path)
	}
	for _, tt := range []struct {
		reason string
		state  selfservice.State
	}{
		{"it keeps nothing", forgetful{}},
		{"no step", state(func(m map[string]any) { delete(m, "step") })},
		{"a step that is none", state(func(m map[string]any) { m["step"] = "retired" })},
		{"published, but not when", state(func(m map[string]any) { delete(m, "published") })},
		{"a kid that is not the key's", state(func(m map[string]any) { m["kid"] = "another" })},
		{"another client's", state(func(m map[string]any) { m["client_id"] = "another" })},
		{"no key", state(func(m map[string]any) { delete(m, "key") })},
		{"created without its private half", state(func(m map[string]any) { m["step"] = "created" })},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			r := h.rotation
			r.State = tt.state
			r.Grace = time.Nanosecond
			r.Publish = func(context.Context, *selfservice.PrivateKey) error { return os.ErrInvalid }
			var field *maskinporten.FieldError
			_, err := h.api.Rotate(t.Context(), r)
			require.ErrorAs(t, err, &field)
			assert.Equal(t, "Rotation.State", field.Field)
			assert.Equal(t, before, h.kids(t), "nothing was written")
		})
	}
}
