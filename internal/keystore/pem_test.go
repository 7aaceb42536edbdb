package keystore

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"slices"
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

// TestOddPEM: where the meaning is plain, it is read.
func TestOddPEM(t *testing.T) {
	key, leaf, ca := string(stored(t, "pki/key.pem")), string(stored(t, "pki/leaf.pem")), string(stored(t, "pki/ca.pem"))
	all := key + leaf + ca
	for _, test := range []struct{ reason, input string }{
		{"joined without a line break", strings.TrimSpace(key) + strings.TrimSpace(leaf) + strings.TrimSpace(ca)},
		{"joined so that they share the dashes", strings.ReplaceAll(strings.TrimSpace(key)+strings.TrimSpace(leaf)+strings.TrimSpace(ca), "----------", "-----")},
		{"a byte order mark inside", key + "\ufeff" + leaf + "\ufeff" + ca},
		{"a carriage return too many", strings.ReplaceAll(all, "\n", "\r\r\n")},
		{"carriage returns alone", strings.ReplaceAll(all, "\n", "\r")},
		{"indented, as YAML has it", "    " + strings.ReplaceAll(all, "\n", "\n    ")},
		{"indented by tabs", "\t" + strings.ReplaceAll(all, "\n", "\n\t")},
		{"in quotation marks", `"` + all + `"`},
		{"each line in quotation marks", `"` + strings.ReplaceAll(strings.TrimSpace(all), "\n", "\"\n\"") + `"`},
		{"blanks for line breaks", strings.ReplaceAll(all, "\n", " ")},
		{"no line breaks at all", strings.ReplaceAll(all, "\n", "")},
		{"two characters for each line break", strings.ReplaceAll(all, "\n", `\n`)},
		{"four characters for each line break", strings.ReplaceAll(all, "\n", `\r\n`)},
		{"put into JSON twice", strings.ReplaceAll(all, "\n", `\\n`)},
		{"both kinds of line break", strings.ReplaceAll(all, "\n", `\n`+"\n")},
		{"lines continued by a backslash", strings.ReplaceAll(strings.TrimSpace(all), "\n", "\\\n")},
		{"blanks at the ends of lines", strings.ReplaceAll(all, "\n", "  \n")},
		{"four dashes", strings.ReplaceAll(all, "-----", "----")},
		{"small letters", strings.NewReplacer("BEGIN", "begin", "END", "end", "PRIVATE KEY", "private key", "CERTIFICATE", "certificate").Replace(all)},
		{"the issuer as DER", ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			inputs := [][]byte{[]byte(test.input)}
			if test.input == "" {
				inputs = [][]byte{[]byte(key + leaf), raw(t, "ca")}
			}
			loaded, err := PEM("", inputs...)
			require.NoError(t, err)
			checkLoaded(t, loaded)
			assert.Equal(t, certificates(t, "leaf", "ca"), loaded.Chain)
		})
	}
}

// TestNothingIsDropped: a block that cannot be read is named, whatever else is there.
func TestNothingIsDropped(t *testing.T) {
	key, leaf, ca := string(stored(t, "pki/key.pem")), string(stored(t, "pki/leaf.pem")), string(stored(t, "pki/ca.pem"))
	lines := strings.SplitAfter(ca, "\n")
	without := func(n int) string { return strings.Join(append(append([]string{}, lines[:n]...), lines[n+1:]...), "") }
	for _, test := range []struct {
		reason, input, says string
	}{
		{"cut in the middle", key + leaf + ca[:len(ca)/2], "block 3 of the PEM data (CERTIFICATE) is cut off"},
		{"cut in the middle, and another after it", key + ca[:len(ca)/2] + "\n" + leaf, "block 2 of the PEM data (CERTIFICATE) is cut off"},
		{"cut in the END line", key + leaf + ca[:strings.Index(ca, "-----END")+5], "block 3 of the PEM data (CERTIFICATE) is cut off"},
		{"a line missing", key + leaf + without(3), "block 3 of the PEM data (CERTIFICATE)"},
		{"the BEGIN line missing", key + leaf + strings.Replace(ca, "BEGIN CERTIFICATE-----", "", 1), "an END line without its BEGIN line"},
		{"a character that is not base64", key + leaf + strings.Replace(ca, "MII", "M*I", 1), "block 3 of the PEM data (CERTIFICATE) is damaged"},
		{"the ends mixed up", strings.Replace(key, "END PRIVATE KEY", "END CERTIFICATE", 1) + leaf, `block 1 of the PEM data (PRIVATE KEY) ends as "CERTIFICATE"`},
		{"nothing in it", key + leaf + "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "block 3 of the PEM data (CERTIFICATE)"},
		{"a second key that is damaged", key + leaf + "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADAN\n-----END PRIVATE KEY-----\n", "block 3 of the PEM data (PRIVATE KEY)"},
		{"quoted in a mail", key + leaf + "> " + strings.ReplaceAll(ca, "\n", "\n> "), "block 3 of the PEM data (CERTIFICATE) is damaged"},
	} {
		_, err := PEM("", []byte(test.input))
		require.Error(t, err, test.reason)
		assert.ErrorContains(t, err, test.says, test.reason)
		for _, secret := range strings.Fields(key)[3:6] {
			assert.NotContains(t, err.Error(), secret, test.reason)
		}
	}
	_, err := PEM("", []byte(key+leaf), []byte("something else"))
	assert.ErrorIs(t, err, ErrNotKeystore, "a whole input")
}

// TestCertificatesBesideKey: a .cer and a .p7b are taken as they are.
func TestCertificatesBesideKey(t *testing.T) {
	key := stored(t, "pki/key.pem")
	p7b := der(t, struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, explicit(der(t, struct {
		Version      int
		Digests      []asn1.RawValue `asn1:"set"`
		Content      struct{ Type asn1.ObjectIdentifier }
		Certificates asn1.RawValue
		Signers      []asn1.RawValue `asn1:"set"`
	}{1, nil, struct{ Type asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
		explicit(slices.Concat(raw(t, "root"), raw(t, "leaf"), raw(t, "ca"))), nil}))})
	for reason, inputs := range map[string][][]byte{
		"DER":                   {key, raw(t, "leaf"), raw(t, "ca"), raw(t, "root")},
		"a .p7b":                {p7b, key},
		"a .p7b as PEM":         {key, pemOf("PKCS7", p7b)},
		"called a certificate":  {key, pemOf("CERTIFICATE", p7b)},
		"a .p7b in base64":      {key, []byte(base64.StdEncoding.EncodeToString(p7b))},
		"the key as DER":        {raw(t, "key"), p7b},
		"all called the same":   {pemOf("CERTIFICATE", raw(t, "key")), p7b},
		"a certificate, by key": {key, pemOf("PRIVATE KEY", raw(t, "leaf")), raw(t, "ca"), raw(t, "root")},
	} {
		loaded, err := PEM("", inputs...)
		require.NoError(t, err, reason)
		assert.Equal(t, certificates(t, "leaf", "ca", "root"), loaded.Chain, reason)
	}
}
