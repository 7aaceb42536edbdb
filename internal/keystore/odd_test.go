package keystore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// der encodes what a test has made up.
func der(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	require.NoError(t, err)
	return b
}

func explicit(content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: content}
}

// storeKey is a key for plainStore.
type storeKey struct {
	name       string
	pkcs8      []byte
	attributes []byte // in place of the name
}

// plainStore writes a PKCS#12 file without encryption and MAC, for the empty password.
func plainStore(t testing.TB, keys []storeKey, certs ...[]byte) []byte {
	t.Helper()
	type bag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue
		Attributes asn1.RawValue `asn1:"optional"`
	}
	type info struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"tag:0,explicit"`
	}
	bagType := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, n} }
	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	var bags []bag
	for _, c := range certs {
		bags = append(bags, bag{ID: bagType(3), Value: explicit(der(t, struct {
			ID   asn1.ObjectIdentifier
			Data []byte `asn1:"tag:0,explicit"`
		}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, c}))})
	}
	for _, k := range keys {
		b := bag{ID: bagType(1), Value: explicit(k.pkcs8)}
		if k.attributes != nil {
			b.Attributes = asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: k.attributes}
		} else if k.name != "" {
			var name []byte
			for _, u := range utf16.Encode([]rune(k.name)) {
				name = append(name, byte(u>>8), byte(u))
			}
			b.Attributes = asn1.RawValue{FullBytes: der(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: der(t, struct {
				ID     asn1.ObjectIdentifier
				Values asn1.RawValue
			}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: der(t, asn1.RawValue{Tag: asn1.TagBMPString, Bytes: name})}})})}
		}
		bags = append(bags, b)
	}
	return der(t, struct {
		Version int
		Content info
	}{3, info{data, der(t, []info{{data, der(t, bags)}})}})
}

func block(t testing.TB, file string) []byte {
	t.Helper()
	b, _ := pem.Decode(stored(t, file))
	require.NotNil(t, b, file)
	return b.Bytes
}

// raw is a certificate or a key of the tests' PKI in DER.
func raw(t testing.TB, name string) []byte { return block(t, "pki/"+name+".pem") }

func pemOf(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

// tampered is a certificate with parts of its outline changed. Its signature
// fits no more, which nobody can check who cannot parse it.
func tampered(t testing.TB, name string, change func(tbs []asn1.RawValue) []asn1.RawValue) []byte {
	t.Helper()
	parts := elements(elements(raw(t, name))[0].Bytes)
	join := func(values []asn1.RawValue) []byte {
		var content []byte
		for _, v := range values {
			content = append(content, v.FullBytes...)
		}
		return der(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content})
	}
	tbs := join(change(elements(parts[0].Bytes)))
	return join([]asn1.RawValue{{FullBytes: tbs}, parts[1], parts[2]})
}

func element(t testing.TB, v any) asn1.RawValue { return asn1.RawValue{FullBytes: der(t, v)} }

// withExtension adds an extension to the certificate's.
func withExtension(t testing.TB, tbs []asn1.RawValue, id asn1.ObjectIdentifier, critical bool, value []byte) []asn1.RawValue {
	extension := der(t, struct {
		ID       asn1.ObjectIdentifier
		Critical bool `asn1:"optional"`
		Value    []byte
	}{id, critical, value})
	last := len(tbs) - 1
	list := elements(tbs[last].Bytes)[0]
	tbs[last] = element(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, IsCompound: true,
		Bytes: der(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(slices.Clone(list.Bytes), extension...)})})
	return tbs
}

// TestMalformedCertificates: crypto/x509 does not parse them. Their key loads all the same, and the error says whose
// certificate it is and what is wrong with it, unless a key id stands in for the chain.
func TestMalformedCertificates(t *testing.T) {
	for _, test := range []struct {
		reason, says string
		change       func(tbs []asn1.RawValue) []asn1.RawValue
	}{
		{"a negative serial number", "negative serial number", func(tbs []asn1.RawValue) []asn1.RawValue {
			tbs[1] = element(t, -42)
			return tbs
		}},
		{"a critical subject key identifier", "subject key identifier incorrectly marked critical", func(tbs []asn1.RawValue) []asn1.RawValue {
			return withExtension(t, tbs, asn1.ObjectIdentifier{2, 5, 29, 14}, true, der(t, []byte("id")))
		}},
		{"an extension twice", "duplicate extension", func(tbs []asn1.RawValue) []asn1.RawValue {
			return withExtension(t, tbs, asn1.ObjectIdentifier{2, 5, 29, 15}, true, der(t, asn1.BitString{Bytes: []byte{0x80}, BitLength: 1}))
		}},
		{"another signature algorithm outside than inside", "inner and outer signature algorithm", func(tbs []asn1.RawValue) []asn1.RawValue {
			tbs[2] = element(t, []asn1.ObjectIdentifier{{1, 2, 840, 113549, 1, 1, 12}})
			return tbs
		}},
		{"an RSA key without NULL", "NULL", func(tbs []asn1.RawValue) []asn1.RawValue {
			key := elements(tbs[6].Bytes)
			tbs[6] = element(t, []asn1.RawValue{element(t, []asn1.ObjectIdentifier{{1, 2, 840, 113549, 1, 1, 1}}), key[1]})
			return tbs
		}},
		{"an odd CRL distribution point", "CRL distribution point", func(tbs []asn1.RawValue) []asn1.RawValue {
			return withExtension(t, tbs, asn1.ObjectIdentifier{2, 5, 29, 31}, false, der(t, []string{"http://crl.example.no"}))
		}},
		{"a version that there is not", "", func(tbs []asn1.RawValue) []asn1.RawValue {
			tbs[0] = element(t, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: der(t, 7)})
			return tbs
		}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			leaf := tampered(t, "leaf", test.change)
			_, err := x509.ParseCertificate(leaf)
			require.Error(t, err, "it parses")
			ca, root := raw(t, "ca"), raw(t, "root")
			key := storeKey{name: "", pkcs8: raw(t, "key")}
			// The issuer may be of that kind, too; the root may be missing, and so is left out.
			badCA, badRoot := tampered(t, "ca", test.change), tampered(t, "root", test.change)
			for name, input := range map[string][]byte{
				"PKCS#12":       plainStore(t, []storeKey{key}, ca, leaf, root),
				"PEM":           slices.Concat(pemOf("CERTIFICATE", ca), pemOf("CERTIFICATE", leaf), pemOf("PRIVATE KEY", key.pkcs8)),
				"issuer":        plainStore(t, []storeKey{key}, raw(t, "leaf"), badCA),
				"issuer in PEM": slices.Concat(stored(t, "pki/key.pem"), stored(t, "pki/leaf.pem"), pemOf("CERTIFICATE", badCA)),
			} {
				content, err := Open(input, "")
				require.NoError(t, err, name)
				loaded, err := content.Key("", time.Now())
				require.NoError(t, err, name)
				assert.Equal(t, 2, min(2, len(loaded.Chain)), name)
				err = loaded.Complete()
				assert.ErrorIs(t, err, ErrMalformedCertificate, name)
				assert.NotErrorIs(t, err, ErrKeyMismatch)
				if !strings.HasPrefix(name, "issuer") {
					assert.ErrorContains(t, err, test.says) // the issuer has a subject key identifier already
				}
				whose := "MASKINPORTEN FOR GO"
				if strings.HasPrefix(name, "issuer") {
					whose = "Buypass Class 3 Test4 CA G2 ST Business"
				}
				assert.ErrorContains(t, err, fmt.Sprintf("that of %q", whose), name)
				assert.ErrorIs(t, loaded.Usable(time.Now()), ErrMalformedCertificate)

				registered, err := content.Key("kid", time.Now())
				require.NoError(t, err, name)
				assert.NoError(t, registered.Usable(time.Now()), name)
				assert.NoError(t, loaded.WithID("kid").Usable(time.Now()), name)
				assert.Equal(t, time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC), loaded.Chain[0].NotAfter)
			}
			loaded, err := PKCS12(plainStore(t, []storeKey{key}, raw(t, "leaf"), ca, badRoot), "", "")
			require.NoError(t, err)
			assert.NoError(t, loaded.Complete(), "without the root Maskinporten takes it")
			assert.Len(t, loaded.Chain, 2)
			assert.Len(t, loaded.Notes, 1)
		})
	}
}

// TestMalformedCertificateOfAnother: what belongs to another key is no matter.
func TestMalformedCertificateOfAnother(t *testing.T) {
	stray := tampered(t, "otherleaf", func(tbs []asn1.RawValue) []asn1.RawValue {
		tbs[1] = element(t, -1)
		return tbs
	})
	loaded, err := PKCS12(plainStore(t, []storeKey{{name: "", pkcs8: raw(t, "key")}}, stray, raw(t, "leaf"), raw(t, "ca")), "", "")
	require.NoError(t, err)
	assert.NoError(t, loaded.Complete())
	_, err = PKCS12(plainStore(t, []storeKey{{name: "", pkcs8: raw(t, "key")}}, stray), "", "")
	assert.ErrorIs(t, err, ErrKeyMismatch)
	assert.ErrorContains(t, err, "MASKINPORTEN FOR GO 2")
}

// TestKeyUsageOfMalformed: of two certificates of one key the one for signing is found all the same.
func TestKeyUsageOfMalformed(t *testing.T) {
	negative := func(tbs []asn1.RawValue) []asn1.RawValue {
		tbs[1] = element(t, -1)
		return tbs
	}
	loaded, err := PKCS12(plainStore(t, []storeKey{{name: "", pkcs8: raw(t, "key")}}, tampered(t, "sign", negative), tampered(t, "leaf", negative), raw(t, "ca")), "", "")
	require.NoError(t, err)
	assert.Equal(t, x509.KeyUsageDigitalSignature, loaded.Chain[0].KeyUsage)
	_, err = PKCS12(plainStore(t, []storeKey{{name: "", pkcs8: raw(t, "key")}}, tampered(t, "sign", negative), raw(t, "ca")), "", "")
	assert.ErrorIs(t, err, ErrUnusableKey)
}

// TestOtherKinds: a key that is not RSA is no use, and no hindrance beside one that is. The files are openssl's.
func TestOtherKinds(t *testing.T) {
	for file, kind := range map[string]string{
		"pss": "RSA-PSS", "dsa": "DSA", "dsa-traditional": "DSA", "x448": "X448", "ed448": "Ed448", "x25519": "ecdh", "ed25519": "ed25519", "dh": "Diffie-Hellman",
		"brainpool": "elliptic curve", "brainpool-traditional": "elliptic curve", "secp256k1": "elliptic curve", "explicit": "elliptic curve",
	} {
		t.Run(file, func(t *testing.T) {
			text := stored(t, "kinds/"+file+".pem")
			ours := slices.Concat(stored(t, "pki/key.pem"), stored(t, "pki/leaf.pem"), stored(t, "pki/ca.pem"))
			loaded, err := PEM("", text, ours)
			require.NoError(t, err)
			checkLoaded(t, loaded)
			_, err = PEM("", text, stored(t, "pki/leaf.pem"))
			assert.ErrorIs(t, err, ErrUnusableKey)
			assert.ErrorContains(t, err, kind)

			if strings.Contains(file, "traditional") || file == "secp256k1" {
				return // PKCS#12 holds PKCS#8
			}
			other := storeKey{name: "annen", pkcs8: block(t, "kinds/"+file+".pem")}
			loaded, err = PKCS12(plainStore(t, []storeKey{other, {name: "vår", pkcs8: raw(t, "key")}}, raw(t, "leaf"), raw(t, "ca")), "", "")
			require.NoError(t, err)
			checkLoaded(t, loaded)
			_, err = PKCS12(plainStore(t, []storeKey{other}, raw(t, "leaf")), "", "")
			assert.ErrorIs(t, err, ErrUnusableKey)
			assert.ErrorContains(t, err, kind)
		})
	}
}

// TestManyKeys: how many there are is no reason to refuse a file. One that can sign is found, two are told apart by name.
func TestManyKeys(t *testing.T) {
	var keys []storeKey
	for i := range 22 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		keys = append(keys, storeKey{name: fmt.Sprint("ec-", i), pkcs8: pkcs8})
	}
	certs := [][]byte{raw(t, "leaf"), raw(t, "otherleaf"), raw(t, "ca")}
	keys = append(keys, storeKey{name: "vår", pkcs8: raw(t, "key")})
	loaded, err := PKCS12(plainStore(t, keys, certs...), "", "")
	require.NoError(t, err)
	checkLoaded(t, loaded)

	keys = append(keys, storeKey{name: "annen", pkcs8: raw(t, "other")})
	file := plainStore(t, keys, certs...)
	_, err = PKCS12(file, "", "")
	require.ErrorIs(t, err, ErrAmbiguousKey)
	assert.Less(t, len(err.Error()), 1000)
	loaded, err = PKCS12Named(file, "", "annen")
	require.NoError(t, err)
	assert.Equal(t, theirs, loaded.Chain[0].Subject.CommonName)
	_, err = PKCS12Named(file, "", "tredje")
	require.ErrorIs(t, err, ErrNoKey)
	assert.Less(t, len(err.Error()), 1000)
}

// TestKeyPassword: the MAC has agreed with the password, so that it is not simply wrong.
func TestKeyPassword(t *testing.T) {
	_, err := PKCS12(stored(t, "java-key-password.p12"), "changeit", "")
	assert.ErrorIs(t, err, ErrWrongPassword)
	assert.ErrorContains(t, err, "a password of its own")
	_, err = PKCS12(stored(t, "java-key-password.p12"), "another", "")
	assert.ErrorIs(t, err, ErrWrongPassword)
	assert.NotContains(t, err.Error(), "of its own")
}

// TestRegisteredKey: with a key id there need be no certificate, and one of another key does not matter.
func TestRegisteredKey(t *testing.T) {
	key, leaf, other := stored(t, "pki/key.pem"), stored(t, "pki/leaf.pem"), stored(t, "pki/otherleaf.pem")
	for _, test := range []struct {
		reason string
		inputs [][]byte
		chain  int
	}{
		{"a key alone", [][]byte{key}, 0},
		{"with its certificate", [][]byte{key, leaf}, 1},
		{"with another's", [][]byte{key, other}, 0},
		{"with both", [][]byte{key, other, leaf}, 1},
	} {
		loaded, err := PEM("kid", test.inputs...)
		require.NoError(t, err, test.reason)
		assert.Equal(t, "kid", loaded.ID)
		assert.Len(t, loaded.Chain, test.chain, test.reason)
		assert.NoError(t, loaded.Usable(time.Now()))
	}
	_, err := PEM("", key)
	assert.ErrorIs(t, err, ErrNoCertificate)
	assert.ErrorContains(t, err, "LoadPEMKey")
	_, err = PEM("kid", key, stored(t, "pki/other.pem"))
	assert.ErrorIs(t, err, ErrAmbiguousKey)
	_, err = PEM("kid", stored(t, "pki/ec.pem"))
	assert.ErrorIs(t, err, ErrUnusableKey)

	loaded, err := PKCS12(stored(t, "openssl-no-certificates.p12"), "changeit", "kid")
	require.NoError(t, err)
	assert.Empty(t, loaded.Chain)
}

// TestWrappings: what files have been put into on the way.
func TestWrappings(t *testing.T) {
	store := stored(t, "openssl-modern.p12")
	b64 := base64.StdEncoding.EncodeToString(store)
	lines := string(pemOf("X", store))
	lines = strings.ReplaceAll(lines[strings.Index(lines, "\n")+1:strings.LastIndex(lines, "-----END")], "\n", "\r\n")
	utf16le := func(s string) []byte {
		b := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return b
	}
	for reason, data := range map[string][]byte{
		"certutil -encode":              []byte("-----BEGIN CERTIFICATE-----\r\n" + lines + "-----END CERTIFICATE-----\r\n"),
		"UTF-16, as PowerShell's >":     utf16le(lines),
		"UTF-16 without its mark":       utf16le(b64)[2:],
		"a data URI":                    []byte("data:application/x-pkcs12;base64," + b64),
		"base64 twice":                  []byte(base64.StdEncoding.EncodeToString([]byte(b64 + "\n"))),
		"Key Vault's answer":            []byte(`{"attributes":{"enabled":true},"contentType":"application/x-pkcs12","id":"https://x.vault.azure.net/secrets/y","value":"` + b64 + `"}`),
		"quotation marks":               []byte(`"` + b64 + `"` + "\n"),
		"base64 for URLs":               []byte(base64.RawURLEncoding.EncodeToString(store)),
		"UTF-16 of base64 twice":        utf16le(base64.StdEncoding.EncodeToString([]byte(b64))),
		"certutil -encode, in UTF-16":   utf16le("-----BEGIN CERTIFICATE-----\r\n" + lines + "-----END CERTIFICATE-----\r\n"),
		"base64 of `certutil -encode`":  []byte(base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n" + lines + "-----END CERTIFICATE-----\n"))),
		"a data URI without the kind":   []byte("data:;base64," + b64),
		"Key Vault's answer, in base64": []byte(base64.StdEncoding.EncodeToString([]byte(`{"value":"` + b64 + `"}`))),
	} {
		t.Run(reason, func(t *testing.T) {
			loaded, err := PKCS12(data, "changeit", "")
			require.NoError(t, err)
			checkLoaded(t, loaded)
			content, err := Open(data, "changeit")
			require.NoError(t, err)
			_, err = content.Key("", time.Now())
			require.NoError(t, err)
		})
	}
	bundle := bundle(t, "key", "leaf")
	for reason, data := range map[string][]byte{
		"PEM in base64":             []byte(base64.StdEncoding.EncodeToString(bundle)),
		"PEM in base64 twice":       []byte(base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(bundle)))),
		"PEM in Key Vault's answer": []byte(`{"value":` + string(quoteJSON(bundle)) + `}`),
	} {
		content, err := Open(data, "")
		require.NoError(t, err, reason)
		_, err = content.Key("", time.Now())
		require.NoError(t, err, reason)
	}
}

func quoteJSON(b []byte) []byte {
	return []byte(`"` + strings.ReplaceAll(string(b), "\n", `\n`) + `"`)
}

// TestGivenInstead: what is given to LoadPKCS12 by mistake is named, without the words of encoding/asn1.
func TestGivenInstead(t *testing.T) {
	pkcs7 := der(t, struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, explicit(der(t, []int{1}))})
	for _, test := range []struct {
		reason string
		data   []byte
		says   string
	}{
		{"a certificate", raw(t, "leaf"), "it is a certificate"},
		{"a certificate in base64", []byte(base64.StdEncoding.EncodeToString(raw(t, "leaf"))), "it is a certificate"},
		{"PKCS#7", pkcs7, "it is a PKCS#7 file"},
		{"PKCS#8", raw(t, "key"), "it is a private key"},
		{"PKCS#1", x509.MarshalPKCS1PrivateKey(privateKey(t, "key")), "it is a private key"},
		{"an encrypted key", block(t, "pkcs8-encrypted.pem"), "it is an encrypted private key"},
		{"a file's name", []byte("keystore.p12"), "name of a file"},
		{"a file's name with a line break", []byte("/etc/keys/virksomhet.P12\n"), "name of a file"},
		{"PEM", stored(t, "pki/leaf.pem"), "it is PEM"},
		{"nothing", nil, "empty"},
		{"a byte order mark", []byte("\xef\xbb\xbf"), "empty"},
	} {
		_, err := PKCS12(test.data, "changeit", "")
		require.ErrorIs(t, err, ErrNotKeystore, test.reason)
		assert.ErrorContains(t, err, test.says, test.reason)
		assert.NotContains(t, err.Error(), "asn1", test.reason)
	}
	_, err := PEM("", []byte("keystore.pem"))
	assert.ErrorContains(t, err, "name of a file")
	_, err = JWK([]byte("/run/secrets/jwk.json"))
	assert.ErrorContains(t, err, "name of a file")
}

// TestOddFiles loads what lies in testdata/keystores/odd.
func TestOddFiles(t *testing.T) {
	for file, certificates := range map[string]int{
		"utf16.pem": 3, "backslash-n.pem": 3, "joined.pem": 3, "d-only.json": 0, "private-and-public.json": 0, "certutil-encode.txt": 3,
	} {
		content, err := Open(stored(t, "odd/"+file), "pw")
		require.NoError(t, err, file)
		loaded, err := content.Key("", time.Now())
		require.NoError(t, err, file)
		assert.NoError(t, loaded.Complete(), file)
		assert.Len(t, loaded.Chain, certificates, file)
	}
	for file, says := range map[string]string{"negative-serial.p12": "negative serial number", "critical-ski.p12": "incorrectly marked critical"} {
		loaded, err := PKCS12(stored(t, "odd/"+file), "pw", "")
		require.NoError(t, err, file)
		assert.ErrorContains(t, loaded.Complete(), says)
		assert.NoError(t, loaded.WithID("kid").Complete())
	}
	_, err := Open(stored(t, "odd/truncated.pem"), "")
	assert.ErrorIs(t, err, ErrNotKeystore)
	assert.ErrorContains(t, err, "block 3 of the PEM data (CERTIFICATE) is cut off")
}
