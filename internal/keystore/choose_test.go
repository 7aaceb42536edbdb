package keystore

import (
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/stretchr/testify/assert"
)

// TestNoneOfTheKeys keeps the text, which an operator has to go by, and finds each reason.
func TestNoneOfTheKeys(t *testing.T) {
	_, err := (&Content{
		keys:   []namedKey{{name: "sign", key: privateKey(t, "key")}, {key: privateKey(t, "weak")}},
		certs:  parsed(certificates(t, "sign", "ca")),
		budget: p12.NewBudget(),
	}).Key("", time.Now())
	assert.EqualError(t, err, `maskinporten: none of the 2 keys in the file can sign: `+
		`"sign": the key cannot sign for Maskinporten: the Key Usage of the certificate of "MASKINPORTEN FOR GO" is Non-Repudiation and lacks Digital Signature; `+
		`the issuer delivers two or three files: take the one whose Key Usage has it; `+
		`a key without a name: the key cannot sign for Maskinporten: it has 1024 bits, and Maskinporten takes 2048 at least`)
	assert.ErrorIs(t, err, ErrUnusableKey)
	assert.NotErrorIs(t, err, ErrNoKey)
}

// TestOpenOne: the certificates of the two keys have the serial numbers 6 and 7.
func TestOpenOne(t *testing.T) {
	for _, test := range []struct {
		reason        string
		first, second string // their names
		take          string
		serial        int64
		err           error
	}{
		{"a name", "auth", "andre", "andre", 7, nil},
		{"neither has a name", "", "", "7", 7, nil},
		{"both have the same name", "1", "1", "6", 6, nil},
		{"the same name does not tell them apart", "1", "1", "1", 0, ErrAmbiguousKey},
		{"a name that is the other's serial number", "7", "andre", "7", 6, nil},
		{"no such name", "auth", "andre", "tredje", 0, ErrNoKey},
		{"blanks and zeros alone are no number", "", "", "00", 0, ErrNoKey},
		{"nothing is asked for", "auth", "andre", "", 0, ErrAmbiguousKey},
	} {
		file := plainStore(t, []storeKey{{name: test.first, pkcs8: raw(t, "key")}, {name: test.second, pkcs8: raw(t, "other")}},
			raw(t, "leaf"), raw(t, "otherleaf"), raw(t, "ca"))
		content, err := OpenOne(file, "", test.take)
		var key *Key
		if err == nil {
			key, err = content.Key("", time.Now())
		}
		assert.ErrorIs(t, err, test.err, test.reason)
		if test.err == nil && assert.NoError(t, err, test.reason) {
			assert.Equal(t, test.serial, key.Chain[0].SerialNumber.Int64(), test.reason)
		}
	}
}
