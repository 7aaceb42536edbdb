package p12

import (
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnwrap(t *testing.T) {
	file := readStore(t, "openssl-modern.p12")
	std := base64.StdEncoding.EncodeToString(file)
	for _, test := range []struct{ reason, data string }{
		{"as it is", string(file)},
		{"one line", std},
		{"without padding", base64.RawStdEncoding.EncodeToString(file)},
		{"for URLs", base64.URLEncoding.EncodeToString(file)},
		{"lines and a byte order mark, as Windows has them", "\xef\xbb\xbf" + std[:64] + "\r\n" + std[64:] + "\r\n"},
		{"PEM with a line of text before it", "Bag\n" + string(pem.EncodeToMemory(&pem.Block{Type: "PKCS12", Bytes: file}))},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b, err := unwrap([]byte(test.data))
			require.NoError(t, err)
			assert.Equal(t, file, b)
		})
	}
}

func TestNotPKCS12(t *testing.T) {
	for _, test := range []struct{ reason, data, says string }{
		{"empty", "", "empty"},
		{"white space", " \r\n", "empty"},
		{"a path instead of what is in it", "/etc/secrets/key.p12", "neither"},
		{"a PEM certificate", "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n", `"CERTIFICATE"`},
		{"base64 of text", "aGVpIGhlaSBoZWk=", "base64"},
		{"a certificate in DER", "\x30\x05\x30\x03\x02\x01\x00", "structure error"},
		{"a PKCS#8 key", "\x30\x0a\x02\x01\x00\x30\x05\x06\x03\x2a\x03\x04", "it is a private key"},
		{"half a file", string(readStore(t, "openssl-modern.p12")[:1000]), "ends early"},
		{"zeros", string(make([]byte, 100)), "neither"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			_, err := Open([]byte(test.data), "changeit", NewBudget())
			require.ErrorIs(t, err, ErrFormat)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestForeignInText(t *testing.T) {
	for _, file := range []string{"keytool.jks", "bc.bks", "bc.bcfks"} {
		var foreign *ForeignError
		_, err := Open([]byte(base64.StdEncoding.EncodeToString(readStore(t, file))), "changeit", NewBudget())
		assert.ErrorAs(t, err, &foreign, file)
	}
}
