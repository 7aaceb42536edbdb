package resourceserver

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
)

func TestKeysAreKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		v := s.verifier(t)
		verify := func() error {
			_, err := v.Verify(t.Context(), goodToken())
			return err
		}
		require.Zero(t, s.count(), "making a Verifier does no I/O")
		require.NoError(t, verify())
		require.NoError(t, verify())
		time.Sleep(24*time.Hour - time.Second)
		require.NoError(t, verify())
		require.Equal(t, 1, s.count())

		s.publish(jwkOf("k2", &otherKey().PublicKey, nil))
		time.Sleep(time.Second)
		require.ErrorIs(t, verify(), ErrTokenInvalid, "a key that was withdrawn a day ago")
		require.Equal(t, 2, s.count())
	})
}

func TestUnknownKidFetchesAtMostOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		v := s.verifier(t)
		rotated := func(kid string) error {
			_, err := v.Verify(t.Context(), signedToken(otherKey(), object{"alg": "RS256", "kid": kid}, tokenClaims(nil)))
			return err
		}
		_, err := v.Verify(t.Context(), goodToken())
		require.NoError(t, err)

		s.publish(jwkOf("k1", &testKey().PublicKey, nil), jwkOf("k2", &otherKey().PublicKey, nil))
		require.NoError(t, rotated("k2"), "a new key is found at once")
		require.Equal(t, 2, s.count())

		for i := range 100 {
			require.ErrorIs(t, rotated(fmt.Sprint("made-up-", i)), ErrTokenInvalid)
		}
		require.Equal(t, 2, s.count())
		time.Sleep(time.Minute)
		for i := range 100 {
			require.ErrorIs(t, rotated(fmt.Sprint("made-up-", i)), ErrTokenInvalid)
		}
		require.Equal(t, 3, s.count())
	})
}

func TestMadeUpKidFirstCountsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		v := s.verifier(t)
		for range 10 {
			_, err := v.Verify(t.Context(), signedToken(otherKey(), object{"alg": "RS256", "kid": "made-up"}, tokenClaims(nil)))
			require.ErrorIs(t, err, ErrTokenInvalid)
		}
		require.Equal(t, 1, s.count())
	})
}

func TestKeysAreFetchedInOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		s.slow = 5 * time.Second
		v, token := s.verifier(t), goodToken()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := v.Verify(context.Background(), token)
				require.NoError(t, err)
			})
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := v.Verify(hasty, token)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrTokenInvalid)
		require.Equal(t, time.Second, time.Since(began))
		wg.Wait()
		require.Equal(t, 1, s.count())
	})
}

func TestOutageOfTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		s.setDown(true)
		v := s.verifier(t)
		verify := func() error {
			_, err := v.Verify(t.Context(), goodToken())
			return err
		}
		for range 10 {
			err := verify()
			require.ErrorIs(t, err, maskinporten.ErrUnavailable)
			require.NotErrorIs(t, err, ErrTokenInvalid)
			require.ErrorContains(t, err, maskinporten.Test.JWKSURL)
		}
		require.Equal(t, 1, s.count(), "a failure is remembered")

		s.setDown(false)
		time.Sleep(time.Second)
		require.NoError(t, verify(), "and forgotten soon")
		require.Equal(t, 2, s.count())

		time.Sleep(24 * time.Hour)
		s.setDown(true)
		for range 10 {
			require.NoError(t, verify(), "the old keys serve on")
		}
		require.Equal(t, 3, s.count())
		s.slow = 10 * time.Second
		time.Sleep(time.Minute)
		began := time.Now()
		require.NoError(t, verify())
		require.Zero(t, time.Since(began), "nobody waits for what has just failed")
		synctest.Wait()
		require.Equal(t, 4, s.count())

		time.Sleep(24 * time.Hour)
		require.ErrorIs(t, verify(), maskinporten.ErrUnavailable, "but not for ever")
		s.setDown(false)
		time.Sleep(time.Minute)
		require.NoError(t, verify())
	})
}

func TestKeySetThatIsNone(t *testing.T) {
	for _, test := range []struct{ name, body, reason string }{
		{"a page", "<html>log in</html>", "not a JWK set"},
		{"no keys", `{"keys":[]}`, "no RSA key"},
		{"only keys of no use", `{"keys":[{"kty":"EC","kid":"a"},{"kty":"RSA","kid":"b","n":"AQAB","e":"AQAB"},17,null]}`, "no RSA key"},
		{"too many", `{"keys":[` + strings.Repeat("{},", maxKeys) + `{}]}`, "101 keys"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := NewVerifier(maskinporten.Test, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return reply(200, test.body), nil })})
			require.NoError(t, err)
			_, err = v.Verify(t.Context(), goodToken())
			require.ErrorIs(t, err, maskinporten.ErrUnavailable)
			require.ErrorContains(t, err, test.reason)
		})
	}
}

func TestBadKeyDoesNotSpoilTheOthers(t *testing.T) {
	good := jwkOf("k1", &testKey().PublicKey, nil)
	for _, bad := range []object{
		{"kty": 17}, {"kty": "RSA", "kid": "k1", "n": "!", "e": "AQAB"}, changed(good, object{"use": "enc", "n": "AAAA"}),
		changed(good, object{"e": "AQABAQABAQ"}), changed(good, object{"kid": nil}),
	} {
		_, err := publishing(bad, good, jwkOf("k1", &otherKey().PublicKey, nil)).verifier(t).Verify(t.Context(), goodToken())
		require.NoError(t, err, bad)
	}
}

func TestKeyFetchThatPanics(t *testing.T) {
	v, err := NewVerifier(maskinporten.Test, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { panic("secret") })})
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), goodToken())
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrTokenInvalid)
	require.NotContains(t, err.Error(), "secret")
}

func FuzzKeySet(f *testing.F) {
	good, err := json.Marshal(object{"keys": []object{jwkOf("k1", &testKey().PublicKey, nil)}})
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"},null,1,"x",{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		k, err := parseKeys(body)
		if err != nil {
			require.Nil(t, k)
			return
		}
		require.NotContains(t, slices.Collect(maps.Keys(k.byID)), "")
		for _, key := range k.byID {
			require.GreaterOrEqual(t, key.RSA.N.BitLen(), 2048)
			// It must be fit to verify with: a wrong signature is an error, not a panic.
			digest := sha256.Sum256(body)
			require.Error(t, rsa.VerifyPKCS1v15(key.RSA, crypto.SHA256, digest[:], make([]byte, key.RSA.Size())))
		}
	})
}
