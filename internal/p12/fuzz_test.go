package p12

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"
)

func leafDER(t testing.TB) []byte {
	block, _ := pem.Decode(readStore(t, "pki/leaf.pem"))
	require.NotNil(t, block)
	return block.Bytes
}

// FuzzOpen wants an error or a store of every input, for the empty password too, under which a file needs no MAC.
func FuzzOpen(f *testing.F) {
	for _, row := range readTable(f) {
		if !row.slow() {
			f.Add(readStore(f, row.File), row.Password)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		s, err := Open(data, password, NewBudget())
		if (s == nil) == (err == nil) {
			t.Fatalf("store %v, error %v", s, err)
		}
		if s != nil {
			for _, key := range s.Keys {
				assert.Equal(t, key.Err == nil, key.PKCS8 != nil)
			}
		}
	})
}

// FuzzSafe goes past the MAC and the decryption: what is in a safe, in whatever shape.
func FuzzSafe(f *testing.F) {
	for _, row := range readTable(f) {
		if row.Tool != "by hand" {
			continue
		}
		p, err := parsePFX(readStore(f, row.File))
		require.NoError(f, err)
		require.NoError(f, eachElement(p.content, func(der []byte) error {
			var info contentInfo
			require.NoError(f, unmarshal(der, &info))
			safe, err := info.octets()
			f.Add(safe)
			return err
		}))
	}
	f.Fuzz(func(t *testing.T, safe []byte) {
		if len(safe) > MaxInput {
			return
		}
		o := &opener{secret: readings("changeit")[0], budget: &Budget{derivation: 100_000}}
		if o.collect(safe, "") == nil {
			_, _ = o.store()
		}
	})
}

// FuzzBER wants DER that encoding/asn1 takes apart, that stays as it is the next time, and is hardly longer than the BER.
func FuzzBER(f *testing.F) {
	for _, file := range []string{"craft-ber.p12", "craft-long-lengths.p12", "bc-ber.p12", "nss-3des-rc2.p12", "openssl-modern.p12"} {
		f.Add(readStore(f, file))
	}
	f.Fuzz(func(t *testing.T, ber []byte) {
		if len(ber) > MaxInput {
			return
		}
		der, rest, err := toDER(ber)
		if err != nil {
			return
		}
		if len(der) > len(ber)+len(ber)/8 {
			t.Fatalf("%d bytes from %d", len(der), len(ber))
		}
		if len(rest) > len(ber)-2 {
			t.Fatalf("%d bytes left of %d", len(rest), len(ber))
		}
		again, rest, err := toDER(der)
		require.NoError(t, err)
		assert.Empty(t, rest)
		assert.Equal(t, der, again)
		var v asn1.RawValue
		if _, err := asn1.Unmarshal(der, &v); err == nil {
			assert.Equal(t, der, v.FullBytes)
		}
	})
}

// FuzzAgreesWithGoPKCS12 wants what go-pkcs12 reads to be read here to the same key and certificates, or to be called
// damaged: go-pkcs12 does not look at bags of kinds it does not know, at attributes, nor at what stands behind a safe. That
// sound files are read is the matter of TestAgreesWithGoPKCS12.
func FuzzAgreesWithGoPKCS12(f *testing.F) {
	for _, row := range readTable(f) {
		switch row.Tool {
		case "go-pkcs12", "by hand", "node-forge":
			f.Add(readStore(f, row.File), row.Password)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		s, ourErr := Open(data, password, &Budget{derivation: second / 10})
		if errors.As(ourErr, new(*UnsupportedError)) {
			return // go-pkcs12 bounds no iterations, and the fuzzer would wait for them
		}
		key, leaf, chain, err := pkcs12.DecodeChain(data, password)
		if err != nil || errors.Is(ourErr, ErrFormat) {
			return
		}
		require.NoError(t, ourErr)
		require.NotEmpty(t, s.Keys)
		agree(t, "fuzzed", s, key, append([]*x509.Certificate{leaf}, chain...))
	})
}

// FuzzUnwrap wants an error, or something that begins as DER does.
func FuzzUnwrap(f *testing.F) {
	for _, file := range []string{"text-base64.p12", "text-base64-windows.p12", "text-pem.p12", "odd/certutil-encode.txt", "odd/password-bom.txt", "keytool.jks"} {
		f.Add(readStore(f, file))
	}
	f.Add([]byte(`{"value":"MAMCAQA="}`))
	f.Add([]byte("data:;base64,MAMCAQA="))
	f.Add([]byte("\xff\xfeM\x00A\x00=\x00=\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := unwrap(data)
		if err == nil && b[0] != 0x30 {
			t.Fatalf("%x", b[:1])
		}
		_ = Describe(data)
	})
}
