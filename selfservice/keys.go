package selfservice

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MaxKeys is how many keys a client may have, by Digdir's rule.
const MaxKeys = 5

// Key is the public half of a key, as it is registered on a client.
type Key struct {
	KeyID     string
	Algorithm string // RS256, RS384 or RS512
	PublicKey *rsa.PublicKey

	// Expires is when Maskinporten stops taking it, a year from registration
	// at most. Zero if the API does not say, as of old keys.
	Expires time.Time
}

// wireKey is all that is ever sent of a key: nothing private, no certificate.
// The API demands use since 2025-05, also on keys that it has itself.
type wireKey struct {
	Type      string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
	Expires   int64  `json:"exp,omitempty"` // Unix seconds
}

type wireKeys struct {
	Keys []wireKey `json:"keys"`
}

// DaysLeft returns how many whole days k has left, and whether that is known.
func (k Key) DaysLeft(now time.Time) (days int, known bool) {
	if k.Expires.IsZero() {
		return 0, false
	}
	return max(0, int(k.Expires.Sub(now)/(24*time.Hour))), true
}

func (k Key) expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// same reports whether k and other are one registration.
func (k Key) same(other Key) bool {
	return k.KeyID == other.KeyID && k.PublicKey.Equal(other.PublicKey)
}

func (k Key) wire() wireKey {
	w := wireKey{
		Type: "RSA", Use: "sig", Algorithm: k.Algorithm, KeyID: k.KeyID,
		Modulus:  base64.RawURLEncoding.EncodeToString(k.PublicKey.N.Bytes()),
		Exponent: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.PublicKey.E)).Bytes()),
	}
	if !k.Expires.IsZero() {
		w.Expires = k.Expires.Unix()
	}
	if w.Algorithm == "" {
		w.Algorithm = "RS256"
	}
	return w
}

func (w wireKey) key() (Key, error) {
	n, errN := base64.RawURLEncoding.DecodeString(strings.TrimRight(w.Modulus, "="))
	e, errE := base64.RawURLEncoding.DecodeString(strings.TrimRight(w.Exponent, "="))
	if w.Type != "RSA" || errN != nil || errE != nil || len(n) == 0 || len(n) > 2048 || len(e) == 0 || len(e) > 4 {
		return Key{}, errors.New("is not an RSA key")
	}
	k := Key{
		KeyID: w.KeyID, Algorithm: w.Algorithm,
		PublicKey: &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())},
	}
	if w.Expires > 0 {
		k.Expires = time.Unix(w.Expires, 0)
	}
	return k, nil
}

// ParseKey reads a public key to register: a JWK with a kid, or a JWK set of
// one. A private key is refused, for only the public half may leave its place;
// [PrivateKey.Public] has it. The error is a *[maskinporten.FieldError].
func ParseKey(data []byte) (Key, error) {
	var jwk struct {
		wireKey
		Private json.RawMessage   `json:"d"`
		Keys    []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &jwk) != nil {
		return Key{}, invalid("key", "is not a JWK: give the public half as JSON with kty, n, e and kid")
	}
	if len(jwk.Keys) == 1 {
		return ParseKey(jwk.Keys[0])
	}
	if len(jwk.Keys) > 1 {
		return Key{}, invalid("key", fmt.Sprintf("is a set of %d keys: give one", len(jwk.Keys)))
	}
	if jwk.Private != nil {
		return Key{}, invalid("key", "is a private key: register only its public half")
	}
	k, err := jwk.key()
	if err != nil {
		return Key{}, invalid("key", err.Error())
	}
	return k, k.validate()
}

// validate holds k to Digdir's rules before it is posted.
func (k Key) validate() error {
	switch {
	case !isName(k.KeyID):
		return invalid("Key.KeyID", "must be letters, digits, dots, hyphens and underscores: a UUID is best")
	case k.PublicKey == nil:
		return invalid("Key.PublicKey", "is missing")
	case k.PublicKey.N.BitLen() < 2048 || k.PublicKey.N.BitLen() > 4096:
		return invalid("Key.PublicKey", fmt.Sprintf("has %d bits: the API takes 2048 to 4096", k.PublicKey.N.BitLen()))
	case k.Algorithm != "" && !slices.Contains([]string{"RS256", "RS384", "RS512"}, k.Algorithm):
		return invalid("Key.Algorithm", "must be RS256, RS384 or RS512")
	}
	return nil
}

// keySet is a set of keys as the API answers it. It must have the member keys:
// an object of another kind is not an empty set, for the next write would take
// every key away.
type keySet wireKeys

func (s *keySet) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	if members["keys"] == nil {
		return errors.New("no keys")
	}
	return json.Unmarshal(data, (*wireKeys)(s))
}

