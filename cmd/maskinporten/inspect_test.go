package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// The three files of an issuer, and which of them to use.
func TestInspectThreeFiles(t *testing.T) {
	s := newSetup(t)
	s.file("auth.p12", maskinportentest.Certificate{}.PKCS12("secret-password"))
	s.file("sign.p12", maskinportentest.Certificate{KeyUsage: x509.KeyUsageContentCommitment}.PKCS12("secret-password"))
	s.file("enc.p12", maskinportentest.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment}.PKCS12("secret-password"))
	s.file("password.txt", []byte("secret-password\r\n"))
	args := []string{"inspect", "--password-file", "password.txt", "sign.p12", "auth.p12", "enc.p12"}
	r := s.run(args...)
	s.golden("inspect/three-files.text", r)
	s.golden("inspect/three-files.json", s.run(append(args, "-o", "json")...))
	if !strings.Contains(r.stdout, "auth.p12: use this one") {
		t.Errorf("not told which to use:\n%s", r.stdout)
	}
}

// A keystore of Java, with names and two keys; one whose certificates have
// another encryption than the key; and one without a key.
func TestInspectTable(t *testing.T) {
	for name, file := range map[string]string{"two-keys": "keytool-two-usable-keys", "two-encryptions": "openssl-legacy", "trust-store": "keytool-trust-store"} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "changeit"
			content, err := os.ReadFile("../../testdata/keystores/" + file + ".p12")
			if err != nil {
				t.Fatal(err)
			}
			s.file("keystore.p12", content)
			r := s.run("inspect", "keystore.p12")
			s.golden("inspect/"+name, r)
			rows, _, _ := strings.Cut(r.stdout, "→")
			for _, line := range strings.Split(rows, "\n") {
				if !strings.HasPrefix(line, "      ") && len([]rune(line)) > 120 {
					t.Errorf("a row of %d columns: %s", len([]rune(line)), line)
				}
			}
		})
	}
}

func TestInspectKinds(t *testing.T) {
	chain := maskinportentest.Certificate{}.Chain()
	for _, c := range []struct {
		name, file string
		content    []byte
	}{
		{"certificate", "cert.cer", chain[0].Raw},
		{"certificate-base64", "cert.txt", []byte(base64.StdEncoding.EncodeToString(chain[0].Raw))},
		{"jwk", "key.jwk", maskinportentest.JWK("my-key")},
		{"jwk-without-kid", "key.jwk", maskinportentest.JWK("")},
		{"expired", "old.p12", maskinportentest.Certificate{NotBefore: time.Now().AddDate(-4, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}.PKCS12("secret-password")},
		{"empty", "empty", nil},
		{"unknown", "picture.png", []byte("\x89PNG\r\n\x1a\n0123456789")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t)
			s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "secret-password"
			s.file(c.file, c.content)
			s.golden("inspect/"+c.name, s.run("inspect", c.file))
		})
	}
}

func TestInspectWrongPassword(t *testing.T) {
	s := newSetup(t)
	s.file("cert.p12", maskinportentest.Certificate{}.PKCS12("secret-password"))
	s.golden("inspect/no-password", s.run("inspect", "cert.p12"))
	s.stdin = "secret-passwort\n"
	s.golden("inspect/wrong-password", s.run("inspect", "--password-file", "-", "cert.p12"))
}

func TestInspectPKCS7(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not here to make a PKCS#7 file with")
	}
	s := newSetup(t)
	s.file("cert.p12", maskinportentest.Certificate{}.PKCS12("secret-password"))
	s.file("password.txt", []byte("secret-password"))
	if r := s.run("convert", "cert.p12", "--password-file", "password.txt", "--to", "pem"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	for _, form := range []string{"PEM", "DER"} {
		cmd := exec.Command("openssl", "crl2pkcs7", "-nocrl", "-certfile", "cert.pem", "-outform", form, "-out", "chain.p7b")
		cmd.Dir = s.dir
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		s.golden("inspect/pkcs7", s.run("inspect", "chain.p7b"))
	}
}

func TestInspectToken(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.stdin = s.run("token", "--consumer-org", "974760673").stdout
	s.golden("inspect/token", s.run("inspect", "-"))
	s.golden("inspect/token-verified", s.run("inspect", "--verify", "-"))
	s.golden("inspect/token.json", s.run("inspect", "--verify", "-o", "json", "-"))
	// A header of a call will do as well.
	s.stdin = "Authorization: Bearer " + s.stdin
	if r := s.run("inspect", "-"); r.status != 0 || !strings.Contains(r.stdout, "access token") {
		t.Errorf("a header: %+v", r)
	}
	fake.RevokeTokens()
	if r := s.run("inspect", "--verify", "-"); r.status != 1 || !strings.Contains(r.stdout, "signature") && !strings.Contains(r.stdout, "key") {
		t.Errorf("a token of a key that is gone: %+v", r)
	}
}

// Nothing of a token, an assertion or a key is printed, nor a person's number.
func TestInspectPrintsNoSecret(t *testing.T) {
	s := newSetup(t)
	key := clientKey()
	assertion := sign(t, key, nil, jwt.MapClaims{"pid": "12345678901", "iss": "client", "aud": "https://maskinporten.no/", "scope": "a:b",
		"authorization_details": []any{map[string]any{"type": "urn:altinn:consent", "id": "1", "from": "urn:altinn:person:identifier-no:12345678901"}}})
	jwk := maskinportentest.JWK("kid")
	var numbers map[string]string
	if err := json.Unmarshal(jwk, &numbers); err != nil {
		t.Fatal(err)
	}
	secrets := []string{assertion, "12345678901", strings.Split(assertion, ".")[2], numbers["d"], numbers["p"], numbers["q"]}
	for _, content := range []string{assertion, string(jwk)} {
		for _, output := range []string{"text", "json"} {
			s.stdin = content
			r := s.run("inspect", "-o", output, "-")
			for _, secret := range secrets {
				if strings.Contains(r.stdout+r.stderr, secret) {
					t.Errorf("%.20s… was printed:\n%s%s", secret, r.stdout, r.stderr)
				}
			}
		}
	}
}

