package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/inspect"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// Whatever a store is made into, the library reads the same key and chain from
// it, and a token comes.
func TestConvert(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.file("password.txt", []byte("secret-password\n"))
	s.file("other.txt", []byte("another-secret-password\n"))
	for _, step := range [][]string{
		{"keystore.p12", "--password-file", "password.txt", "--to", "pem"},
		{"keystore.pem", "--to", "p12", "--out-password-file", "other.txt", "--out", "again.p12"},
		{"again.p12", "--password-file", "other.txt", "--to", "jwk", "--kid", "my-key"},
	} {
		if r := s.run(append([]string{"convert"}, step...)...); r.status != 0 || r.stdout != "" {
			t.Fatalf("%v: %+v", step, r)
		}
	}
	for _, name := range []string{"keystore.pem", "again.p12", "again.jwk"} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
			t.Errorf("%s has the rights %04o", name, mode)
		}
	}
	delete(s.env, "MASKINPORTEN_KEYSTORE_PASSWORD")
	for _, args := range [][]string{{"--keystore", "keystore.pem"}, {"--keystore", "again.p12", "--password-file", "other.txt"}} {
		if r := s.run(append([]string{"token"}, args...)...); r.status != 0 {
			t.Errorf("%v: %s", args, r.stderr)
		}
	}
	fake.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "my-key"})
	if r := s.run("token", "--keystore", "again.jwk"); r.status != 0 {
		t.Errorf("the JWK: %s", r.stderr)
	}
}

