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
		return nil, fmt.Errorf("%w: %s%s", ErrAmbiguousKey, listed(about), c.remedy)
	case len(none.errs) == 1:
		return nil, none.errs[0]
	}
	return nil, &none
}

// take leaves out the keys that do not have a name, as [OpenOne] says.
func (c *Content) take(name string, now time.Time) error {
	if name == "" {
		return nil
	}
	pool := newPool(c.certs, now, c.budget)
	serial := strings.TrimLeft(strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(name)), "0")
	var named, numbered []namedKey
	var labels []string
	for _, k := range c.keys {
		label, number := k.label(), k.serial(pool)
		if number != "" {
			label += " with the serial number " + number
		}
		labels = append(labels, label)
		switch {
		case strings.EqualFold(k.name, name): // as Java takes an alias
			named = append(named, k)
		case number != "" && number == serial:
			numbered = append(numbered, k)
		}
	}
	if c.keys = named; len(named) == 0 {
		c.keys = numbered
	}
	if len(c.keys) == 0 {
		return fmt.Errorf("%w with the name or serial number %s in the file; there is %s", ErrNoKey, quoted(name), listed(labels))
	}
	return nil
}

// serial returns the serial number of the key's certificate in hexadecimal, or
// nothing.
func (k namedKey) serial(certs *pool) string {
	private, ok := k.key.(*rsa.PrivateKey)
	if !ok {
		return ""
	}
	leaf, _ := certs.leaf(&private.PublicKey) // whether it may sign does not matter here
	if leaf.Certificate == nil || leaf.SerialNumber == nil {
		return ""
	}
	return leaf.SerialNumber.Text(16)
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
