package keystore

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strconv"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type object = map[string]any

// privateJWK is key as NAIS injects it, with changes.
func privateJWK(t testing.TB, changes object) string {
	key := privateKey(t, "key")
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	members := object{
		"kty": "RSA", "kid": "min-nøkkel", "use": "sig", "alg": "RS256",
		"n": number(key.N), "e": "AQAB", "d": number(key.D), "p": number(key.Primes[0]), "q": number(key.Primes[1]),
		"dp": number(key.Precomputed.Dp), "dq": number(key.Precomputed.Dq), "qi": number(key.Precomputed.Qinv),
	}
	for name, value := range changes {
		if value == nil {
			delete(members, name)
			continue
		}
		members[name] = value
	}
	b, err := json.Marshal(members)
	require.NoError(t, err)
	return string(b)
}

func TestJWK(t *testing.T) {
	plain := privateJWK(t, nil)
	padded := base64.URLEncoding.EncodeToString(append([]byte{0}, privateKey(t, "key").N.Bytes()...))
	for _, test := range []struct{ reason, jwk string }{
		{"as NAIS has it", plain},
		{"white space around, and a byte order mark", "\xef\xbb\xbf\r\n" + plain + "\n"},
		{"base64", base64.StdEncoding.EncodeToString([]byte(plain))},
		{"base64 in lines", base64.StdEncoding.EncodeToString([]byte(plain))[:76] + "\n" + base64.StdEncoding.EncodeToString([]byte(plain))[76:] + "\n"},
		{"base64url without padding", base64.RawURLEncoding.EncodeToString([]byte(plain))},
		{"without primes (RFC 7518, section 6.3.2)", privateJWK(t, object{"p": nil, "q": nil, "dp": nil, "dq": nil, "qi": nil})},
		{"a set with the public half", `{"keys":[` + privateJWK(t, object{"d": nil}) + `,` + plain + `]}`},
		{"a set with the same key twice", `{"keys":[` + plain + `,` + plain + `]}`},
		{"a set with an elliptic curve's private key", `{"keys":[{"kty":"EC","crv":"P-256","kid":"ec","x":"AQAB","y":"AQAB","d":"AQAB"},` + plain + `]}`},
		{"a set with another's public key", `{"keys":[` + privateJWK(t, object{"d": nil, "kid": "annen", "n": "AQAB"}) + `,` + plain + `]}`},
		{"an exported key of an HSM", privateJWK(t, object{"kty": "RSA-HSM"})},
		{"a data URI", "data:application/json;base64," + base64.StdEncoding.EncodeToString([]byte(plain))},
		{"Key Vault's answer", `{"value":` + strconv.Quote(plain) + `}`},
		{"UTF-16", string(utf16of(plain))},
		{"a set of one", `{"keys":[` + plain + `]}`},
		{"base64 of a set of one", base64.StdEncoding.EncodeToString([]byte(`{"keys":[` + plain + `]}`))},
		{"a number with a zero in front, and padding", privateJWK(t, object{"n": padded})},
	} {
		t.Run(test.reason, func(t *testing.T) {
			key, err := JWK([]byte(test.jwk))
			require.NoError(t, err)
			assert.Equal(t, "min-nøkkel", key.ID)
			assert.True(t, key.Signer().Public().(*rsa.PublicKey).Equal(privateKey(t, "key").Public()))
			assert.Nil(t, key.Chain)
		})
	}
}

