package keystore

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A block under a label of its own is not passed over: the certificate in it
// would be missed, and the error blame another.
func TestLabelsAreNotTrusted(t *testing.T) {
	key, leaf, ca := string(stored(t, "pki/key.pem")), string(stored(t, "pki/leaf.pem")), string(stored(t, "pki/ca.pem"))
	label := func(pem, old, new string) string { return strings.ReplaceAll(pem, old, new) }
	joined := pemOf("CERTIFICATE", bytes.Join([][]byte{raw(t, "leaf"), raw(t, "ca"), raw(t, "root")}, nil))
	for reason, input := range map[string]string{
		"a certificate as a public key":       key + label(leaf, "CERTIFICATE", "PUBLIC KEY") + ca,
		"a certificate under a name":          key + label(leaf, "CERTIFICATE", "VIRKSOMHETSSERTIFIKAT") + ca,
		"a chain of one":                      key + label(leaf, "CERTIFICATE", "CERTIFICATE CHAIN") + label(ca, "CERTIFICATE", "CA CERTIFICATE"),
		"a key that is only KEY":              label(key, "PRIVATE KEY", "KEY") + leaf + ca,
		"a key with its format":               label(key, "PRIVATE KEY", "PKCS8 PRIVATE KEY") + leaf + ca,
		"two blanks":                          label(key, "PRIVATE KEY", "PRIVATE  KEY") + leaf + ca,
		"a blank that does not break":         label(key, "PRIVATE KEY", "PRIVATE\u00a0KEY") + leaf + ca,
		"en dashes":                           label(key+leaf+ca, "-----", "–––––"),
		"a word processor's dashes":           label(key+leaf+ca, "-----", "—–-—"),
		"certificates joined in one block":    key + string(joined),
		"and another's, under the same label": key + string(joined) + label(string(stored(t, "pki/otherleaf.pem")), "CERTIFICATE", "OTHER"),
	} {
		for _, load := range []func() (*Key, error){
			func() (*Key, error) { return PEM("", []byte(input)) },
			func() (*Key, error) { return StoreContent([]byte(input), "", "", "").Key(t.Context(), quiet) },
		} {
			loaded, err := load()
			require.NoError(t, err, reason)
			assert.GreaterOrEqual(t, len(loaded.Chain), 2, reason)
			assert.NoError(t, loaded.Usable(time.Now()), reason)
		}
	}
	loaded, err := PEM("", bytes.Join([][]byte{raw(t, "leaf"), raw(t, "ca")}, nil), []byte(key))
	require.NoError(t, err, "DER files joined")
	assert.Len(t, loaded.Chain, 2)
}

// What is no key and no certificate is passed over as before.
func TestOtherLabelsArePassedOver(t *testing.T) {
	all := string(stored(t, "pki/key.pem")) + string(stored(t, "pki/leaf.pem")) + string(stored(t, "pki/ca.pem"))
	numbers := der(t, []int{7, 2}) // Diffie-Hellman parameters, or an RSA key's public half
	for _, label := range []string{"DH PARAMETERS", "RSA PUBLIC KEY", "X9.42 DH PARAMETERS", "CERTIFICATE REQUEST", "SOMETHING"} {
		loaded, err := PEM("", []byte(all), pemOf(label, numbers))
		require.NoError(t, err, label)
		checkLoaded(t, loaded)
	}
}

// A key in the wrong place is named for what it is.
func TestWhatIsNoJWKIsNamed(t *testing.T) {
	jwk := string(stored(t, "odd/d-only.json"))
	for _, test := range []struct{ reason, input, says string }{
		{"nothing", " \n", "is empty"},
		{"PEM", string(stored(t, "pki/key.pem")), "LoadPEM"},
		{"PKCS#12", string(stored(t, "openssl-modern.p12")), "PKCS#12"},
		{"a certificate", string(raw(t, "leaf")), "a certificate"},
		{"an array", "[" + jwk + "]", "a JSON array"},
	} {
		_, err := JWK([]byte(test.input))
		require.ErrorIs(t, err, ErrNotKeystore, test.reason)
		assert.ErrorContains(t, err, test.says, test.reason)
	}
	_, err := PEM("", []byte(jwk))
	require.ErrorIs(t, err, ErrNotKeystore)
	assert.ErrorContains(t, err, "LoadJWK")
}

// JSON in a string of JSON, as templates and vaults hand it over.
func TestJWKInAJSONString(t *testing.T) {
	once, err := json.Marshal(string(bytes.TrimSpace(stored(t, "odd/d-only.json"))))
	require.NoError(t, err)
	twice, err := json.Marshal(string(once))
	require.NoError(t, err)
	for _, input := range [][]byte{once, twice} {
		_, err := JWK(input)
		require.NoError(t, err)
		_, err = StoreContent(input, "", "", "").Key(t.Context(), quiet)
		require.NoError(t, err)
	}
}

// The use of a key may be stated as its operations.
func TestOperationsWithoutSigningAreNoted(t *testing.T) {
	jwk := stored(t, "odd/d-only.json")
	for ops, noted := range map[string]int{`["encrypt"]`: 1, `["verify","decrypt"]`: 1, `["sign"]`: 0, `[]`: 0, `"sign"`: 0, `null`: 0} {
		loaded, err := JWK(bytes.Replace(jwk, []byte("{"), []byte(`{"key_ops":`+ops+`,`), 1))
		require.NoError(t, err, ops)
		assert.Len(t, loaded.Notes, noted, ops)
	}
}
