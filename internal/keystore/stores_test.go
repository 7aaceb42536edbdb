package keystore

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testdata = "../../testdata"

// stored returns a file of testdata/keystores.
func stored(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, "keystores", file))
	require.NoError(t, err)
	return b
}

// storeInTable is a line of testdata/README.md.
type storeInTable struct{ File, Tool, Command, Password, Outcome, Remedy, Remedied string }

var slowToo = flag.Bool("slow", false, "load every store of the table, also the many with 600,000 iterations")

// slow reports whether a store has 600,000 iterations for each of its parts: a
// second of work, ten with the race detector. Only one of each tool is loaded
// unless the flag says so.
func (s storeInTable) slow() bool {
	switch s.File {
	case "gnutls-modern.p12", "nss-modern.p12":
		return raceDetector
	}
	return s.Tool == "GnuTLS" || s.Tool == "NSS" || s.File == "openssl-iter-600000.p12"
}

func keystoreTable(t testing.TB) (table []storeInTable) {
	b, err := os.ReadFile(filepath.Join(testdata, "keystores.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &table))
	require.GreaterOrEqual(t, len(table), 79)
	return table
}

// TestEveryKeystore holds every line of the table in testdata/README.md to be true.
func TestEveryKeystore(t *testing.T) {
	sentinels := map[string]error{
		"expired":              ErrCertificateExpired,
		"not yet valid":        ErrCertificateNotYetValid,
		"unusable key":         ErrUnusableKey,
		"unusable certificate": ErrUnusableKey,
		"no key":               ErrNoKey,
		"no certificate":       ErrNoCertificate,
		"mismatch":             ErrKeyMismatch,
		"ambiguous":            ErrAmbiguousKey,
		"unsupported":          ErrUnsupportedEncryption,
		"foreign":              ErrNotKeystore,
		"key password":         ErrWrongPassword,
	}
	for _, row := range keystoreTable(t) {
		if row.slow() && !*slowToo {
			continue
		}
		t.Run(row.File, func(t *testing.T) {
			t.Parallel()
			key, err := PKCS12(stored(t, row.File), row.Password, "")
			if row.Outcome == "loads" {
				require.NoError(t, err)
				checkLoaded(t, key)
				return
			}
			kind, what, _ := strings.Cut(row.Outcome, ": ")
			require.Contains(t, sentinels, kind)
			require.ErrorIs(t, err, sentinels[kind])
			assert.ErrorContains(t, err, what)
			assert.NotContains(t, err.Error(), row.Password)
			if row.Remedy == "" {
				return
			}
			assert.ErrorContains(t, err, "`"+row.Remedy+"`")
			mended := stored(t, filepath.Join("remedied", row.Remedied))
			if strings.HasSuffix(row.Remedied, ".pem") {
				key, err = PEM("", mended)
			} else {
				key, err = PKCS12(mended, row.Password, "")
			}
			require.NoError(t, err, "what the command in the error made")
			checkLoaded(t, key)
		})
	}
}

// checkLoaded wants each certificate signed by the next, and a signature that the leaf verifies.
func checkLoaded(t *testing.T, key *Key) {
	t.Helper()
	for i, issuer := range key.Chain[1:] {
		assert.NoError(t, key.Chain[i].CheckSignatureFrom(issuer))
	}
	digest := sha256.Sum256([]byte("grant"))
	signature, err := key.Signer().Sign(nil, digest[:], crypto.SHA256)
	require.NoError(t, err)
	assert.NoError(t, rsa.VerifyPKCS1v15(key.Chain[0].PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature))
}

func privateKey(t testing.TB, name string) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(stored(t, "pki/"+name+".pem"))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	return key.(*rsa.PrivateKey)
}

func certificates(t testing.TB, names ...string) (certs []*x509.Certificate) {
	t.Helper()
	for _, name := range names {
		block, _ := pem.Decode(stored(t, "pki/"+name+".pem"))
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		certs = append(certs, cert)
	}
	return certs
}
