package inspect

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
)

// jwkFields are the fields of a JWK that are not secret, and d to see whether
// there is one.
type jwkFields struct {
	Kty string          `json:"kty"`
	Kid string          `json:"kid"`
	Use string          `json:"use"`
	Alg string          `json:"alg"`
	N   string          `json:"n"`
	Crv string          `json:"crv"`
	Exp json.Number     `json:"exp"` // when the key dies at Maskinporten, in seconds
	D   json.RawMessage `json:"d"`
}

func (f *File) jwk(text []byte, now time.Time) {
	f.Kind = JWK
	key, verdict := describeJWK(text, now)
	f.Keys = []Key{key}
	f.Verdict = verdict
}

func (f *File) jwkSet(keys []json.RawMessage, now time.Time) {
	f.Kind = JWKSet
	usable := 0
	for _, raw := range keys {
		key, _ := describeJWK(raw, now)
		f.Keys = append(f.Keys, key)
		if key.Usable {
			usable++
		}
	}
	f.Verdict = Verdict{Opened: true, OK: usable == 1}
	switch usable {
	case 0:
		f.Verdict.Text = "no private key in it that can sign for Maskinporten"
	case 1:
		f.Verdict.Text = "usable for Maskinporten, if the key is registered on the client"
	default:
		f.Verdict.Text = fmt.Sprintf("%d private keys, and the library takes a set of one: make a file of the one that is registered on the client with `maskinporten convert --key`", usable)
	}
}

func describeJWK(text []byte, now time.Time) (Key, Verdict) {
	var j jwkFields
	if err := json.Unmarshal(text, &j); err != nil {
		return Key{Type: "unknown"}, Verdict{Text: "a field of the JWK is not of its type"}
	}
	k := Key{Name: clean(j.Kid), Type: clean(j.Kty), Use: clean(j.Use), Alg: clean(j.Alg), Private: len(j.D) > 0}
	if n, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(j.N, "=")); err == nil && j.Kty == "RSA" {
		k.Bits = new(big.Int).SetBytes(n).BitLen()
	}
	expired := false
	if seconds, err := j.Exp.Int64(); err == nil {
		expires := time.Unix(seconds, 0).UTC()
		k.Expires, expired = expires.Format(time.RFC3339), now.After(expires)
	}
	verdict := Verdict{Opened: true}
	key, err := keystore.JWK(text)
	switch {
	case !k.Private && k.Type == "RSA":
		verdict.Text = "a public key: this is what is registered on the client; the private one signs"
	case err != nil:
		k.Problem = reason(err)
		verdict.Text = "not usable for Maskinporten: " + k.Problem
	case key.ID == "":
		k.Problem = "it has no kid, the id under which it is registered on the client"
		verdict.Text = "not usable for Maskinporten: " + k.Problem
	case expired:
		k.Problem = "it expired on " + k.Expires[:10] + ": register a new one"
		verdict.Text = "not usable for Maskinporten: " + k.Problem
	default:
		k.Bits = key.Signer().Public().(*rsa.PublicKey).N.BitLen()
		k.Usable = true
		verdict.OK = true
		verdict.Text = fmt.Sprintf("usable for Maskinporten, if it is registered on the client under %q", k.Name)
	}
	return k, verdict
}
