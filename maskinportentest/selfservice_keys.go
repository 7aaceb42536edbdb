package maskinportentest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxKeys is how many keys a client may have.
const maxKeys = 5

func (c *call) getKeys() (int, any, *problem) {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	r, p := c.mine()
	if p != nil {
		return 0, nil, p
	}
	return http.StatusOK, r.keySet(), nil
}

// keySet is the client's keys as the API shows them.
func (r *registration) keySet() map[string]any {
	keys := []any{}
	for _, k := range r.Keys {
		shown := map[string]any{
			"kid": k.ID, "kty": "RSA", "alg": "RS256", "use": "sig",
			"n": base64.RawURLEncoding.EncodeToString(k.Public.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.Public.E)).Bytes()),
		}
		if k.alg != "" {
			shown["alg"] = k.alg
		}
		if !k.NoExpiry {
			shown["exp"] = k.Expires.Unix()
		}
		keys = append(keys, shown)
	}
	set := map[string]any{"keys": keys}
	if len(keys) > 0 {
		set["created"], set["last_updated"] = r.keysCreated.Format(portalTime), r.keysUpdated.Format(portalTime)
	}
	return set
}

// putKeys replaces the whole set: there is no way to change one key.
func (c *call) putKeys() (int, any, *problem) {
	fields, p := c.object()
	if p != nil {
		return 0, nil, p
	}
	return c.update(func(r *registration) (int, any, *problem) {
		if r.inactive {
			return 0, nil, wrong(http.StatusConflict, "The client is deactivated")
		}
		keys, p := c.readKeySet(fields, r.Keys)
		if p != nil {
			return 0, nil, p
		}
		if len(r.Keys) == 0 {
			r.keysCreated = c.now
		}
		r.Keys, r.keysUpdated = keys, c.now
		return http.StatusCreated, r.keySet(), nil
	})
}

func (c *call) deleteKeys() (int, any, *problem) {
	return c.update(func(r *registration) (int, any, *problem) {
		r.Keys, r.keysUpdated = nil, c.now
		return http.StatusNoContent, nil, nil
	})
}

// readKeySet checks a whole set of keys. One that was there before keeps its
// end at the latest: whether posting it again renews it is not known.
func (c *call) readKeySet(set map[string]any, old []Key) ([]Key, *problem) {
	list, ok := set["keys"].([]any)
	var bad []fieldError
	switch {
	case !ok || len(list) == 0:
		bad = append(bad, fieldError{"keys", "must hold one key at least"})
	case len(list) > maxKeys:
		bad = append(bad, fieldError{"keys", fmt.Sprintf("must hold %d keys at most, not %d", maxKeys, len(list))})
	}
	var keys []Key
	for i, v := range list {
		object, _ := v.(map[string]any)
		k, wrongs := readPostedKey(object, fmt.Sprintf("keys[%d]", i))
		bad = append(bad, wrongs...)
		if wrongs != nil {
			continue
		}
		if slices.ContainsFunc(keys, func(other Key) bool { return other.ID == k.ID }) {
			bad = append(bad, fieldError{fmt.Sprintf("keys[%d].kid", i), "is that of another key"})
		}
		latest := c.now.AddDate(1, 0, 0)
		for _, o := range old {
			if o.ID == k.ID && o.Public.Equal(k.Public) && !o.NoExpiry {
				latest = o.Expires
			} else if o.ID == k.ID && o.Public.Equal(k.Public) {
				k.NoExpiry = k.Expires.IsZero()
			}
		}
		if k.Expires.IsZero() || k.Expires.After(latest) {
			k.Expires = latest
		}
		keys = append(keys, k)
	}
	if bad != nil {
		return nil, &problem{http.StatusBadRequest, bad}
	}
	return keys, nil
}

func readPostedKey(object map[string]any, at string) (k Key, bad []fieldError) {
	refuse := func(field, message string) { bad = append(bad, fieldError{at + "." + field, message}) }
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, present := object[name]; present {
			refuse(name, "is private: never send it; make a new key")
		}
	}
	if _, present := object["x5c"]; present {
		refuse("x5c", "is not taken")
	}
	k.ID, k.alg = text(object, "kid"), text(object, "alg")
	if k.ID == "" || strings.Trim(k.ID, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
		refuse("kid", "must be letters, digits, . _ and -")
	}
	if !slices.Contains([]string{"RS256", "RS384", "RS512"}, k.alg) {
		refuse("alg", "must be RS256, RS384 or RS512")
	}
	if object["use"] != "sig" {
		refuse("use", "must be sig")
	}
	public, err := jwk{Kty: text(object, "kty"), N: text(object, "n"), E: text(object, "e")}.public()
	switch {
	case err != nil:
		refuse("n", err.Error())
	case public.N.BitLen() < 2048 || public.N.BitLen() > 4096:
		refuse("n", fmt.Sprintf("must be of 2048 to 4096 bits, not %d", public.N.BitLen()))
	}
	if v, present := object["exp"]; present {
		n, _ := v.(json.Number)
		exp, err := n.Int64()
		if err != nil {
			refuse("exp", "must be in seconds")
		}
		k.Expires = time.Unix(exp, 0)
	}
	k.Public = public
	return k, bad
}