// Keys lists the keys of a client, also those that have expired.
func (c *Client) Keys(ctx context.Context, clientID string) ([]Key, error) {
	path, err := clientPath(clientID)
	if err != nil {
		return nil, err
	}
	var set keySet
	err = c.do(ctx, call{doing: "list the keys of " + clientID, method: http.MethodGet, path: path + "/jwks", scope: scopeRead}, &set)
	if errors.Is(err, ErrNotFound) {
		// A client without keys may have no set: only then is it there itself.
		_, err = c.Integration(ctx, clientID)
	}
	if err != nil {
		return nil, err
	}
	keys := make([]Key, 0, len(set.Keys))
	for _, w := range set.Keys {
		k, err := w.key()
		if err != nil {
			return nil, fmt.Errorf("selfservice: list the keys of %s: the key %q %w", clientID, w.KeyID, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// RegisterKey registers a key on a client beside those that it has, and
// returns all of them. Those that have expired make room. The error is
// [ErrTooManyKeys] if there are five left.
//
// A client with registered keys must name one in its grants: one that has
// signed with its certificate's chain until now is refused from then on.
func (c *Client) RegisterKey(ctx context.Context, clientID string, key Key) ([]Key, error) {
	if err := key.validate(); err != nil {
		return nil, err
	}
	return c.changeKeys(ctx, clientID, func(keys []Key) ([]Key, error) {
		for _, k := range keys {
			switch {
			case k.same(key):
				return keys, nil
			case k.KeyID == key.KeyID:
				return nil, invalid("Key.KeyID", fmt.Sprintf("%q is another key's on this client: take a new UUID", key.KeyID))
			}
		}
		return append(keys, key), nil
	})
}

// RemoveKey removes a key from a client, and returns those that are left. The
// error is [ErrOwnKey] for the key that the admin client itself signs with.
func (c *Client) RemoveKey(ctx context.Context, clientID, kid string) ([]Key, error) {
	return c.changeKeys(ctx, clientID, func(keys []Key) ([]Key, error) {
		at := slices.IndexFunc(keys, func(k Key) bool { return k.KeyID == kid })
		if at < 0 {
			return nil, fmt.Errorf("%w: client %s has no key %q", ErrNotFound, clientID, kid)
		}
		if own, err := c.signsWith(ctx, clientID, kid); err != nil {
			return nil, err
		} else if own {
			return nil, fmt.Errorf("%w: %q of client %s", ErrOwnKey, kid, clientID)
		}
		return slices.Delete(keys, at, at+1), nil
	})
}

// signsWith reports whether the admin client signs with the key kid of clientID.
func (c *Client) signsWith(ctx context.Context, clientID, kid string) (bool, error) {
	if !c.isAdmin(clientID) {
		return false, nil
	}
	cred, err := c.admin.Credential(ctx)
	if err != nil {
		return false, err
	}
	return cred.KeyID() == kid, nil
}

// changeKeys reads the keys of a client, changes them, writes the whole set,
// for the API knows no single key, and reads it again.
func (c *Client) changeKeys(ctx context.Context, clientID string, change func([]Key) ([]Key, error)) ([]Key, error) {
	keys, err := c.Keys(ctx, clientID)
	if err != nil {
		return nil, err
	}
	now := c.now()
	wanted, err := change(slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.expired(now) }))
	if err != nil {
		return nil, err
	}
	if len(wanted) > MaxKeys {
		return nil, fmt.Errorf("%w, and client %s has them: remove one that is no longer used", ErrTooManyKeys, clientID)
	}
	if sameKeys(keys, wanted) {
		return keys, nil
	}
	if err := c.writeKeys(ctx, clientID, wanted); err != nil {
		return nil, err
	}
	is, err := c.Keys(ctx, clientID)
	if err != nil {
		return nil, err
	}
	if !sameKeys(is, wanted) {
		return is, fmt.Errorf("%w: the keys of client %s are %s", ErrChangedMeanwhile, clientID, kids(is))
	}
	return is, nil
}

// now is the time by Maskinporten's clock, by which keys expire: a machine whose
// own clock is ahead must not take away keys that are still signed with.
func (c *Client) now() time.Time { return time.Now().Add(c.admin.Stats().ClockSkew) }

// writeKeys replaces the set. The API takes no empty one: then it is deleted.
func (c *Client) writeKeys(ctx context.Context, clientID string, keys []Key) error {
	path, err := clientPath(clientID)
	if err != nil {
		return err
	}
	k := call{doing: "write the keys of " + clientID, method: http.MethodPost, path: path + "/jwks", scope: scopeModify}
	if len(keys) == 0 {
		k.method = http.MethodDelete
		return c.do(ctx, k, nil)
	}
	var set wireKeys
	for _, key := range keys {
		set.Keys = append(set.Keys, key.wire())
	}
	k.body = set
	return c.do(ctx, k, nil)
}

// sameKeys reports whether two sets hold the same registrations, in any order.
func sameKeys(a, b []Key) bool {
	if len(a) != len(b) {
		return false
	}
	for _, k := range a {
		if !slices.ContainsFunc(b, k.same) {
			return false
		}
	}
	return true
}

func kids(keys []Key) string {
	if len(keys) == 0 {
		return "none"
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.KeyID)
	}
	return strings.Join(names, ", ")
}
