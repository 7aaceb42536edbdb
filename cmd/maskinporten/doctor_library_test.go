package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten"
)

// TestDoctorLoadsWhatTheLibraryLoads runs both on the same odd values: what one
// of them takes and the other does not sends whoever is on call the wrong way.
func TestDoctorLoadsWhatTheLibraryLoads(t *testing.T) {
	dir := t.TempDir()
	stored := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keystores", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write := func(name string, data ...[]byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Join(data, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := func(paths ...string) string { return strings.Join(paths, string(os.PathListSeparator)) }
	const bom = "\xef\xbb\xbf"
	key, leaf, ca, p12 := stored("pki/key.pem"), stored("pki/leaf.pem"), stored("pki/ca.pem"), stored("openssl-modern.p12")
	pem, jwk, b64 := string(bytes.Join([][]byte{key, leaf, ca}, nil)), string(stored("odd/d-only.json")), base64.StdEncoding.EncodeToString(p12)
	noKID := strings.Replace(jwk, `"kid"`, `"navn"`, 1)
	store, keyFile, leafFile, chainFile := write("store.p12", p12), write("key.pem", key), write("leaf.pem", leaf), write("chain.pem", leaf, ca)
	folder := filepath.Dir(write("folder/tls.key", key))
	write("folder/tls.crt", leaf)
	write("folder/ca.crt", ca)
	noIssuer := filepath.Dir(write("no-issuer/tls.key", key))
	write("no-issuer/tls.crt", leaf)
	noKey := filepath.Dir(write("no-key/tls.crt", leaf, ca))
	password, bomPassword := write("password", []byte("changeit")), write("bom-password", []byte(bom+"changeit\r\n"))
	empty := write("empty", nil)

	for _, c := range []struct {
		reason string
		env    map[string]string // without MASKINPORTEN_
		loads  bool
	}{
		{"a file", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD": "changeit"}, true},
		{"a list of files", map[string]string{"KEYSTORE_PATH": list(chainFile, keyFile)}, true},
		{"a list of three files", map[string]string{"KEYSTORE_PATH": list(keyFile, write("ca.pem", ca), leafFile)}, true},
		{"a list without the issuer", map[string]string{"KEYSTORE_PATH": list(leafFile, keyFile)}, false},
		{"a list with a file that is not there", map[string]string{"KEYSTORE_PATH": list(keyFile, filepath.Join(dir, "none.pem"))}, false},
		{"a list with an empty name", map[string]string{"KEYSTORE_PATH": list(keyFile, "", chainFile)}, false},
		{"a list of certificates", map[string]string{"KEYSTORE_PATH": list(leafFile, chainFile)}, false},
		{"a folder", map[string]string{"KEYSTORE_PATH": folder}, true},
		{"a folder, with a slash", map[string]string{"KEYSTORE_PATH": folder + "/"}, true},
		{"a folder without ca.crt", map[string]string{"KEYSTORE_PATH": noIssuer}, false},
		{"a folder without ca.crt, registered", map[string]string{"KEYSTORE_PATH": noIssuer, "KEY_ID": "k"}, true},
		{"a folder without a key", map[string]string{"KEYSTORE_PATH": noKey}, false},
		{"an empty folder", map[string]string{"KEYSTORE_PATH": t.TempDir()}, false},
		{"an empty file", map[string]string{"KEYSTORE_PATH": empty}, false},
		{"no such file", map[string]string{"KEYSTORE_PATH": filepath.Join(dir, "none.p12")}, false},
		{"PEM with a byte order mark", map[string]string{"KEYSTORE_PATH": write("bom.pem", []byte(bom+pem))}, true},
		{"PEM in UTF-16", map[string]string{"KEYSTORE_PATH": write("utf16.pem", stored("odd/utf16.pem"))}, true},
		{"a JWK with a byte order mark", map[string]string{"KEYSTORE_PATH": write("bom.jwk", []byte(bom+jwk))}, true},
		{"base64 in a file", map[string]string{"KEYSTORE_PATH": write("store.b64", []byte(b64)), "KEYSTORE_PASSWORD": "changeit"}, true},
		{"a certificate alone", map[string]string{"KEYSTORE_PATH": chainFile}, false},
		{"a key alone", map[string]string{"KEYSTORE_PATH": keyFile}, false},
		{"a key alone, registered", map[string]string{"KEYSTORE_PATH": keyFile, "KEY_ID": "k"}, true},
		{"PEM for a path", map[string]string{"KEYSTORE_PATH": pem}, false},
		{"base64 for a path", map[string]string{"KEYSTORE_PATH": b64}, false},
		{"a JWK for a path", map[string]string{"KEYSTORE_PATH": jwk}, false},
		{"a path in quotation marks", map[string]string{"KEYSTORE_PATH": `"` + store + `"`, "KEYSTORE_PASSWORD": "changeit"}, false},
		{"a path and a line break", map[string]string{"KEYSTORE_PATH": store + "\n", "KEYSTORE_PASSWORD": "changeit"}, false},
		{"path and password swapped", map[string]string{"KEYSTORE_PATH": "changeit", "KEYSTORE_PASSWORD": store}, false},
		{"a device", map[string]string{"KEYSTORE_PATH": os.DevNull}, false},
		{"a URL", map[string]string{"KEYSTORE_PATH": "https://example.com/store.p12"}, false},

		{"base64", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD": "changeit"}, true},
		{"base64 in lines, in quotation marks", map[string]string{"KEYSTORE_BASE64": `"` + b64[:76] + "\r\n" + b64[76:] + `"`, "KEYSTORE_PASSWORD": "changeit"}, true},
		{"base64 of PEM", map[string]string{"KEYSTORE_BASE64": base64.StdEncoding.EncodeToString([]byte(pem))}, true},
		{"base64 of nothing known", map[string]string{"KEYSTORE_BASE64": "aGVpIGhlaSBoZWk="}, false},
		{"base64 and no password", map[string]string{"KEYSTORE_BASE64": b64}, false},
		{"base64 and a password file with a byte order mark", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD_FILE": bomPassword}, true},
		{"base64 and an empty password file", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD_FILE": empty}, false},
		{"base64 and a folder for a password file", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD_FILE": folder}, false},
		{"PEM", map[string]string{"CLIENT_PEM": pem}, true},
		{"PEM with two characters for a line break", map[string]string{"CLIENT_PEM": strings.ReplaceAll(pem, "\n", `\n`)}, true},
		{"PEM in quotation marks", map[string]string{"CLIENT_PEM": `'` + pem + `'`}, true},
		{"PEM, cut off", map[string]string{"CLIENT_PEM": pem[:len(pem)-100]}, false},
		{"PEM and an empty password file", map[string]string{"CLIENT_PEM": pem, "KEYSTORE_PASSWORD_FILE": empty}, false},
		{"PEM that is none", map[string]string{"CLIENT_PEM": "hei"}, false},
		{"a path for PEM", map[string]string{"CLIENT_PEM": keyFile}, false},
		{"a JWK", map[string]string{"CLIENT_JWK": jwk}, true},
		{"a JWK with a byte order mark", map[string]string{"CLIENT_JWK": bom + jwk}, true},
		{"a JWK in base64", map[string]string{"CLIENT_JWK": base64.StdEncoding.EncodeToString([]byte(jwk))}, true},
		{"a JWK without kid", map[string]string{"CLIENT_JWK": noKID}, false},
		{"a JWK without kid, and its id", map[string]string{"CLIENT_JWK": noKID, "KEY_ID": "k"}, true},
		{"a JWK in quotation marks", map[string]string{"CLIENT_JWK": "'" + jwk + "'"}, false},
		{"a JWK that is none", map[string]string{"CLIENT_JWK": "hei"}, false},

		{"a password file with a byte order mark", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD_FILE": bomPassword}, true},
		{"a password file and an empty password", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD": "", "KEYSTORE_PASSWORD_FILE": password}, true},
		{"a password and its file", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD": "changeit", "KEYSTORE_PASSWORD_FILE": password}, false},
		{"a password file that is not there", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD_FILE": filepath.Join(dir, "none")}, false},
		{"the password itself for its file", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD_FILE": "changeit"}, false},
		{"a password file in quotation marks", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD_FILE": `"` + password + `"`}, false},
		{"a password and a line break", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_PASSWORD": "changeit\n"}, false},
		{"two keystores", map[string]string{"KEYSTORE_PATH": store, "KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD": "changeit"}, false},
		{"a key id and a line break", map[string]string{"CLIENT_JWK": jwk, "KEY_ID": "k\n"}, false},
		{"a key id in quotation marks", map[string]string{"CLIENT_JWK": jwk, "KEY_ID": `"k"`}, false},
		{"an expired certificate", map[string]string{"KEYSTORE_PATH": write("expired.p12", stored("openssl-expired.p12")), "KEYSTORE_PASSWORD": "changeit"}, false},
		{"a file of another tool", map[string]string{"KEYSTORE_PATH": write("store.jks", stored("keytool.jks")), "KEYSTORE_PASSWORD": "changeit"}, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newSetup(t)
			c.env["ISSUER"], c.env["TOKEN_ENDPOINT"], c.env["CLIENT_ID"] = "https://maskinporten.example/", "https://maskinporten.example/token", "c"
			for name, value := range c.env {
				s.env["MASKINPORTEN_"+name] = value
				t.Setenv("MASKINPORTEN_"+name, value)
			}
			config, err := maskinporten.ConfigFromEnv()
			if err == nil {
				config.Credential, err = config.Credential.Credential(t.Context()) // New looks closer at one that does not change
			}
			if err == nil {
				_, err = maskinporten.New(config)
			}
			if (err == nil) != c.loads {
				t.Errorf("the library: %v", err)
			}
			found, status := s.doctor("--offline")
			if (status == 0) != c.loads || found.OK != c.loads {
				t.Errorf("doctor: exit status %d\n%+v\nthe library: %v", status, found.Steps, err)
			}
			for _, step := range found.Steps {
				var field *maskinporten.FieldError
				if step.ID == "keystore" && strings.HasSuffix(c.reason, "that is none") &&
					(!errors.As(err, &field) || !strings.Contains(step.Summary, clean(errors.Unwrap(field)))) {
					t.Errorf("%s\nthe library: %v", step.Summary, err)
				}
				if step.Status == "failed" && (step.Remedy == "" || strings.Contains(step.Summary+step.Remedy, "changeit")) {
					t.Errorf("%+v", step)
				}
			}
		})
	}
}

// What anybody may read is pointed out for the file that holds the key, wherever
// the path leads: certificates are public, and so is a folder's own mode.
func TestRightsOfEachFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mode says nothing there")
	}
	s := newSetup(t)
	for name, file := range map[string]string{"tls.key": "key", "tls.crt": "leaf", "ca.crt": "ca"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keystores", "pki", file+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(s.file(name, data), 0o644)
	}
	s.env["MASKINPORTEN_ISSUER"], s.env["MASKINPORTEN_TOKEN_ENDPOINT"] = "https://maskinporten.example/", "https://maskinporten.example/token"
	s.env["MASKINPORTEN_CLIENT_ID"], s.env["MASKINPORTEN_KEYSTORE_PATH"] = "c", s.dir
	key := filepath.Join(s.dir, "tls.key")
	for mode, want := range map[os.FileMode]string{0o644: "warning", 0o600: "ok"} {
		os.Chmod(key, mode)
		found, _ := s.doctor("--offline")
		if step := found.Steps[1]; step.Status != want || want == "warning" && !strings.Contains(step.Remedy, "chmod 600 "+key) {
			t.Errorf("%o: %+v", mode, step)
		}
	}
}
