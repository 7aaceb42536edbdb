package keystore

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"
)

// namedKey is one of the private keys in a file.
type namedKey struct {
	name       string // friendlyName, or nothing
	encryption string // in words, or nothing
	key        crypto.PrivateKey
	err        error // why there is no key
}

// maxListed bounds how many keys an error lists.
const maxListed = 10

// choose returns the one key that can sign for Maskinporten: a Java keystore,
// or a file that somebody joined, also has those for signing documents and for
// encryption. With an id the key needs no certificate.
func (c *Content) choose(id string, now time.Time) (*Key, error) {
	pool := newPool(c.certs, now, c.budget)
	var (
		able  []*Key
		about []string
		none  unusable
	)
	for _, k := range distinct(c.keys) {
		key, err := k.with(pool, id)
		if errors.Is(err, errChecks) {
			return nil, err
		}
		if err != nil {
			none.errs = append(none.errs, err)
			none.about = append(none.about, k.label()+": "+strings.TrimPrefix(err.Error(), "maskinporten: "))
			continue
		}
		able = append(able, key)
		about = append(about, k.label()+": "+key.describe())
	}
	switch {
	case len(able) == 1:
		return able[0], nil
	case len(able) > 1:
		return nil, fmt.Errorf("%w: %s; %s", ErrAmbiguousKey, listed(about), c.remedy)
	case len(none.errs) == 1:
		return nil, none.errs[0]
	}
	return nil, &none
}

func (k namedKey) with(certs *pool, id string) (*Key, error) {
	if k.err != nil {
		return nil, k.err
	}
	if kind, ok := k.key.(otherKey); ok {
		return nil, fmt.Errorf("%w: it is %s, and Maskinporten takes RSA only: order a certificate with an RSA key", ErrUnusableKey, string(kind))
	}
	signer, ok := k.key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it is %s", ErrUnusableKey, kindOf(k.key))
	}
	return newKey(signer, certs, id)
}

func (k namedKey) label() string {
	if k.name == "" {
		return "a key without a name"
	}
	return quoted(k.name)
}

// distinct leaves out keys that are there twice.
func distinct(keys []namedKey) (once []namedKey) {
	seen := map[string]bool{}
	for _, k := range keys {
		if private, ok := k.key.(*rsa.PrivateKey); ok {
			modulus := string(private.N.Bytes())
			if seen[modulus] {
				continue
			}
			seen[modulus] = true
		}
		once = append(once, k)
	}
	return once
}

// listed is for an error: the first of many.
func listed(about []string) string {
	text := strings.Join(about[:min(len(about), maxListed)], "; ")
	if len(about) > maxListed {
		text += fmt.Sprintf("; and %d more", len(about)-maxListed)
	}
	return text
}

// unusable is why none of several keys can sign; errors.Is finds each reason.
type unusable struct {
	about []string
	errs  []error
}

func (e *unusable) Error() string {
	return fmt.Sprintf("maskinporten: none of the %d keys in the file can sign: %s", len(e.errs), listed(e.about))
}

func (e *unusable) Unwrap() []error { return e.errs }
