package keystore

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPEM(t *testing.T) {
	file := func(name string) []byte { return stored(t, name) }
	key, leaf, ca, root := file("pki/key.pem"), file("pki/leaf.pem"), file("pki/ca.pem"), file("pki/root.pem")
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	windows := func(b []byte) []byte {
		return append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))...)
	}
	for _, test := range []struct {
		reason string
		inputs [][]byte
	}{
		{"key first", [][]byte{join(key, leaf, ca, root)}},
		{"key last, chain backwards", [][]byte{join(root, ca, leaf, key)}},
		{"key and certificates apart", [][]byte{key, join(leaf, ca, root)}},
		{"each on its own", [][]byte{root, key, ca, leaf}},
		{"an empty input beside", [][]byte{nil, key, join(leaf, ca, root)}},
		{"PKCS#1", [][]byte{file("pkcs1.pem"), join(leaf, ca, root)}},
		{"the wrong label", [][]byte{bytes.ReplaceAll(key, []byte("PRIVATE KEY"), []byte("RSA PRIVATE KEY")), join(leaf, ca, root)}},
		{"Windows' line ends and byte order mark", [][]byte{windows(join(key, leaf, ca, root))}},
		{"no newline at the end", [][]byte{join(leaf, ca, root, bytes.TrimRight(key, "\n"))}},
		{"text between", [][]byte{join([]byte("Hei\n"), key, []byte("subject=CN = x\nissuer=CN = y\n"), leaf, []byte("--\n"), ca, root)}},
		{"openssl's trusted certificate", [][]byte{key, file("trusted.pem"), join(ca, root)}},
		{"bag attributes, and two keys of which one can sign", [][]byte{file("bag-attributes.pem")}},
		{"the same key twice", [][]byte{join(key, file("pkcs1.pem"), leaf, ca, root)}},
		{"other blocks beside", [][]byte{join(key, file("pki/crl.pem"), leaf, ca, root)}},
		{"a decrypted key", [][]byte{file("remedied/pkcs8-encrypted.pem"), leaf, ca, root}},
		{"a decrypted key, PKCS#1", [][]byte{file("remedied/pkcs1-encrypted.pem"), leaf, ca, root}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			loaded, err := PEM("", test.inputs...)
			require.NoError(t, err)
			checkLoaded(t, loaded)
			assert.Equal(t, certificates(t, "leaf", "ca", "root"), loaded.Chain)
		})
	}
}

func TestLoadPEMRefuses(t *testing.T) {
	key, leaf := string(stored(t, "pki/key.pem")), string(stored(t, "pki/leaf.pem"))
	for _, test := range []struct {
		reason, input string
		err           error
	}{
		{"nothing", "", ErrNotKeystore},
		{"a key cut off", key[:800], ErrNotKeystore},
		{"DER", string(stored(t, "openssl-modern.p12")), ErrNotKeystore},
		{"only a key", key, ErrNoCertificate},
		{"only a certificate", leaf, ErrNoKey},
		{"another's certificate", key + string(stored(t, "pki/otherleaf.pem")), ErrKeyMismatch},
		{"an encrypted key", string(stored(t, "pkcs8-encrypted.pem")) + leaf, ErrUnsupportedEncryption},
		{"an encrypted key, PKCS#1", string(stored(t, "pkcs1-encrypted.pem")) + leaf, ErrUnsupportedEncryption},
		{"two keys that can sign", key + string(stored(t, "pki/other.pem")) + leaf + string(stored(t, "pki/otherleaf.pem")), ErrAmbiguousKey},
		{"an EC key", string(stored(t, "pki/ec.pem")) + leaf, ErrUnusableKey},
		{"a key of nonsense", "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n", ErrUnusableKey},
		{"a certificate of nonsense", "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n", ErrNotKeystore},
		{"a public key", "-----BEGIN PUBLIC KEY-----\nMAMCAQA=\n-----END PUBLIC KEY-----\n", ErrNoKey},
		{"the same key 17 times", strings.Repeat(key, 17), ErrNoCertificate},
		{"three megabytes", strings.Repeat("-", 3<<20), ErrNotKeystore},
	} {
		_, err := PEM("", []byte(test.input))
		assert.ErrorIs(t, err, test.err, test.reason)
	}
}

// TestHostilePEM: two megabytes of anything take a fraction of a second.
func TestHostilePEM(t *testing.T) {
	key, leaf, ca := string(stored(t, "pki/key.pem")), string(stored(t, "pki/leaf.pem")), string(stored(t, "pki/ca.pem"))
	upTo := func(s string) string { return strings.Repeat(s, (p12.MaxInput-8000)/len(s)) }
	for reason, input := range map[string]string{
		"beginnings":         upTo("-----BEGIN X-----\n"),
		"empty blocks":       upTo("-----BEGIN X-----\n-----END X-----\n"),
		"wrong ends":         upTo("-----BEGIN X-----\n-----END Y-----\n"),
		"headers":            "-----BEGIN X-----\n" + upTo("a: b\n"),
		"the same leaf":      key + upTo(leaf),
		"the same issuer":    key + leaf + upTo(ca),
		"nothing but dashes": upTo("-"),
	} {
		start := time.Now()
		_, err := PEM("", []byte(input))
		took := time.Since(start)
		assert.Less(t, took, 5*time.Second, reason)
		assert.Equal(t, strings.HasPrefix(reason, "the same"), err == nil, reason)
	}
}
