package maskinportentest

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// The registers in which a token names organisations: ISO 6523, of which
// Norway's is 0192, and what stands in a certificate for eSeals.
const (
	actorAuthority = "iso6523-actorid-upis"
	sealAuthority  = "etsi-en-319-412"
)

// signingKeys sign tokens. The last one signs, the ones before it are still
// published for a while.
type signingKeys struct {
	keys  []signingKey
	count int
}

type signingKey struct {
	id      string
	private *rsa.PrivateKey
	retired time.Time // zero for the one in use
}

// oldKeysStay is how long a key is published after it was rotated out:
// Maskinporten asks for keys to be cached about as long.
const oldKeysStay = 24 * time.Hour

// RotateKey has tokens signed by another key from now on. The old one stays
// in the key set for 24 hours of the Fake's clock, so that its tokens stay
// valid.
func (f *Fake) RotateKey() {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys.rotate(now)
}

// RevokeTokens makes all tokens issued so far invalid: their key is taken out
// of the key set and another put in its place. [Fake.Guard] answers 401 to
// them.
func (f *Fake) RevokeTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys.keys = nil
	f.keys.rotate(time.Time{})
	f.opaque = opaqueTokens{}
}

// rotate needs the lock of its Fake.
func (k *signingKeys) rotate(now time.Time) {
	if n := len(k.keys); n > 0 {
		k.keys[n-1].retired = now
	}
	k.keys = slices.DeleteFunc(k.keys, func(old signingKey) bool {
		return !old.retired.IsZero() && now.Sub(old.retired) > oldKeysStay
	})
	private := firstTokenKey
	if k.count%2 == 1 {
		private = secondTokenKey
	}
	k.count++
	k.keys = append(k.keys, signingKey{id: fmt.Sprintf("fake-%d-%s", k.count, randomID()[:8]), private: private()})
}

// published are the keys that verify tokens now; the last one signs.
func (f *Fake) published() []signingKey {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.keys.keys) == 0 {
		f.keys.rotate(now)
	}
	var published []signingKey
	for _, k := range f.keys.keys {
		if k.retired.IsZero() || now.Sub(k.retired) <= oldKeysStay {
			published = append(published, k)
		}
	}
	return published
}

func (f *Fake) serveKeys(w http.ResponseWriter, r *http.Request) {
	if !onlyGet(w, r) {
		return
	}
	writeJSON(w, http.StatusOK, keySet(f.published()...))
}

func keySet(keys ...signingKey) map[string]any {
	var set []map[string]string
	for _, k := range keys {
		set = append(set, map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": k.id,
			"n": base64.RawURLEncoding.EncodeToString(k.private.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.private.E)).Bytes()),
		})
	}
	return map[string]any{"keys": set}
}

// issue makes the token for a grant that was accepted.
func (f *Fake) issue(g *Grant, a *asked, client Integration, amr string) answer {
	now := f.now()
	lifetime := int64(f.lifetimeFor(client, a.scopes) / time.Second)
	claims := map[string]any{
		"iss":        f.env.Issuer,
		"client_id":  client.ID,
		"client_amr": amr,
		"scope":      a.scope,
		"token_type": "Bearer",
		"iat":        now.Unix(),
		"exp":        now.Unix() + lifetime,
		"jti":        randomID(),
		"consumer":   organisation(a.consumer),
		"aud":        audience(a.resource),
	}
	if a.supplier != "" {
		claims["supplier"] = organisation(a.supplier)
		claims["delegation_source"] = f.delegationSource()
	}
	if a.pid != "" {
		claims["pid"] = a.pid
	}
	if a.details != nil {
		claims["authorization_details"] = a.details
	}
	opaque := f.shape(*g, claims)
	scope, _ := claims["scope"].(string)
	if opaque {
		return answer{token: f.keepOpaque(claims), scope: scope, expires: lifetime}
	}
	return answer{token: f.Sign(claims), scope: scope, expires: lifetime}
}

// audience is one string where one will do, as Maskinporten has it.
func audience(resource []string) any {
	switch len(resource) {
	case 0:
		return "unspecified"
	case 1:
		return resource[0]
	}
	return resource
}

func (f *Fake) delegationSource() string {
	if f.env.Issuer == maskinporten.Prod.Issuer {
		return "https://www.altinn.no"
	}
	return "https://tt02.altinn.no/"
}

func organisation(number string) map[string]string {
	return map[string]string{"authority": actorAuthority, "ID": "0192:" + number}
}

// Sign makes a JWT of any claims with the key that signs access tokens now:
// for tests of what a verifier refuses. Nothing is added to claims.
func (f *Fake) Sign(claims map[string]any) string {
	keys := f.published()
	k := keys[len(keys)-1]
	return sign(k.private, k.id, claims)
}

// AccessToken is a token that says what c does, without a grant: for tests of
// an API that takes tokens. What c leaves empty is as in a token that the
// default client gets for itself.
func (f *Fake) AccessToken(c resourceserver.Claims) string {
	now := f.now()
	f.mu.Lock()
	lifetime := f.lifetime
	f.mu.Unlock()
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	at := func(t, otherwise time.Time) int64 {
		if t.IsZero() {
			return otherwise.Unix()
		}
		return t.Unix()
	}
	claims := map[string]any{
		"iss":        or(c.Issuer, f.env.Issuer),
		"client_id":  or(c.ClientID, DefaultClientID),
		"client_amr": or(c.ClientAMR, "virksomhetssertifikat"),
		"scope":      strings.Join(c.Scopes, " "),
		"token_type": "Bearer",
		"iat":        at(c.IssuedAt, now),
		"exp":        at(c.Expiry, now.Add(lifetime)),
		"jti":        or(c.ID, randomID()),
		"consumer":   organisation(or(c.Consumer, DefaultOrgNumber)),
		"aud":        audience(c.Audience),
	}
	if c.Consumer == "" && c.ConsumerID.ID != "" {
		claims["consumer"] = map[string]string{"authority": c.ConsumerID.Authority, "ID": c.ConsumerID.ID}
	}
	if c.Supplier != "" {
		claims["supplier"] = organisation(c.Supplier)
		claims["delegation_source"] = or(c.DelegationSource, f.delegationSource())
	}
	if c.PID != "" {
		claims["pid"] = c.PID
	}
	var details []map[string]any
	for _, s := range c.SystemUsers {
		details = append(details, systemUserDetail(s.IDs, s.SystemID, s.Owner, ""))
	}
	for _, s := range c.Consents {
		details = append(details, consentDetail(s))
	}
	if details != nil {
		claims["authorization_details"] = details
	}
	return f.Sign(claims)
}
