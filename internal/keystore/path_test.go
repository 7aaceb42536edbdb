package keystore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNotFiles: a named pipe would hang whoever opens it.
func TestNotFiles(t *testing.T) {
	d := newSecretDir(t)
	for reason, path := range map[string]string{"a folder": d.path, "a device": os.DevNull} {
		_, err := NewFile(loadPEM, path).Key(t.Context(), quiet)
		require.Error(t, err, reason)
		assert.ErrorContains(t, err, strconv.Quote(path), reason)
		assert.ErrorContains(t, err, "it is a ", reason)
	}
}

// TestLists: an existing path is taken whole, another may be a list; a folder is one with Kubernetes' two files.
func TestLists(t *testing.T) {
	d := newSecretDir(t)
	list := func(names ...string) string {
		var paths []string
		for _, name := range names {
			paths = append(paths, d.file(name))
		}
		return strings.Join(paths, string(os.PathListSeparator))
	}
	d.write("tls.key", stored(t, "pki/key.pem"), longAgo)
	d.write("tls.crt", slices.Concat(stored(t, "pki/leaf.pem"), stored(t, "pki/ca.pem")), longAgo)
	assert.Equal(t, ours, d.subject(StoreFile(d.path, "", "", "")), "a folder")
	assert.Equal(t, ours, d.subject(StoreFile(list("tls.crt", "tls.key"), "", "", "")), "a list")

	whole := list("a", "b")
	if runtime.GOOS != "windows" {
		require.NoError(t, os.MkdirAll(filepath.Dir(whole), 0o700))
		require.NoError(t, os.WriteFile(whole, bundle(t, "other", "otherleaf"), 0o600))
		assert.Equal(t, theirs, d.subject(StoreFile(whole, "", "", "")), "a path with a colon in it")
	}
	key := StoreFile(d.file("tls.key"), "", "", "kid")
	loaded, err := key.Key(t.Context(), quiet)
	require.NoError(t, err)
	assert.Equal(t, "kid", loaded.ID)
	_, err = StoreFile(list("tls.crt", "missing.key"), "", "", "").Key(t.Context(), quiet)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "missing.key")
	assert.NotContains(t, err.Error(), "tls.crt", "that one is there")

	ca := newSecretDir(t)
	ca.write("tls.key", stored(t, "pki/key.pem"), longAgo)
	ca.write("tls.crt", stored(t, "pki/leaf.pem"), longAgo)
	ca.write("ca.crt", stored(t, "pki/ca.pem"), longAgo)
	loaded, err = StoreFile(ca.path, "", "", "").Key(t.Context(), quiet)
	require.NoError(t, err)
	assert.Len(t, loaded.Chain, 2, "cert-manager has the issuer's in ca.crt")
}

// TestPasswordFiles: they come from editors and shells.
func TestPasswordFiles(t *testing.T) {
	d := newSecretDir(t)
	d.write("key.p12", stored(t, "openssl-modern.p12"), longAgo)
	for _, test := range []struct {
		reason string
		data   []byte
		err    error
	}{
		{"a line", []byte("changeit\n"), nil},
		{"without a line break", []byte("changeit"), nil},
		{"Notepad's", []byte("\xef\xbb\xbfchangeit\r\n"), nil},
		{"PowerShell's", utf16of("changeit\r\n"), nil},
		{"UTF-16 without its mark", utf16of("changeit\r\n")[2:], nil},
		{"big-endian", []byte("\xfe\xff\x00c\x00h\x00a\x00n\x00g\x00e\x00i\x00t\x00\n"), nil},
		{"empty", nil, ErrPasswordFile},
		{"only a line break", []byte("\r\n"), ErrPasswordFile},
		{"only a byte order mark", []byte("\xff\xfe"), ErrPasswordFile},
		{"another's", []byte("hemmelig\n"), ErrWrongPassword},
		{"a blank at the end", []byte("changeit \n"), ErrWrongPassword},
	} {
		d.write("password", test.data, longAgo)
		_, err := StoreFile(d.file("key.p12"), "", d.file("password"), "").Key(t.Context(), quiet)
		assert.ErrorIs(t, err, test.err, test.reason)
	}
	_, err := StoreFile(d.file("key.p12"), "", d.file("missing"), "").Key(t.Context(), quiet)
	assert.ErrorIs(t, err, ErrPasswordFile)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, strconv.Quote(d.file("missing")))
	assert.NotContains(t, err.Error(), "key.p12", "the keystore is not at fault")

	file := stored(t, "odd/password-bom.txt")
	d.write("password", file, longAgo)
	d.write("key.p12", stored(t, "odd/negative-serial.p12"), longAgo)
	_, err = StoreFile(d.file("key.p12"), "", d.file("password"), "kid").Key(t.Context(), quiet)
	assert.NoError(t, err)
}