func TestConvertRefuses(t *testing.T) {
	s := newSetup(t)
	s.file("cert.p12", maskinportentest.Certificate{}.PKCS12("secret-password"))
	s.file("password.txt", []byte("secret-password"))
	s.file("key.jwk", maskinportentest.JWK("k"))
	before := []byte("precious")
	s.file("cert.pem", before)
	for _, c := range []struct {
		reason string
		args   []string
		status int
		seen   string
	}{
		{"a file that is there", []string{"cert.p12", "--password-file", "password.txt", "--to", "pem"}, 1, "is there already"},
		{"no kind", []string{"cert.p12"}, 2, "--to is p12, pem or jwk"},
		{"no password", []string{"cert.p12", "--to", "jwk"}, 1, "wrong password"},
		{"no certificate", []string{"key.jwk", "--to", "p12"}, 1, "there is no certificate"},
		{"no password to write with", []string{"cert.pem", "--to", "p12"}, 1, "cert.pem"},
		{"no file", []string{"none.p12", "--to", "pem"}, 1, "none.p12"},
	} {
		if r := s.run(append([]string{"convert"}, c.args...)...); r.status != c.status || !strings.Contains(r.stderr, c.seen) || r.stdout != "" {
			t.Errorf("%s: %+v", c.reason, r)
		}
	}
	if content, _ := os.ReadFile(filepath.Join(s.dir, "cert.pem")); string(content) != string(before) {
		t.Error("a file was written over")
	}
	if r := s.run("convert", "cert.p12", "--password-file", "password.txt", "--to", "pem", "--force"); r.status != 0 {
		t.Errorf("--force: %s", r.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".maskinporten-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// Of several keys that can sign, one is taken by its name, by the serial number
// of its certificate or by its kid; without that they are listed.
func TestConvertOneOfSeveral(t *testing.T) {
	s := newSetup(t)
	s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "changeit"
	java, err := os.ReadFile("../../testdata/keystores/keytool-two-usable-keys.p12")
	if err != nil {
		t.Fatal(err)
	}
	s.file("java.p12", java)
	s.golden("convert/several", s.run("convert", "java.p12", "--to", "pem"))
	s.golden("convert/no-such-key", s.run("convert", "java.p12", "--to", "pem", "--key", "tredje"))

	past := maskinportentest.Certificate{NotBefore: time.Now().AddDate(-4, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}
	_, valid := withNewKey(t, maskinportentest.Certificate{})
	first, firstExpired := withNewKey(t, past)
	second, secondExpired := withNewKey(t, past)
	s.file("expired.pem", slices.Concat(firstExpired, secondExpired))
	s.file("one-expired.pem", slices.Concat(valid, secondExpired))
	s.file("set.jwk", slices.Concat([]byte(`{"keys":[`), maskinportentest.JWK("old"), []byte(","), maskinportentest.JWK("new"), []byte("]}")))
	for _, c := range []struct {
		reason, file, key string
		serial, kid, err  string
	}{
		{"a name", "java.p12", "auth", "6", "", ""},
		{"a name in other letters, which Java does not mind", "java.p12", "ANDRE", "7", "", ""},
		{"a serial number", "java.p12", "7", "7", "", ""},
		{"a serial number as openssl prints it", "java.p12", "00:07", "7", "", ""},
		{"several that have expired", "expired.pem", "", "", "", "serial number " + first},
		{"one of several that have expired", "expired.pem", first, first, "", ""},
		{"the expired one rather than the other", "one-expired.pem", second, second, "", ""},
		{"a set of JWKs", "set.jwk", "", "", "", `("old", "new")`},
		{"one of a set of JWKs", "set.jwk", "new", "", "new", ""},
		{"none of a set of JWKs", "set.jwk", "other", "", "", `there is "old", "new"`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			to := "pem"
			if strings.HasSuffix(c.file, ".jwk") {
				to = "jwk"
			}
			r := s.run("convert", c.file, "--to", to, "--key", c.key, "--out", "made", "--force", "-o", "json")
			if c.err != "" {
				if r.status != 1 || !strings.Contains(r.stderr, c.err) {
					t.Errorf("%+v", r)
				}
				return
			}
			var made struct{ Files []inspect.File }
			if err := json.Unmarshal([]byte(s.run("inspect", "-o", "json", "made").stdout), &made); err != nil || r.status != 0 || len(made.Files) != 1 {
				t.Fatalf("%v: %+v", err, r)
			}
			if found := made.Files[0]; len(found.Keys) != 1 || found.Keys[0].Name != c.kid || c.serial != "" && found.Certificates[0].Serial != c.serial {
				t.Errorf("%+v", found)
			}
		})
	}
}

// withNewKey is a certificate with a key of its own, as PEM, and its serial number.
func withNewKey(t *testing.T, c maskinportentest.Certificate) (serial string, content []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c.Key = key
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	chain := c.Chain()
	for _, cert := range chain {
		content = append(content, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return chain[0].SerialNumber.Text(16), content
}

// A JWK keeps its kid, under which it is registered.
func TestConvertKeepsKid(t *testing.T) {
	s := newSetup(t)
	s.file("key.jwk", maskinportentest.JWK("my-key"))
	r := s.run("convert", "key.jwk", "--to", "jwk", "--public", "--out", "-")
	if !strings.Contains(r.stdout, `"kid": "my-key"`) {
		t.Errorf("%+v", r)
	}
}

// An expired certificate can still be converted: the file may be all there is.
func TestConvertExpired(t *testing.T) {
	s := newSetup(t)
	s.file("old.p12", maskinportentest.Certificate{NotBefore: time.Now().AddDate(-4, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}.PKCS12("secret-password"))
	s.file("password.txt", []byte("secret-password"))
	if r := s.run("convert", "old.p12", "--password-file", "password.txt", "--to", "pem"); r.status != 0 {
		t.Error(r.stderr)
	}
}

func TestNewKey(t *testing.T) {
	for _, format := range []string{"jwk", "pem"} {
		t.Run(format, func(t *testing.T) {
			s := newSetup(t)
			r := s.run("keys", "new", "--bits", "2048", "--out", "key", "--format", format, "-o", "json")
			var made struct {
				Kid         string
				PrivateFile string `json:"private_file"`
				Public      map[string]string
			}
			if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || made.PrivateFile != "key" || made.Public["kid"] != made.Kid || made.Public["d"] != "" {
				t.Fatalf("%v: %+v\n%s", err, made, r.stderr)
			}
			content, err := os.ReadFile(filepath.Join(s.dir, "key"))
			if err != nil {
				t.Fatal(err)
			}
			if format == "jwk" {
				if _, err := maskinporten.LoadJWK(content); err != nil {
					t.Errorf("the library does not load it: %v", err)
				}
			}
			if info, _ := os.Stat(filepath.Join(s.dir, "key")); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("the private key has the rights %v", info.Mode())
			}
			if r := s.run("keys", "new", "--out", "key"); r.status != 1 || !strings.Contains(r.stderr, "is there already") {
				t.Errorf("over a file that is there: %+v", r)
			}
		})
	}
}

// What the two commands print.
func TestKeyOutput(t *testing.T) {
	s := newSetup(t)
	s.file("old.p12", maskinportentest.Certificate{}.PKCS12("secret-password"))
	s.file("password.txt", []byte("secret-password"))
	key := s.run("keys", "new", "--bits", "2048", "--kid", "my-key", "--out", "key.jwk")
	key.stdout = publicNumber.ReplaceAllString(key.stdout, `"n": "…"`)
	s.golden("keys/new.text", key)
	key = s.run("keys", "new", "--bits", "2048", "--kid", "my-key", "--out", "key.jwk", "--force", "-o", "json")
	key.stdout = publicNumber.ReplaceAllString(key.stdout, `"n": "…"`)
	s.golden("keys/new.json", key)
	s.golden("convert/pem.text", s.run("convert", "old.p12", "--password-file", "password.txt", "--to", "pem"))
	s.golden("convert/jwk.json", s.run("convert", "old.p12", "--password-file", "password.txt", "--to", "jwk", "--kid", "my-key", "-o", "json"))
	public := s.run("convert", "old.p12", "--password-file", "password.txt", "--to", "jwk", "--kid", "my-key", "--public", "--out", "-")
	public.stdout = publicNumber.ReplaceAllString(public.stdout, `"n": "…"`)
	s.golden("convert/public", public)
}

var publicNumber = regexp.MustCompile(`"n": "[\w-]+"`)
