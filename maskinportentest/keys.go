package maskinportentest

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

func mustPrepare(what string, k Key, now time.Time) []Key {
	keys, err := k.prepare(now)
	if err != nil {
		panic("maskinportentest: " + what + ": " + err.Error())
	}
	return keys
}

// prepare makes of k the keys that it stands for, each with its public half, its
// id and its end.
func (k Key) prepare(now time.Time) ([]Key, error) {
	keys := []Key{k}
	if k.Data != nil {
		var err error
		if keys, err = readKeys(k.Data); err != nil {
			return nil, err
		}
		if len(keys) > 1 && k.ID != "" {
			return nil, fmt.Errorf("Key.ID %q cannot be that of %d keys", k.ID, len(keys))
		}
	}
	for i := range keys {
		if k.ID != "" {
			keys[i].ID = k.ID
		}
		if !k.Expires.IsZero() {
			keys[i].Expires = k.Expires
		}
		keys[i].NoExpiry = k.NoExpiry
		if keys[i].Public == nil {
			keys[i].Public = &sharedKey().PublicKey
		}
		if keys[i].Expires.IsZero() {
			keys[i].Expires = now.AddDate(1, 0, 0)
		}
		if keys[i].ID == "" {
			return nil, errors.New("a key has no ID (kid)")
		}
	}
	return keys, nil
}

// expired reports whether the key has stopped working.
func (k Key) expired(now time.Time) bool { return !k.NoExpiry && !now.Before(k.Expires) }

// readKeys reads public keys in any form that [Key.Data] may have.
func readKeys(data []byte) ([]Key, error) {
	trimmed := bytes.TrimSpace(data)
	if bytes.HasPrefix(trimmed, []byte("{")) || bytes.HasPrefix(trimmed, []byte("[")) {
		return readJWKs(trimmed)
	}
	var keys []Key
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		public, err := readPublic(block.Type, block.Bytes)
		if err != nil {
			return nil, err
		}
		keys = append(keys, Key{Public: public})
	}
	switch {
	case len(keys) > 1:
		return keys[:1], nil // a chain: the leaf comes first
	case len(keys) == 1:
		return keys, nil
	}
	public, err := readPublic("CERTIFICATE", data)
	if err != nil {
		return nil, errors.New("the key is no JWK, JWK set, PEM or certificate")
	}
	return []Key{{Public: public}}, nil
}

func readPublic(kind string, der []byte) (*rsa.PublicKey, error) {
	var public any
	var err error
	switch kind {
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(der); err == nil {
			public = c.PublicKey
		}
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(der)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(der)
	default:
		return nil, fmt.Errorf("a PEM block of type %q is no public key: only the public half is registered", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("the public key cannot be read: %w", err)
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the public key is of type %T: Maskinporten takes RSA", public)
	}
	return key, nil
}

// jwk is a public key in the form of RFC 7517, as far as it is looked at.
type jwk struct {
	Kty, Kid, Alg, Use, N, E string
	Exp                      int64
	D, P, Q, Dp, Dq, Qi, K   string
	X5c                      []string
}

func (j jwk) private() bool { return j.D+j.P+j.Q+j.Dp+j.Dq+j.Qi+j.K != "" }

// public is the RSA key.
func (j jwk) public() (*rsa.PublicKey, error) {
	if j.Kty != "RSA" {
		return nil, fmt.Errorf("kty is %q: Maskinporten takes RSA", j.Kty)
	}
	n, errN := base64.RawURLEncoding.DecodeString(j.N)
	e, errE := base64.RawURLEncoding.DecodeString(j.E)
	if errN != nil || errE != nil || len(n) == 0 || len(e) == 0 || len(e) > 3 {
		return nil, errors.New("n and e must be an RSA key's, in base64url")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
}

// readJWKs reads a JWK, a JWK set or an array of JWKs.
func readJWKs(data []byte) ([]Key, error) {
	var set struct{ Keys []jwk }
	if data[0] == '[' {
		data = fmt.Appendf(nil, `{"keys":%s}`, data)
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("the JWK cannot be read: %w", err)
	}
	if set.Keys == nil {
		set.Keys = make([]jwk, 1)
		if err := json.Unmarshal(data, &set.Keys[0]); err != nil {
			return nil, fmt.Errorf("the JWK cannot be read: %w", err)
		}
	}
	var keys []Key
	for _, j := range set.Keys {
		if j.private() {
			return nil, fmt.Errorf("the JWK %q is a private key: only the public half is registered", j.Kid)
		}
		public, err := j.public()
		if err != nil {
			return nil, fmt.Errorf("the JWK %q: %w", j.Kid, err)
		}
		k := Key{ID: j.Kid, Public: public}
		if j.Exp != 0 {
			k.Expires = time.Unix(j.Exp, 0)
		}
		keys = append(keys, k)
	}
	if keys == nil {
		return nil, errors.New("the JWK set is empty")
	}
	return keys, nil
}

// readCertificates reads certificates in PEM, of which there is one at least.
func readCertificates(data []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate cannot be read: %w", err)
		}
		certificates = append(certificates, c)
	}
	if certificates == nil {
		return nil, errors.New("there is no certificate in PEM")
	}
	return certificates, nil
}
