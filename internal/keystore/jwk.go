package keystore

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// maxJWK bounds what is parsed; a key of 4096 bits comes to 3.5 kB.
const maxJWK = 64 << 10

// maxPrimes is how many primes a key may have (RFC 7518, section 6.3.2.7); all
// but the oldest have two.
const maxPrimes = 4

// jwk is a private key in a JSON Web Key (RFC 7517; RFC 7518, section 6.3).
type jwk struct {
	Kty string          `json:"kty"`
	Kid json.RawMessage `json:"kid"`
	Use string          `json:"use"`
	Alg string          `json:"alg"`
	Ops json.RawMessage `json:"key_ops"`
	Exp json.RawMessage `json:"exp"`
	N   base64URL       `json:"n"`
	E   base64URL       `json:"e"`
	D   base64URL       `json:"d"`
	P   base64URL       `json:"p"`
	Q   base64URL       `json:"q"`
	Oth []struct {
		R base64URL `json:"r"`
	} `json:"oth"`
}

// ErrNoKeyID is returned for a JWK without kid, if no other id is given.
var ErrNoKeyID = errors.New("maskinporten: the JWK has no kid: give the id under which it is registered on the client (MASKINPORTEN_KEY_ID)")

// JWK reads a private RSA key from a JWK (RFC 7517): as it is, as base64, or in
// a set with no other private RSA key.
func JWK(data []byte) (*Key, error) {
	content, err := openJWK(data, "")
	if err != nil {
		return nil, err
	}
	return content.Key("", time.Now())
}

// openJWK reads the JWK with a kid; the one there is, if that is empty.
func openJWK(data []byte, kid string) (*Content, error) {
	keys, err := readJWKs(data)
	if err != nil {
		return nil, err
	}
	if kid != "" {
		kids := quotedIDs(keys)
		if keys = slices.DeleteFunc(keys, func(k jwk) bool { return k.id() != kid }); len(keys) == 0 {
			return nil, fmt.Errorf("%w with the kid %s in the file; there is %s", ErrNoKey, quoted(kid), kids)
		}
	}
	picked, err := pickJWK(keys)
	if err != nil {
		return nil, err
	}
	private, err := picked.private()
	if err != nil {
		return nil, err
	}
	key, err := NewRegistered(private, picked.id())
	if err != nil {
		return nil, err
	}
	key.Expires, key.Notes = picked.expires(), picked.notes()
	return &Content{ID: key.ID, jwk: key, keys: []namedKey{{name: key.ID, key: private}}}, nil
}

func readJWKs(data []byte) ([]jwk, error) {
	if len(data) > maxJWK {
		return nil, fmt.Errorf("%w: the JWK is over 64 KiB", ErrNotKeystore)
	}
	text := bytes.TrimSpace(p12.DecodeText(data))
	for range maxUnwrapped {
		if _, wrapped := p12.Enveloped(text); !wrapped && len(text) > 0 && text[0] == '{' {
			break
		}
		// What is in it stays out of the error: it may be the key all the same.
		inner, ok := unwrapped(text)
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrNotKeystore, notJWK(text, data))
		}
		text = bytes.TrimSpace(inner)
	}
	var set struct {
		jwk
		Keys []jwk `json:"keys"`
	}
	if json.Unmarshal(text, &set) != nil {
		return nil, fmt.Errorf("%w: the JWK is not valid JSON, or a number in it not base64url", ErrNotKeystore)
	}
	if len(set.Keys) == 0 {
		return []jwk{set.jwk}, nil
	}
	return set.Keys, nil
}

// notJWK says what is in the place of a JWK.
func notJWK(text, data []byte) string {
	switch what := p12.Describe(data); {
	case len(text) == 0:
		return "the JWK is empty"
	case looksLikePEM(text):
		return "it is PEM: load it with LoadPEM"
	case what != "":
		return "it is " + what + ", not a JWK"
	case text[0] == '[':
		return "it is a JSON array: give the object in it, or a set, which has the array as its keys"
	}
	return "the JWK is neither JSON nor base64 of it" + nameNotContent(data)
}

// pickJWK returns the private RSA key of a set. Public halves, the same key
// twice and keys of other kinds may stand beside it.
func pickJWK(keys []jwk) (*jwk, error) {
	if len(keys) == 1 {
		return &keys[0], nil
	}
	var private []jwk
	for _, k := range keys {
		same := func(o jwk) bool { return bytes.Equal(o.N, k.N) && o.id() == k.id() }
		if k.rsa() && len(k.D) > 0 && !slices.ContainsFunc(private, same) {
			private = append(private, k)
		}
	}
	switch len(private) {
	case 0:
		return nil, fmt.Errorf("%w in the JWK set: none of its %d keys is a private RSA key", ErrNoKey, len(keys))
	case 1:
		return &private[0], nil
	}
	return nil, fmt.Errorf("%w: the JWK set has %d private keys (%s): give the one that is registered on the client", ErrAmbiguousKey, len(private), quotedIDs(private))
}

