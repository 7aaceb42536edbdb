package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"time"
)

// Content is what a keystore holds, before anybody judges what it is good for
// and when.
type Content struct {
	Certificates []*x509.Certificate
	ID           string // of a JWK

	keys []namedKey
}

// Open reads a keystore: PKCS#12, PEM or JWK, told apart by what is in it.
func Open(data []byte, password string) (*Content, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		key, err := JWK(data)
		if err != nil {
			return nil, err
		}
		return &Content{ID: key.ID, keys: []namedKey{{key.ID, key.Signer()}}}, nil
	case bytes.Contains(data, []byte("PRIVATE KEY-----")):
		var found pemContent
		if err := found.readAll(data); err != nil {
			return nil, err
		}
		return &Content{Certificates: found.certs, keys: found.keys}, nil
	}
	store, err := openPKCS12(data, password)
	if err != nil {
		return nil, err
	}
	return &Content{Certificates: store.Certificates, keys: keysOf(store)}, nil
}

// Keys returns the private keys, of whatever kind.
func (c *Content) Keys() []crypto.PrivateKey {
	keys := make([]crypto.PrivateKey, len(c.keys))
	for i, k := range c.keys {
		keys[i] = k.key
	}
	return keys
}

// Key returns the one key that can sign for Maskinporten at the time now: as
// registered under id on the client, or, if that is empty, with its certificates.
func (c *Content) Key(id string, now time.Time) (*Key, error) {
	if id == "" {
		id = c.ID
	}
	if id != "" && len(c.Certificates) == 0 && len(c.keys) == 1 {
		signer, _ := c.keys[0].key.(crypto.Signer)
		return NewRegistered(signer, id)
	}
	key, err := choose(c.keys, c.Certificates, now, "leave only one of them in the file")
	if err != nil || id == "" {
		return key, err
	}
	return key.WithID(id), nil
}
