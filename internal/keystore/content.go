package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// Content is what a keystore holds, before anybody judges what it is good for
// and when.
type Content struct {
	Certificates []*x509.Certificate // those that crypto/x509 does not parse with what else can be read of them
	ID           string              // of a JWK

	certs  []certificate
	keys   []namedKey
	jwk    *Key
	remedy string // the end of ErrAmbiguousKey: how to choose
	budget *p12.Budget
}

// Open reads a keystore: PKCS#12, PEM or JWK, told apart by what is in it.
func Open(data []byte, password string) (*Content, error) { return open(password, data) }

// OpenOne is Open for a keystore in which more than one key can sign: it leaves
// out all but the one with a name. That is its friendlyName or, if none has it,
// the serial number of its certificate in hexadecimal; of a JWK its kid. An empty
// name leaves out none. Its ErrAmbiguousKey leaves it to the caller to say how to choose.
func OpenOne(data []byte, password, name string) (*Content, error) {
	if !isPEM(data) && isJWK(data) {
		return openJWK(data, name)
	}
	content, err := open(password, data)
	if err != nil {
		return nil, err
	}
	content.remedy = ""
	return content, content.take(name, time.Now())
}

// OpenFiles is Open for what [StoreFile] takes.
func OpenFiles(path, password, passwordPath string) (*Content, error) {
	return storeAt(path, password, passwordPath).content()
}

// OpenContent is Open for what [StoreContent] takes.
func OpenContent(data []byte, password, passwordPath string) (*Content, error) {
	return storeIn(data, password, passwordPath).content()
}

// open is Open for what may be in several files that belong together.
func open(password string, files ...[]byte) (*Content, error) {
	switch {
	case len(files) > 1, isPEM(files[0]):
		return openPEM(files...)
	case isJWK(files[0]):
		return openJWK(files[0], "")
	}
	return openPKCS12(files[0], password)
}

// Keys returns the private keys, of whatever kind.
func (c *Content) Keys() []crypto.PrivateKey {
	keys := make([]crypto.PrivateKey, len(c.keys))
	for i, k := range c.keys {
		keys[i] = k.key
	}
	return keys
}

// Entry is a certificate of a [Content], and what a PKCS#12 file says of it.
type Entry struct {
	*x509.Certificate
	Name       string // friendlyName, which Java calls alias; or nothing
	Encryption string // in words, or nothing
}

// Entries returns the Certificates with what the file says of each.
func (c *Content) Entries() []Entry {
	entries := make([]Entry, len(c.certs))
	for i, cert := range c.certs {
		entries[i] = Entry{cert.Certificate, cert.name, cert.encryption}
	}
	return entries
}

// Candidate is a private key of a [Content], and whether it can sign.
type Candidate struct {
	Name       string            // friendlyName, which Java calls alias; or nothing
	Encryption string            // in words, or nothing
	Kind       string            // RSA, or what else it is
	Private    crypto.PrivateKey // nil if it could not be read
	Key        *Key              // nil if it cannot sign for Maskinporten
	Err        error             // why not
}

// Candidates returns what is to be said of each key at the time now.
func (c *Content) Candidates(now time.Time) (all []Candidate) {
	pool := newPool(c.certs, now, c.budget)
	for _, k := range c.keys {
		found := Candidate{Name: k.name, Encryption: k.encryption, Kind: kindOf(k.key), Private: k.key}
		if other, ok := k.key.(otherKey); ok {
			found.Kind = string(other)
		}
		found.Key, found.Err = k.with(pool, "")
		if found.Err == nil {
			found.Err = found.Key.Complete()
		}
		if found.Err != nil {
			found.Key = nil
		}
		all = append(all, found)
	}
	return all
}

// Key returns the one key that can sign for Maskinporten at the time now: as
// registered under id on the client, or, if that is empty, with its certificates.
// The id of a JWK gives way to one that is given.
func (c *Content) Key(id string, now time.Time) (*Key, error) {
	switch {
	case c.jwk == nil:
		return c.choose(id, now)
	case id == "" && c.ID == "":
		return nil, ErrNoKeyID
	case id == "" || id == c.ID:
		if problem := CheckID(c.ID); problem != "" {
			return nil, fmt.Errorf("%w: the JWK's kid %s", ErrUnusableKey, problem)
		}
		return c.jwk, nil
	}
	key := c.jwk.WithID(id)
	if c.ID != "" {
		key.Notes = append(key.Notes[:len(key.Notes):len(key.Notes)],
			fmt.Sprintf("the JWK's kid is %s, and the key id that is configured, %s, stands in its place", quoted(c.ID), quoted(id)))
	}
	return key, nil
}

// add takes a certificate.
func (c *Content) add(cert certificate) {
	c.certs = append(c.certs, cert)
	c.Certificates = append(c.Certificates, cert.Certificate)
}

// isPEM reports whether data is PEM with a key in it, or base64 of that.
func isPEM(data []byte) bool {
	for range maxUnwrapped + 1 {
		if looksLikePEM(data) {
			return strings.Contains(upperASCII(plainText(data)), "KEY-")
		}
		inner, ok := unwrapped(data)
		if !ok {
			return false
		}
		data = inner
	}
	return false
}

// isJWK reports whether data is a JWK, a set of them, or base64 of that.
func isJWK(data []byte) bool {
	for range maxUnwrapped + 1 {
		text := bytes.TrimSpace(p12.DecodeText(data))
		if len(text) > 0 && text[0] == '{' {
			if _, ok := p12.Enveloped(text); !ok {
				return true
			}
		}
		inner, ok := unwrapped(data)
		if !ok {
			return false
		}
		data = inner
	}
	return false
}

// unwrapped takes base64, a JSON string, a data URI or a key vault's answer off.
func unwrapped(data []byte) (inner []byte, ok bool) {
	var quoted string
	if json.Unmarshal(p12.DecodeText(data), &quoted) == nil && strings.ContainsAny(quoted, "{\"") {
		return []byte(quoted), true // JSON in a JSON string
	}
	text := bytes.Trim(p12.DecodeText(data), " \t\r\n\"'")
	if inner, ok := p12.Enveloped(text); ok {
		text = inner
		if looksLikePEM(text) || bytes.HasPrefix(text, []byte("{")) {
			return text, true
		}
	}
	if len(text) == 0 {
		return nil, false
	}
	inner, err := decodeBase64(string(text))
	return inner, err == nil && len(inner) > 0
}
