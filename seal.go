package maskinporten

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// storeKeys name and seal the tokens of one client with one credential. Whoever
// can sign with its key could fetch the tokens anyway, so that opening a stored
// one takes nothing that a thief of the key does not have, and there is no
// second secret to keep.
type storeKeys struct {
	secret []byte // pseudorandom key of HKDF (RFC 5869)
	naming []byte
}

// storeVersion is the first byte of what is sealed. A change to what is below
// needs another.
const storeVersion = 1

// storeLabel begins what is signed to get a secret. Its blanks and NUL byte
// stand in no JWS (RFC 7515 §5.1), so that no grant's signature is this one.
const storeLabel = "maskinporten token store\x00"

// newStoreKeys signs: RSASSA-PKCS1-v1_5 is deterministic (RFC 8017 §8.2.1), so
// that every process with the same key gets the same secret. The signature is
// verified, since a signer that returns anything else would make a secret
// that others might guess.
func newStoreKeys(signer crypto.Signer, issuer, clientID string) (*storeKeys, error) {
	digest := sha256.Sum256([]byte(storeLabel + issuer + "\x00" + clientID))
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing for the token store: %w", err)
	}
	public, ok := signer.Public().(*rsa.PublicKey)
	if !ok || rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) != nil {
		return nil, errors.New("signing for the token store: the signer's signature does not verify")
	}
	secret, err := hkdf.Extract(sha256.New, signature, nil)
	if err != nil {
		return nil, err
	}
	naming, err := hkdf.Expand(sha256.New, secret, "name", sha256.Size)
	if err != nil {
		return nil, err
	}
	return &storeKeys{secret, naming}, nil
}

// name is where the token of a normalized request is kept. Without the key it
// says nothing about the request, and a guess cannot be checked.
func (k *storeKeys) name(r *Request) string {
	mac := hmac.New(sha256.New, k.naming)
	for _, f := range r.fields() {
		for _, part := range []string{f.Key, f.Value.String()} {
			mac.Write(binary.AppendUvarint(nil, uint64(len(part))))
			mac.Write([]byte(part))
		}
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// aead is AES-256-GCM under a key for this name alone, with a random nonce: one
// name is sealed once in a token's lifetime, far from where nonces collide.
func (k *storeKeys) aead(name string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, k.secret, "value\x00"+string(rune(storeVersion))+name, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// storedToken is what is sealed. Times are in milliseconds.
type storedToken struct {
	Access   string `json:"access_token"`
	Scope    string `json:"scope"`
	Lifetime int64  `json:"lifetime"`
	End      int64  `json:"end"` // Unix time by Maskinporten's clock
}

// seal encrypts t for name. Version and name are authenticated along with it,
// so that a value moved to another name does not open.
func (k *storeKeys) seal(name string, t storedToken) ([]byte, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	aead, err := k.aead(name)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{storeVersion}, nil, plain, additionalData(name)), nil
}

func additionalData(name string) []byte { return append([]byte{storeVersion}, name...) }

// open reports whether sealed is a token that seal has sealed for name, and
// returns it. Anything may stand in a store.
func (k *storeKeys) open(name string, sealed []byte) (t storedToken, ok bool) {
	const maxSealed = 2 << 20 // twice what an answer may be
	if len(sealed) == 0 || len(sealed) > maxSealed || sealed[0] != storeVersion {
		return storedToken{}, false
	}
	aead, err := k.aead(name)
	if err != nil {
		return storedToken{}, false
	}
	plain, err := aead.Open(nil, nil, sealed[1:], additionalData(name))
	if err != nil || json.Unmarshal(plain, &t) != nil {
		return storedToken{}, false
	}
	const day = int64(24 * time.Hour / time.Millisecond)
	return t, t.Access != "" && visibleASCII(t.Access) && t.Lifetime > 0 && t.Lifetime <= day
}

// left is what t has to live: the least of what the store says, the lifetime,
// and the end that Maskinporten set, which a replayed value has passed.
func (t *storedToken) left(byStore time.Duration, now time.Time) time.Duration {
	end := time.UnixMilli(t.End).Sub(now)
	return min(byStore, time.Duration(t.Lifetime)*time.Millisecond, end)
}
