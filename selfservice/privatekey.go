package selfservice

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// keyBits is what is recommended for new RSA keys beyond 2030 (NIST SP 800-57
// part 1, table 2; BSI TR-02102-1), and well within what the API takes.
const keyBits = 3072

// PrivateKey is a key made here, with the id to register it under. It is
// immutable and safe for concurrent use; printing it shows no key.
type PrivateKey struct {
	id      string
	expires time.Time
	key     func() *rsa.PrivateKey // where no printer can reach it
}

// NewKey makes an RSA key of 3072 bits with a random UUID as its id.
func NewKey() (*PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, errors.New("selfservice: no key can be made: the system's random source fails")
	}
	return privateKey(key, newUUID(), time.Time{}), nil
}

func privateKey(key *rsa.PrivateKey, id string, expires time.Time) *PrivateKey {
	return &PrivateKey{id: id, expires: expires, key: func() *rsa.PrivateKey { return key }}
}

// newUUID is a random UUID (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// KeyID returns the id that the key is registered under.
func (k *PrivateKey) KeyID() string {
	if k == nil {
		return ""
	}
	return k.id
}

// Public returns what may be registered; the zero Key for an empty one.
func (k *PrivateKey) Public() Key {
	if k == nil || k.key == nil {
		return Key{}
	}
	return Key{KeyID: k.id, Algorithm: "RS256", PublicKey: &k.key().PublicKey, Expires: k.expires}
}

// Credential returns a credential that signs with the key.
func (k *PrivateKey) Credential() (*maskinporten.Credential, error) {
	if k == nil || k.key == nil {
		return nil, invalid("PrivateKey", "is empty: make it with NewKey")
	}
	return maskinporten.NewKeyCredential(k.key(), k.id)
}

// privateJWK is a private key by RFC 7518 §6.3.2.
type privateJWK struct {
	wireKey
	D  string `json:"d"`
	P  string `json:"p"`
	Q  string `json:"q"`
	DP string `json:"dp"`
	DQ string `json:"dq"`
	QI string `json:"qi"`
}

// JWK returns the private key as a JWK, which [maskinporten.LoadJWK] and
// [maskinporten.JWKFile] read. It is secret. An empty PrivateKey has none.
func (k *PrivateKey) JWK() []byte {
	if k == nil || k.key == nil {
		return nil
	}
	key := k.key()
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	jwk, _ := json.Marshal(privateJWK{ // texts: it cannot fail
		wireKey: k.Public().wire(),
		D:       number(key.D), P: number(key.Primes[0]), Q: number(key.Primes[1]),
		DP: number(key.Precomputed.Dp), DQ: number(key.Precomputed.Dq), QI: number(key.Precomputed.Qinv),
	})
	return jwk
}

// PublicJWK returns the public half as a JWK, as the portal takes it. An empty
// PrivateKey has none.
func (k *PrivateKey) PublicJWK() []byte {
	if k == nil || k.key == nil {
		return nil
	}
	jwk, _ := json.Marshal(k.Public().wire()) // texts: it cannot fail
	return jwk
}

// parsePrivateKey reads what JWK wrote. Its errors hold nothing of it.
func parsePrivateKey(data []byte) (*PrivateKey, error) {
	damaged := errors.New("the key in it is damaged")
	var jwk privateJWK
	if json.Unmarshal(data, &jwk) != nil {
		return nil, damaged
	}
	public, err := jwk.wireKey.key()
	if err != nil {
		return nil, damaged
	}
	var numbers [3]*big.Int
	for i, text := range [...]string{jwk.D, jwk.P, jwk.Q} {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return nil, damaged
		}
		numbers[i] = new(big.Int).SetBytes(b)
	}
	key := &rsa.PrivateKey{PublicKey: *public.PublicKey, D: numbers[0], Primes: numbers[1:]}
	if key.Validate() != nil {
		return nil, damaged
	}
	key.Precompute()
	return privateKey(key, public.KeyID, public.Expires), nil
}

// String names the key's id.
func (k *PrivateKey) String() string {
	if k == nil {
		return "PrivateKey(nil)"
	}
	return fmt.Sprintf("PrivateKey{KeyID: %q}", k.id)
}

// Format makes every verb print what String does.
func (k *PrivateKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue is what String prints.
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps JSON to what String prints: [PrivateKey.JWK] is the key.
func (k *PrivateKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
