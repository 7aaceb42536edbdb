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
