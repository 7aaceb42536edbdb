package keystore

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCommands runs each command that an error prints, just as printed but for the answers to its questions, and loads what
// it wrote. .ci/run installs the tools.
func TestCommands(t *testing.T) {
	for _, test := range []struct {
		file, password string
		with           []string // what is loaded beside the command's output
		tool           string
		legacy         bool // OpenSSL 3 needs its legacy provider
		chain          int
	}{
		{"pkcs8-encrypted.pem", "changeit", []string{"pki/leaf.pem", "pki/ca.pem"}, "openssl", false, 2},
		{"pkcs1-encrypted.pem", "changeit", []string{"pki/leaf.pem", "pki/ca.pem"}, "openssl", false, 2},
		{"odd/encrypted-pbes1-md5-des.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", true, 1},
		{"odd/encrypted-pbes1-rc2.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", true, 1},
		{"odd/encrypted-pbes1-sha1-3des.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", false, 1},
		{"odd/encrypted-rc4.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", true, 1},
		{"odd/encrypted-pbes2-des.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", true, 1},
		{"odd/encrypted-traditional-des.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", true, 1},
		{"odd/encrypted-traditional-des3.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", false, 1},
		{"odd/encrypted-traditional-aes256.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", false, 1},
		{"odd/encrypted-traditional-camellia128.pem", "changeit", []string{"pki/leaf.pem"}, "openssl", false, 1},
		{"odd/encrypted.der", "changeit", []string{"pki/leaf.pem"}, "openssl", false, 1},
		// With the certificates in the same file, they are kept.
		{"odd/encrypted.pem", "changeit", nil, "openssl", false, 3},
		{"odd/encrypted-traditional-chain.pem", "changeit", nil, "openssl", false, 2},
		{"odd/encrypted-pbes1-chain.pem", "changeit", nil, "openssl", true, 2},
		// Keystores: one of each command.
		{"openssl-rc4-128.p12", "changeit", nil, "openssl", true, 3},
		{"openssl-nomac.p12", "changeit", nil, "openssl", true, 3},
		{"keytool.jks", "changeit", nil, "keytool", false, 3},
		{"keytool.jceks", "changeit", nil, "keytool", false, 3},
	} {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(test.tool); err != nil {
				t.Skip(err)
			}
			data := stored(t, test.file)
			_, err := open(test.password, data)
			if !strings.HasSuffix(test.file, ".jks") && !strings.HasSuffix(test.file, ".jceks") {
				if !isPEM(data) && strings.HasSuffix(test.file, ".der") {
					_, err = PEM("", data)
				}
				require.ErrorIs(t, err, ErrUnsupportedEncryption)
			}
			parts := strings.Split(err.Error(), "`")
			require.Len(t, parts, 3, err)
			args := strings.Fields(parts[1])
			assert.Equal(t, test.legacy, strings.Contains(parts[1], "-legacy") || strings.Contains(parts[1], "-provider legacy"), parts[1])

			dir := t.TempDir()
			for i, arg := range args {
				if arg == "-in" || arg == "-srckeystore" || i == len(args)-1 && args[1] == "storeutl" {
					if arg != args[len(args)-1] {
						arg = args[i+1]
					}
					require.NoError(t, os.WriteFile(filepath.Join(dir, arg), data, 0o600))
				}
			}
			if test.tool == "openssl" {
				args = append(args[:2:2], append([]string{"-passin", "pass:" + test.password}, args[2:]...)...)
			} else {
				args = append(args, "-noprompt", "-srcstorepass", test.password, "-deststorepass", test.password)
			}
			command := exec.Command(args[0], args[1:]...)
			command.Dir = dir
			said, err := command.CombinedOutput()
			require.NoError(t, err, "%s: %s", strings.Join(args, " "), said)

			var files [][]byte
			for _, name := range []string{"decrypted.pem", "keystore.pem", "keystore.p12"} {
				made, err := os.ReadFile(filepath.Join(dir, name))
				if err == nil && string(made) != string(data) {
					files = append(files, made)
				}
			}
			require.Len(t, files, 1, "what the command wrote")
			for _, name := range test.with {
				files = append(files, stored(t, name))
			}
			content, err := open(test.password, files...)
			require.NoError(t, err)
			key, err := content.Key("", time.Now())
			require.NoError(t, err)
			assert.Len(t, key.Chain, test.chain)
		})
	}
}