// TestContentIsNotPrinted: what stands where a path belongs may be the key itself, or a password.
func TestContentIsNotPrinted(t *testing.T) {
	d := newSecretDir(t)
	d.write("real.p12", stored(t, "openssl-modern.p12"), longAgo)
	key, bundle := string(stored(t, "pki/key.pem")), string(bundle(t, "key", "leaf"))
	b64 := base64.StdEncoding.EncodeToString(stored(t, "openssl-modern.p12"))
	for _, test := range []struct {
		reason, path, password string
		secrets                []string
		says                   string
	}{
		{"PEM", bundle, "", []string{key[60:120]}, "MASKINPORTEN_CLIENT_PEM or LoadPEM"},
		{"PEM on one line", strings.ReplaceAll(bundle, "\n", `\n`), "", []string{key[60:90]}, "LoadPEM"},
		{"PEM in UTF-16", string(utf16of(bundle)), "", []string{"M\x00I\x00I"}, "LoadPEM"},
		{"a JWK", privateJWK(t, nil), "", []string{"kty", `"d"`}, "MASKINPORTEN_CLIENT_JWK or LoadJWK"},
		{"a keystore in base64", b64, "", []string{b64[:40]}, "MASKINPORTEN_KEYSTORE_BASE64 or LoadPKCS12"},
		{"in base64, in lines", b64[:76] + "\n" + b64[76:], "", []string{b64[:40]}, "LoadPKCS12"},
		{"a keystore as it is", string(stored(t, "openssl-modern.p12")), "", []string{"\x30\x82"}, "LoadPKCS12"},
		{"something overlong", strings.Repeat("hemmelig", 1000), "", []string{"hemmelig"}, ""},
		{"a password", "hemmelig", "", []string{"hemmelig"}, "does not look like a path"},
		{"a password with a slash", "hemme/lig=", "", []string{"hemme"}, "does not look like a path"},
		{"a password with a full stop", "hemme.lig", "", []string{"hemme"}, "does not look like a path"},
		{"path and password swapped", "hemmelig", d.file("real.p12"), []string{"hemmelig", "real.p12"}, "the wrong way round"},
		{"swapped, and the password has a slash", "/hemmelig", d.file("real.p12"), []string{"real.p12"}, "the wrong way round"},
		{"a path", d.file("none.p12"), "hemmelig", []string{"hemmelig"}, strconv.Quote(d.file("none.p12"))},
		{"a path with a line break", d.file("real.p12") + "\n", "", nil, ": there is white space around the path"},
		{"nothing", "", "", nil, "the path is empty"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			for kind, source := range map[string]*File{"a keystore": StoreFile(test.path, test.password, "", ""), "PEM": NewFile(loadPEM, test.path)} {
				if kind == "PEM" && test.password != "" {
					continue
				}
				_, err := source.Key(t.Context(), quiet)
				require.Error(t, err)
				assert.ErrorContains(t, err, test.says)
				assert.Less(t, len(err.Error()), 400)
				printed := fmt.Sprintf("%+v %#v", source, source)
				for e := err; e != nil; e = errors.Unwrap(e) {
					printed += e.Error()
				}
				for _, secret := range test.secrets {
					assert.NotContains(t, printed, secret)
				}
			}
		})
	}
}

// TestMissingFile: the path is there once, in quotation marks.
func TestMissingFile(t *testing.T) {
	d := newSecretDir(t)
	_, err := StoreFile(d.file("key.p12"), "x", "", "").Key(t.Context(), quiet)
	_, cause := os.Stat(d.file("key.p12"))
	assert.EqualError(t, err, strconv.Quote(d.file("key.p12"))+": "+errors.Unwrap(cause).Error())
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// A colon does not always separate: what is said is about the whole.
func TestPathsOfAnotherKind(t *testing.T) {
	for path, says := range map[string]string{
		"file:///run/secrets/k.p12":           "looks like a URL",
		"https://u:hemmelig@vault.test/k.p12": "looks like a URL",
		`C:\certs\k.p12`:                      `"C:\\certs\\k.p12"`,
		"c:/certs/k.p12":                      `"c:/certs/k.p12"`,
	} {
		_, err := StoreFile(path, "", "", "").Key(t.Context(), slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "hemmelig")
	}
}