// quotedIDs is for an error: the kids of the first of many.
func quotedIDs(keys []jwk) string {
	var kids []string
	for _, k := range keys[:min(len(keys), maxListed)] {
		kids = append(kids, quoted(k.id()))
	}
	return strings.Join(kids, ", ")
}

// rsa reports whether k is an RSA key. Azure Key Vault calls one that lies in an
// HSM RSA-HSM, and keeps the private part.
func (k *jwk) rsa() bool { return k.Kty == "RSA" || k.Kty == "RSA-HSM" }

// id returns the kid, which some programs write as a number.
func (k *jwk) id() string {
	var s string
	if json.Unmarshal(k.Kid, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(k.Kid, &n) == nil {
		return n.String()
	}
	return ""
}

// expires returns when the key's time on the client is over. The member is not
// in RFC 7517; Digdir's self-service API has it.
func (k *jwk) expires() time.Time {
	var seconds int64
	if json.Unmarshal(k.Exp, &seconds) != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// notes says what the key states about its use that grants do not go by.
func (k *jwk) notes() (notes []string) {
	if k.Use != "" && k.Use != "sig" {
		notes = append(notes, fmt.Sprintf("the JWK's use is %s, not sig: Maskinporten takes keys for signing only", quoted(k.Use)))
	}
	var ops []string
	if json.Unmarshal(k.Ops, &ops) == nil && len(ops) > 0 && !slices.Contains(ops, "sign") {
		notes = append(notes, "the JWK's key_ops do not have sign: Maskinporten takes keys for signing only")
	}
	if k.Alg != "" && k.Alg != "RS256" {
		notes = append(notes, fmt.Sprintf("the JWK's alg is %s, and grants are signed with RS256: it has to be registered for that", quoted(k.Alg)))
	}
	return notes
}

func (k *jwk) private() (*rsa.PrivateKey, error) {
	switch {
	case k.Kty == "":
		return nil, fmt.Errorf("%w: the JSON is no JWK, for it has no kty", ErrNotKeystore)
	case !k.rsa():
		return nil, fmt.Errorf("%w: the JWK's kty is %s, and Maskinporten takes RSA only", ErrUnusableKey, quoted(k.Kty))
	case len(k.D) == 0 && k.Kty == "RSA-HSM":
		return nil, fmt.Errorf("%w: the JWK is of a key that stays in an HSM (RSA-HSM): sign there, with a crypto.Signer for NewKeyCredential", ErrNoKey)
	case len(k.D) == 0:
		return nil, fmt.Errorf("%w: the JWK holds only the public key", ErrNoKey)
	case len(k.Oth) > maxPrimes-2:
		return nil, fmt.Errorf("%w: the JWK has %d primes, and %d are the most", ErrUnusableKey, len(k.Oth)+2, maxPrimes)
	case (len(k.P) == 0) != (len(k.Q) == 0), len(k.P) == 0 && len(k.Oth) > 0:
		return nil, fmt.Errorf("%w: the JWK has only some of its primes: give p and q, or neither", ErrUnusableKey)
	}
	damaged := fmt.Errorf("%w: the numbers of the JWK do not make a key", ErrUnusableKey)
	numbers := []base64URL{k.N, k.D, k.P, k.Q}
	for _, prime := range k.Oth {
		numbers = append(numbers, prime.R)
	}
	for _, number := range numbers {
		if len(number) > maxRSABits/8 {
			return nil, damaged
		}
	}
	e := k.E.int()
	if !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
		return nil, damaged
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: k.N.int(), E: int(e.Int64())}, D: k.D.int()}
	if len(k.P) > 0 {
		for _, prime := range numbers[2:] {
			key.Primes = append(key.Primes, prime.int())
		}
	}
	if !consistent(key) {
		return nil, damaged
	}
	return key, nil
}

// consistent reports whether the numbers make a key, and prepares it. Primes are
// not needed (RFC 7518, section 6.3.2), only slower to do without; crypto/rsa
// does not check a key that has not two, so that one shows what it can.
func consistent(key *rsa.PrivateKey) bool {
	if key.N.Sign() == 0 || key.N.BitLen() < 1024 {
		return false
	}
	product := big.NewInt(1)
	for _, prime := range key.Primes {
		if prime.BitLen() < 2 {
			return false
		}
		product.Mul(product, prime)
	}
	if len(key.Primes) > 0 && product.Cmp(key.N) != 0 {
		return false
	}
	key.Precompute()
	if len(key.Primes) == 2 {
		return key.Validate() == nil
	}
	digest := sha256.Sum256(nil)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	return err == nil && rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) == nil
}

type base64URL []byte

func (b *base64URL) UnmarshalText(text []byte) error {
	raw, err := decodeBase64(string(text))
	*b = raw
	return err
}

func (b base64URL) int() *big.Int { return new(big.Int).SetBytes(b) }

// decodeBase64 takes either alphabet, with or without padding and line breaks.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_", "=", "", "\r", "", "\n", "").Replace(s)
	return base64.RawURLEncoding.DecodeString(s)
}
