package keystore

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"

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
		{"a set of one", `{"keys":[` + plain + `]}`},
		{"base64 of a set of one", base64.StdEncoding.EncodeToString([]byte(`{"keys":[` + plain + `]}`))},
		{"a number with a zero in front, and padding", privateJWK(t, object{"n": padded})},
	} {
		t.Run(test.reason, func(t *testing.T) {
			key, err := JWK([]byte(test.jwk))
			require.NoError(t, err)
			assert.Equal(t, "min-nøkkel", key.ID)
			assert.True(t, key.Signer().(*rsa.PrivateKey).Equal(privateKey(t, "key")))
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
		{"without primes", privateJWK(t, object{"p": nil}), ErrUnusableKey},
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
