package resourceserver

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		synctest.Wait()
		require.Equal(t, 1, s.count())

		s.publish(jwkOf("k2", &otherKey().PublicKey, nil))
		time.Sleep(time.Second)
		require.NoError(t, verify(), "the last that it serves")
		synctest.Wait()
		require.Equal(t, 2, s.count())
		require.ErrorIs(t, verify(), ErrTokenInvalid, "a key that was withdrawn")
	})
}

// byStranger is a token that nobody signed, by a key that somebody made up.
func byStranger(kid string) string {
	return segment(object{"alg": "RS256", "kid": kid}) + "." + segment(tokenClaims(nil)) + ".c2ln"
}

func byNewKey() string {
	return signedToken(otherKey(), object{"alg": "RS256", "kid": "k2"}, tokenClaims(nil))
}

// keyWorld is a verifier that has the keys of a server.
func keyWorld(t *testing.T) (*keyServer, func(token string) error) {
	t.Helper()
	s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
	v := s.verifier(t)
	verify := func(token string) error {
		_, err := v.Verify(t.Context(), token)
		return err
	}
	require.NoError(t, verify(goodToken()))
	return s, verify
}

func TestNewKeyIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		s.publish(jwkOf("k1", &testKey().PublicKey, nil), jwkOf("k2", &otherKey().PublicKey, nil))
		require.NoError(t, verify(byNewKey()))
		require.Equal(t, 2, s.count())
	})
}

// What strangers make up becomes few requests, measured from the asking.
func TestMadeUpKidsBecomeFewFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		s.setSlow(4 * time.Second)
		for i := range maxRefetches {
			require.ErrorIs(t, verify(byStranger(fmt.Sprint("a", i))), ErrTokenInvalid, "the set has been looked at")
		}
		// Twelve seconds have passed since the first was asked for.
		require.Equal(t, 1+maxRefetches, s.count())
		s.setSlow(0)
		require.ErrorIs(t, verify(byStranger("b")), ErrTokenInvalid, "one has been gained")
		require.Equal(t, 2+maxRefetches, s.count())
		for i := range 100 {
			err := verify(byStranger(fmt.Sprint("c", i)))
			require.ErrorIs(t, err, maskinporten.ErrUnavailable)
			require.NotErrorIs(t, err, ErrTokenInvalid)
		}
		require.Equal(t, 2+maxRefetches, s.count())

		before := s.count()
		for i := range 600 { // ten a second for a minute
			_ = verify(byStranger(fmt.Sprint("d", i)))
			time.Sleep(time.Second / 10)
		}
		require.Equal(t, before+6, s.count(), "one in ten seconds")

		time.Sleep(time.Hour)
		before = s.count()
		for i := range 100 {
			_ = verify(byStranger(fmt.Sprint("e", i)))
		}
		require.Equal(t, before+maxRefetches, s.count(), "an hour of rest saves up no more than the burst")
	})
}

// A stranger can delay tokens by a new key, and cannot make them invalid.
func TestStrangersDoNotKeepANewKeyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		for i := range 100 {
			_ = verify(byStranger(fmt.Sprint("a", i)))
		}
		s.publish(jwkOf("k1", &testKey().PublicKey, nil), jwkOf("k2", &otherKey().PublicKey, nil))
		began := time.Now()
		for {
			_ = verify(byStranger("k3"))
			err := verify(byNewKey())
			if err == nil {
				break
			}
			require.ErrorIs(t, err, maskinporten.ErrUnavailable)
			require.NotErrorIs(t, err, ErrTokenInvalid, "nobody has looked for its key")
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(began), refetchInterval)
		require.NoError(t, verify(goodToken()), "nor does any of it touch a key that is known")
	})
}

// A token that says it is another environment's is none of this one's, whatever
// its key: nothing is fetched for it.
func TestTokenOfAnotherEnvironmentFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		for range 100 {
			token := signedToken(otherKey(), object{"alg": "RS256", "kid": "p1"}, tokenClaims(object{"iss": maskinporten.Prod.Issuer}))
			require.ErrorIs(t, verify(token), ErrTokenInvalid)
		}
		require.Equal(t, 1, s.count())
	})
}

// Whoever joins a fetch that began before the token came is not answered by it.
func TestFetchUnderWayIsNoVerdictOnALaterToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		s.setSlow(5 * time.Second) // the answer is made when the request comes
		go verify(byStranger("a"))
		time.Sleep(time.Second)
		s.publish(jwkOf("k1", &testKey().PublicKey, nil), jwkOf("k2", &otherKey().PublicKey, nil))
		require.NoError(t, verify(byNewKey()))
		require.Equal(t, 3, s.count())
	})
}

func TestEmptySetRevokes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		s.publish([]object{}...)
		require.ErrorIs(t, verify(byStranger("a")), ErrTokenInvalid)
		require.ErrorIs(t, verify(goodToken()), ErrTokenInvalid)
	})
}

// A key whose set is a day old serves while another set is fetched, also when
// that never comes.
func TestStaleKeysServeWhileTheFetchHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, verify := keyWorld(t)
		s.setSlow(time.Hour)
		time.Sleep(24 * time.Hour)
		began := time.Now()
		require.NoError(t, verify(goodToken()))
		require.Zero(t, time.Since(began), "nobody waits")
		synctest.Wait()
		require.Equal(t, 2, s.count())
		require.NoError(t, verify(goodToken()))
		require.Zero(t, time.Since(began), "nor those who come while it is under way")
		time.Sleep(time.Minute)
		s.setSlow(0)
		require.NoError(t, verify(goodToken()))
		synctest.Wait()
		require.Equal(t, 3, s.count(), "the fetch that hung is over, and another was made")
	})
}

