package maskinporten

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const keystoreDir = "testdata/keystores"

func keystore(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(keystoreDir, file))
	require.NoError(t, err)
	return b
}

// storeInTable is a line of testdata/README.md.
type storeInTable struct{ File, Tool, Command, Password, Outcome, Remedy, Remedied string }

// slow tells of stores with 600,000 iterations a key. With the race detector
// each takes ten seconds, in which there is no race to find: one of each tool
// is left to it.
func (s storeInTable) slow() bool {
	switch s.File {
	case "gnutls-modern.p12", "nss-modern.p12":
		return false
	}
	return s.Tool == "GnuTLS" || s.Tool == "NSS" || s.File == "openssl-iter-600000.p12"
}

func keystoreTable(t testing.TB) (table []storeInTable) {
	b, err := os.ReadFile("testdata/keystores.json")
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
	}
	for _, row := range keystoreTable(t) {
		if raceDetector && row.slow() {
			continue
		}
		t.Run(row.File, func(t *testing.T) {
			t.Parallel()
			cred, err := LoadPKCS12(keystore(t, row.File), row.Password)
			if row.Outcome == "loads" {
				require.NoError(t, err)
				checkLoaded(t, cred)
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
			mended := keystore(t, filepath.Join("remedied", row.Remedied))
			if strings.HasSuffix(row.Remedied, ".pem") {
				cred, err = LoadPEM(mended)
			} else {
				cred, err = LoadPKCS12(mended, row.Password)
			}
			require.NoError(t, err, "what the command in the error made")
			checkLoaded(t, cred)
		})
	}
}

// checkLoaded wants the leaf first, each certificate signed by the next, and a signature that the leaf verifies.
func checkLoaded(t *testing.T, cred *Credential) {
	t.Helper()
	assert.Equal(t, "910753614", cred.OrgNumber())
	chain := cred.Chain()
	assert.Equal(t, chain[0], cred.Certificate())
	for i, issuer := range chain[1:] {
		assert.NoError(t, chain[i].CheckSignatureFrom(issuer))
	}
	signature, err := rs256{}.Sign("grant", cred.signer)
	require.NoError(t, err)
	assert.NoError(t, rs256{}.Verify("grant", signature, chain[0].PublicKey))
}