func TestJWKRefuses(t *testing.T) {
	long := base64.RawURLEncoding.EncodeToString(make([]byte, 4000))
	for _, test := range []struct {
		reason, jwk string
		err         error
	}{
		{"nothing", "", ErrNotKeystore},
		{"text", "hei på deg", ErrNotKeystore},
		{"a path", "/var/run/secrets/jwk", ErrNotKeystore},
		{"cut off", privateJWK(t, nil)[:400], ErrNotKeystore},
		{"a list", "[]", ErrNotKeystore},
		{"a number that is no base64", privateJWK(t, object{"d": "***"}), ErrNotKeystore},
		{"too large", privateJWK(t, object{"x": string(make([]byte, 70000))}), ErrNotKeystore},
		{"a public key", privateJWK(t, object{"d": nil}), ErrNoKey},
		{"an empty set", `{"keys":[]}`, ErrNotKeystore},
		{"a set of two that are no keys", `{"keys":[{},{}]}`, ErrNoKey},
		{"a set of two private keys", `{"keys":[` + privateJWK(t, nil) + `,` + privateJWK(t, object{"kid": "annen"}) + `]}`, ErrAmbiguousKey},
		{"elliptic curve", privateJWK(t, object{"kty": "EC"}), ErrUnusableKey},
		{"one prime", privateJWK(t, object{"p": nil}), ErrUnusableKey},
		{"without primes, and d of another", privateJWK(t, object{"p": nil, "q": nil, "d": "AQAB"}), ErrUnusableKey},
		{"more primes than there are", privateJWK(t, object{"oth": []object{{"r": "Aw"}}}), ErrUnusableKey},
		{"the public half of a key in an HSM", privateJWK(t, object{"kty": "RSA-HSM", "d": nil}), ErrNoKey},
		{"without kid", privateJWK(t, object{"kid": nil}), ErrNoKeyID},
		{"primes of another", privateJWK(t, object{"p": "AQAB"}), ErrUnusableKey},
		{"an exponent of one", privateJWK(t, object{"e": "AQ"}), ErrUnusableKey},
		{"an exponent that overflows", privateJWK(t, object{"e": "__________8"}), ErrUnusableKey},
		{"numbers of 32,000 bits", privateJWK(t, object{"n": long, "p": long}), ErrUnusableKey},
		{"zeros", privateJWK(t, object{"n": "AA", "d": "AA", "p": "AA", "q": "AA"}), ErrUnusableKey},
	} {
		_, err := JWK([]byte(test.jwk))
		assert.ErrorIs(t, err, test.err, test.reason)
	}
}

func utf16of(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func TestJWKMembers(t *testing.T) {
	exp := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		reason  string
		changes object
		id      string
		expires time.Time
		notes   int
	}{
		{"as it should be", nil, "min-nøkkel", time.Time{}, 0},
		{"a number for kid", object{"kid": 42}, "42", time.Time{}, 0},
		{"a number for kid that is no float", object{"kid": json.RawMessage("12345678901234567890")}, "12345678901234567890", time.Time{}, 0},
		{"when it expires", object{"exp": exp.Unix()}, "min-nøkkel", exp, 0},
		{"an expiry that is none", object{"exp": "2027-03-01"}, "min-nøkkel", time.Time{}, 0},
		{"an expiry before the epoch", object{"exp": -1}, "min-nøkkel", time.Time{}, 0},
		{"for encryption", object{"use": "enc"}, "min-nøkkel", time.Time{}, 1},
		{"for PSS", object{"alg": "PS256"}, "min-nøkkel", time.Time{}, 1},
		{"for neither", object{"use": nil, "alg": nil}, "min-nøkkel", time.Time{}, 0},
		{"both odd", object{"use": "enc", "alg": "RSA-OAEP"}, "min-nøkkel", time.Time{}, 2},
	} {
		key, err := JWK([]byte(privateJWK(t, test.changes)))
		require.NoError(t, err, test.reason)
		assert.Equal(t, test.id, key.ID, test.reason)
		assert.Equal(t, test.expires, key.Expires, test.reason)
		assert.Len(t, key.Notes, test.notes, test.reason)
	}
}

// TestKeyIDWins: an id that is configured stands in place of the JWK's, and a note says so.
func TestKeyIDWins(t *testing.T) {
	for _, test := range []struct {
		reason, id string
		kid        any
		want       string
		notes      int
	}{
		{"none configured", "", "a", "a", 0},
		{"the same", "a", "a", "a", 0},
		{"another", "b", "a", "b", 1},
		{"the JWK has none", "b", nil, "b", 0},
	} {
		content, err := Open([]byte(privateJWK(t, object{"kid": test.kid})), "")
		require.NoError(t, err, test.reason)
		key, err := content.Key(test.id, time.Now())
		require.NoError(t, err, test.reason)
		assert.Equal(t, test.want, key.ID, test.reason)
		assert.Len(t, key.Notes, test.notes, test.reason)
	}
}

// TestThreePrimes: RFC 8017 allows more than two.
func TestThreePrimes(t *testing.T) {
	//lint:ignore SA1019 others may have made such a key
	multi, err := rsa.GenerateMultiPrimeKey(rand.Reader, 3, 2048)
	require.NoError(t, err)
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	jwk := privateJWK(t, object{
		"n": number(multi.N), "d": number(multi.D), "p": number(multi.Primes[0]), "q": number(multi.Primes[1]), "dp": nil, "dq": nil, "qi": nil,
		"oth": []object{{"r": number(multi.Primes[2])}},
	})
	key, err := JWK([]byte(jwk))
	require.NoError(t, err)
	digest := sha256.Sum256(nil)
	signature, err := key.Signer().Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(t, err)
	assert.NoError(t, rsa.VerifyPKCS1v15(&multi.PublicKey, crypto.SHA256, digest[:], signature))
}