// An HTTP client that ignores its context hangs alone.
func TestKeyFetchThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		hang := make(chan struct{})
		var calls atomic.Int32
		v, err := NewVerifier(maskinporten.Test, &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			if calls.Add(1) == 1 {
				<-hang
			}
			return s.RoundTrip(req)
		})})
		require.NoError(t, err)
		verify := func() error {
			_, err := v.Verify(t.Context(), goodToken())
			return err
		}
		require.ErrorIs(t, verify(), maskinporten.ErrUnavailable)
		for range 10 {
			time.Sleep(time.Minute)
			require.ErrorIs(t, verify(), maskinporten.ErrUnavailable)
		}
		require.EqualValues(t, 1, calls.Load(), "no other is started beside one that hangs")
		close(hang)
		synctest.Wait()
		require.NoError(t, verify())
	})
}

func TestMadeUpKidFirstCountsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		v := s.verifier(t)
		_, err := v.Verify(t.Context(), byStranger("made-up"))
		require.ErrorIs(t, err, ErrTokenInvalid)
		require.Equal(t, 1, s.count(), "the set was fetched for it")
		for range 10 {
			_, err := v.Verify(t.Context(), byStranger("made-up"))
			require.Error(t, err)
		}
		require.Equal(t, 1+maxRefetches, s.count())
	})
}

func TestKeysAreFetchedInOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
		s.setSlow(5 * time.Second)
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
			synctest.Wait()
		}
		require.Equal(t, 3, s.count())
		time.Sleep(9 * time.Second)
		require.NoError(t, verify())
		synctest.Wait()
		require.Equal(t, 3, s.count(), "they are left alone for ten seconds")
		s.setSlow(10 * time.Second)
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, verify())
		require.Zero(t, time.Since(began), "nobody waits for what has just failed")
		synctest.Wait()
		require.Equal(t, 4, s.count())
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, func() error { _, err := v.Verify(t.Context(), byNewKey()); return err }(), maskinporten.ErrUnavailable, "an unknown key in an outage is no verdict")

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
		{"no keys", `{}`, "not a JWK set"},
		{"null for keys", `{"keys":null}`, "not a JWK set"},
		{"keys twice", `{"keys":[],"Keys":[]}`, "not a JWK set"},
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
	other := jwkOf("k1", &otherKey().PublicKey, nil)
	// Nine bytes, of which the last eight are 65537; and bits behind the last byte.
	long := base64.RawURLEncoding.EncodeToString([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})
	n := other["n"].(string)
	loose := n[:len(n)-1] + string(n[len(n)-1]+1)
	for _, bad := range []object{
		changed(other, object{"e": long}), changed(other, object{"n": loose}), changed(other, object{"kid": ""}),
		{"kty": 17}, {"kty": "RSA", "kid": "k1", "n": "!", "e": "AQAB"}, changed(good, object{"use": "enc", "n": "AAAA"}),
		changed(good, object{"e": "AQABAQABAQ"}), changed(good, object{"kid": nil}), changed(good, object{"KID": "k1", "n": "AAAA"}),
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

func TestAsManyKeysAsThereMayBe(t *testing.T) {
	set := []object{jwkOf("k1", &testKey().PublicKey, nil)}
	for len(set) < maxKeys {
		set = append(set, object{})
	}
	_, err := publishing(set...).verifier(t).Verify(t.Context(), goodToken())
	require.NoError(t, err)
}

// Keys that would be slow to verify with, or weak, are left out.
func TestSizesOfKeys(t *testing.T) {
	for _, test := range []struct {
		bits   int
		taken  bool
		reason string
	}{
		{1024, false, "too small"},
		{2047, false, "one bit too small"},
		{2048, true, "the smallest"},
		{4096, true, "usual"},
		{8192, true, "the largest"},
		{8193, false, "one bit too large"},
		{32768, false, "a verification takes a hundred times as long"},
	} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(test.bits-1))
		n.SetBit(n, 0, 1)
		key := publicKey(base64.RawURLEncoding.EncodeToString(n.Bytes()), "AQAB")
		require.Equal(t, test.taken, key != nil, "%d bits: %s", test.bits, test.reason)
	}
	good := base64.RawURLEncoding.EncodeToString(testKey().N.Bytes())
	for e, taken := range map[int64]bool{1: false, 2: false, 3: true, 4: false, 65537: true, 1<<31 - 1: true, 1 << 31: false, 1<<31 + 1: false, 1<<32 + 1: false} {
		exponent := base64.RawURLEncoding.EncodeToString(big.NewInt(e).Bytes())
		require.Equal(t, taken, publicKey(good, exponent) != nil, e)
	}
	even := new(big.Int).Sub(testKey().N, big.NewInt(1))
	require.Nil(t, publicKey(base64.RawURLEncoding.EncodeToString(even.Bytes()), "AQAB"))
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
		require.NotContains(t, slices.Collect(maps.Keys(k)), "")
		for _, key := range k {
			require.GreaterOrEqual(t, key.RSA.N.BitLen(), 2048)
			// It must be fit to verify with: a wrong signature is an error, not a panic.
			digest := sha256.Sum256(body)
			require.Error(t, rsa.VerifyPKCS1v15(key.RSA, crypto.SHA256, digest[:], make([]byte, key.RSA.Size())))
		}
	})
}