// sign makes an assertion with whatever header and claims.
func sign(t *testing.T, key *rsa.PrivateKey, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	delete(token.Header, "typ")
	for name, value := range header {
		token.Header[name] = value
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestInspectAssertion(t *testing.T) {
	ca := newAuthority(t, "Buypass Class 3 Test4 CA G2 ST Business")
	leaf := ca.enterprise("", "")
	x5c := []string{base64.StdEncoding.EncodeToString(leaf.Raw), base64.StdEncoding.EncodeToString(ca.cert.Raw)}
	now := time.Now().Unix()
	good := func(changes jwt.MapClaims) jwt.MapClaims {
		claims := jwt.MapClaims{"aud": "https://test.maskinporten.no/", "iss": "client", "scope": "skatteetaten:inntekt", "iat": now, "exp": now + 120, "jti": "1"}
		for name, value := range changes {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		return claims
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason string
		key    *rsa.PrivateKey
		header map[string]any
		claims jwt.MapClaims
		seen   string
	}{
		{"as it should be", nil, map[string]any{"x5c": x5c}, good(nil), "an assertion as Digdir documents it"},
		{"registered key", nil, map[string]any{"kid": "k"}, good(nil), "an assertion as Digdir documents it"},
		{"the token endpoint as aud", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"aud": "https://test.maskinporten.no/token"}), "aud is the token endpoint"},
		{"aud as an array", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"aud": []string{"https://test.maskinporten.no/"}}), "aud is not one string"},
		{"no slash", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"aud": "https://test.maskinporten.no"}), "aud lacks the slash"},
		{"lives too long", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"exp": now + 600}), "exp is 10m0s after iat, and 120 seconds are the most"},
		{"from the future", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"iat": now + 100, "exp": now + 200}), "iat is"},
		{"undocumented", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"nbf": now, "sub": "x"}), "nbf is not documented: leave it out; sub is not documented"},
		{"no scope", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"scope": nil}), "scope is missing"},
		{"customer with a typing error", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"consumer_org": "123456789"}), "consumer_org is not an organisation number"},
		{"deprecated beside its successor", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"consumer_org": "974760673", "iss_onbehalfof": "x"}), "iss_onbehalfof cannot stand together with consumer_org"},
		{"resource as a string", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"resource": "https://api.example.no"}), "resource is not an array"},
		{"both", nil, map[string]any{"x5c": x5c, "kid": "k"}, good(nil), "kid stands beside x5c"},
		{"neither", nil, nil, good(nil), "kid is missing, and x5c too"},
		{"leaf alone", nil, map[string]any{"x5c": x5c[:1]}, good(nil), "x5c holds the leaf alone"},
		{"wrong order", nil, map[string]any{"x5c": []string{x5c[1], x5c[0]}}, good(nil), "x5c is not in order"},
		{"x5c as a string", nil, map[string]any{"x5c": x5c[0]}, good(nil), "x5c is not an array of strings (MP-123)"},
		{"another key", stranger, map[string]any{"x5c": x5c}, good(nil), "was not made by the key of the first certificate (MP-124)"},
		{"unknown type of details", nil, map[string]any{"kid": "k"}, good(jwt.MapClaims{"authorization_details": []any{map[string]any{"type": "urn:x"}}}), "(MP-301)"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newSetup(t)
			key := c.key
			if key == nil {
				key = clientKey()
			}
			s.stdin = sign(t, key, c.header, c.claims)
			r := s.run("inspect", "-o", "json", "-")
			var found struct {
				Files []struct {
					Kind    string
					Verdict struct{ Text string }
				}
			}
			if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || len(found.Files) != 1 || found.Files[0].Kind != "assertion" {
				t.Fatalf("%v\n%s%s", err, r.stdout, r.stderr)
			}
			if text := found.Files[0].Verdict.Text; !strings.Contains(text, c.seen) {
				t.Errorf("verdict %q, want %q in it", text, c.seen)
			}
		})
	}
}

// The keystores that the library's tests have, of nine tools, are all explained.
// Those whose tools iterate a hundred thousand times are left to the library.
func TestInspectKeystores(t *testing.T) {
	all, err := filepath.Glob("../../testdata/keystores/*.*")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"inspect", "-o", "json"}
	for _, file := range all {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "nss-") || strings.HasPrefix(name, "gnutls-") || strings.HasPrefix(name, "bc-") || strings.Contains(name, "iter") {
			continue
		}
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	s := newSetup(t)
	s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "changeit"
	r := s.run(args...)
	var found struct {
		Files []struct {
			File, Kind string
			Verdict    struct{ Text string }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || len(found.Files) < 70 {
		t.Fatalf("%d files, %v: %s", len(found.Files), err, r.stderr)
	}
	for _, f := range found.Files {
		if f.Verdict.Text == "" {
			t.Errorf("%s (%s): no verdict", f.File, f.Kind)
		}
	}
}
