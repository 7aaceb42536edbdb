// Interop has clients that others wrote get tokens from the fake Maskinporten,
// over TLS and by its CA: npm's maskinporten-jwt, @vtfk/maskinporten-auth and
// openid-client, PyJWT, Authlib, and curl with openssl. Each gets a token from a
// fake as deployed, and is refused for one fault with the code that is right for
// it.
//
//	go run ./maskinportentest/interop
//
// What a client needs must be on the machine: node and npm, Debian's
// python3-jwt, python3-authlib and python3-requests, openssl, curl. One that
// lacks something was not tried, and is said to be; with -require all that is an
// error. The npm packages are installed for the run, as package-lock.json names
// them.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

//go:embed clients
var scripts embed.FS

// client is a client that others wrote.
type client struct {
	name    string
	needs   []string // commands that must succeed for it to be tried
	install []string
	run     []string
	id      string // the client that it is

	fault    string // what is wrong the second time
	spoil    func(*world)
	mp, says string // how that is refused
}

const (
	withCertificate = maskinportentest.DefaultClientID
	withKey         = "interop-key"
	foreign         = "interop-foreign"
	scope           = "interop:token"
)

func main() {
	require := flag.String("require", "", "all: a client that was not tried is an error")
	flag.Parse()
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		log.Fatal(err)
	}
	failed, skipped := run(dir)
	os.RemoveAll(dir)
	switch {
	case failed > 0:
		log.Fatalf("%d failed", failed)
	case skipped > 0 && *require == "all":
		log.Fatalf("%d not tried", skipped)
	}
}

func run(dir string) (failed, skipped int) {
	w, err := newWorld(dir)
	if err != nil {
		log.Printf("setting up: %v", err)
		return 1, 0
	}
	defer w.fake.Close()
	for _, c := range clients() {
		err := w.try(c)
		var missing *missingError
		switch {
		case errors.As(err, &missing):
			fmt.Printf("not tried  %-25s %v\n", c.name, err)
			skipped++
		case err != nil:
			fmt.Printf("FAILED     %-25s %v\n", c.name, err)
			failed++
		default:
			fmt.Printf("ok         %-25s token with %d warnings; %s: %s\n", c.name, w.warnings, c.fault, w.refusal)
		}
	}
	return failed, skipped
}

func clients() []client {
	npm := []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"}
	node := []string{"node --version", "npm --version"}
	python := pythonCommand()
	return []client{
		{
			name: "maskinporten-jwt", needs: node, install: npm, run: []string{"node", "maskinporten-jwt.mjs"}, id: withKey,
			fault: "scope not on the client", spoil: func(w *world) { w.env["SCOPE"] = "interop:other" }, mp: "MP-200",
		},
		{
			name: "@vtfk/maskinporten-auth", needs: node, install: npm, run: []string{"node", "vtfk.mjs"}, id: withCertificate,
			fault: "certificate of another organisation", mp: "MP-122",
			spoil: func(w *world) {
				w.fake.AddClient(maskinportentest.Integration{ID: withCertificate, OrgNumber: "313367002"})
			},
		},
		{
			name: "openid-client", needs: node, install: npm, run: []string{"node", "openid-client.mjs"}, id: withKey,
			fault: "the token endpoint as aud", spoil: func(w *world) { w.env["AUDIENCE"] = w.fake.Environment().TokenURL }, mp: "MP-110",
		},
		{
			name: "PyJWT", needs: []string{python + " -c 'import jwt, cryptography'"}, run: []string{python, "pyjwt.py"}, id: withCertificate,
			fault: "a grant of five minutes ago", spoil: func(w *world) { w.env["OFFSET"] = "-300" }, mp: "MP-130",
		},
		{
			name: "Authlib", needs: []string{python + " -c 'import authlib, requests'"}, run: []string{python, "authlib_client.py"}, id: withKey,
			fault: "a kid that is not registered", spoil: func(w *world) { w.env["KID"] = "unknown" }, says: "Unknown key identifier (kid) for client",
		},
		{
			name: "curl with openssl", needs: []string{"curl --version", "openssl version", "bash --version"}, run: []string{"bash", "curl.sh"}, id: foreign,
			fault: "a signature that lost its end", spoil: func(w *world) { w.env["CUT"] = "3" }, mp: "MP-124",
		},
	}
}

// pythonCommand is the python that Debian's packages are for, where there is one.
func pythonCommand() string {
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		return "/usr/bin/python3"
	}
	return "python3"
}

// missingError is why a client was not tried.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what + " does not work here" }

// try has a client get a token, and then be refused.
func (w *world) try(c client) error {
	for _, need := range c.needs {
		if err := exec.Command("sh", "-c", need).Run(); err != nil {
			return &missingError{need}
		}
	}
	if c.install != nil && !w.installed {
		if out, err := w.command(c.install).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c.install, " "), err, out)
		}
		w.installed = true
	}
	if err := w.reset(c.id); err != nil {
		return err
	}
	before := w.fake.TokenRequests()
	out, err := w.command(c.run).CombinedOutput()
	grant := w.fake.LastGrant()
	if w.fake.TokenRequests() == before {
		return fmt.Errorf("nothing was asked for: %v\n%s", err, beginning(out))
	}
	if err != nil || !grant.Accepted() {
		return fmt.Errorf("no token: %v; %v\n%s", grant, err, beginning(out))
	}
	w.warnings = len(grant.Warnings)

	if err := w.reset(c.id); err != nil {
		return err
	}
	c.spoil(w)
	before = w.fake.TokenRequests()
	out, err = w.command(c.run).CombinedOutput()
	grant = w.fake.LastGrant()
	switch {
	case err == nil:
		return fmt.Errorf("%s: the client says that all is well\n%s", c.fault, beginning(out))
	case w.fake.TokenRequests() == before:
		return fmt.Errorf("%s: nothing was asked for: %w\n%s", c.fault, err, beginning(out))
	case grant.MPCode != c.mp || !strings.Contains(grant.Description, c.says):
		return fmt.Errorf("%s: %v\n%s", c.fault, grant, beginning(out))
	}
	w.refusal = strings.TrimSpace(grant.Code + " " + grant.MPCode)
	return nil
}

// beginning is enough of what a client printed: some print all that they hold.
func beginning(out []byte) []byte { return out[:min(len(out), 500)] }

// world is the fake, and what clients are told of it.
type world struct {
	fake      *maskinportentest.Fake
	dir       string
	env       map[string]string
	files     map[string]string // variables that name files
	installed bool
	warnings  int
	refusal   string
}

func newWorld(dir string) (*world, error) {
	w := &world{fake: maskinportentest.NewTLSServer(), dir: dir, files: make(map[string]string)}
	w.fake.AsDeployed()
	clients, err := fs.Sub(scripts, "clients")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, clients); err != nil {
		return nil, err
	}

	// A key of one's own, registered as a public key in PEM.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	w.fake.AddClient(maskinportentest.Integration{
		ID: withKey, Scopes: []string{scope},
		Keys: []maskinportentest.Key{{ID: "interop-1", Data: encode("PUBLIC KEY", public)}},
	})
	if err := w.writeKey("KEY_PEM", key); err != nil {
		return nil, err
	}

	// A certificate of the fake's, as PEM files.
	certificate := maskinportentest.Certificate{Key: key}
	var chain bytes.Buffer
	for _, c := range certificate.Chain() {
		chain.Write(encode("CERTIFICATE", c.Raw))
	}
	w.files["CERT_KEY_PEM"] = w.files["KEY_PEM"]
	if err := w.write("CERT_CHAIN_PEM", "chain.pem", chain.Bytes()); err != nil {
		return nil, err
	}
	return w, w.foreignStore()
}

// foreignStore has OpenSSL make a CA and a .p12 file under it, which the fake is
// told to trust. Without OpenSSL there is none, and its client is not tried.
func (w *world) foreignStore() error {
	w.fake.AddClient(maskinportentest.Integration{ID: foreign})
	if exec.Command("openssl", "version").Run() != nil {
		return nil
	}
	const script = `set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out foreign-ca.pem -subj "/C=NO/O=Another/CN=Another CA" -addext keyUsage=critical,keyCertSign,cRLSign
openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj "/C=NO/O=Pensjon/organizationIdentifier=NTRNO-` + maskinportentest.DefaultOrgNumber + `/CN=Pensjon"
printf 'keyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n' > leaf.ext
openssl x509 -req -in leaf.csr -CA foreign-ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem
openssl pkcs12 -export -inkey leaf.key -in leaf.pem -certfile foreign-ca.pem -passout pass:passord -out foreign.p12`
	if out, err := w.command([]string{"sh", "-c", script}).CombinedOutput(); err != nil {
		return fmt.Errorf("openssl: %w\n%s", err, out)
	}
	ca, err := os.ReadFile(filepath.Join(w.dir, "foreign-ca.pem"))
	if err != nil {
		return err
	}
	w.fake.TrustCA(ca)
	w.files["FOREIGN_P12"] = filepath.Join(w.dir, "foreign.p12")
	return nil
}

// reset has all be well again, for the client with this id.
func (w *world) reset(id string) error {
	w.fake.AddClient(maskinportentest.Integration{ID: withCertificate})
	w.env = map[string]string{
		"MASKINPORTEN_ISSUER":         w.fake.Environment().Issuer,
		"MASKINPORTEN_TOKEN_ENDPOINT": w.fake.Environment().TokenURL,
		"AUDIENCE":                    w.fake.Environment().Issuer,
		"SCOPE":                       scope,
		"KID":                         "interop-1",
		"FOREIGN_PASSWORD":            "passord",
	}
	// The certificate's variables also name the CA, for all.
	variables, err := w.fake.WriteEnvironment(filepath.Join(w.dir, "env"), withCertificate)
	if err != nil {
		return err
	}
	for _, more := range []map[string]string{variables, w.files} {
		for name, value := range more {
			w.env[name] = value
		}
	}
	w.env["REQUESTS_CA_BUNDLE"] = w.env["SSL_CERT_FILE"]
	w.env["MASKINPORTEN_CLIENT_ID"] = id
	return nil
}

// command runs in the folder of the scripts, with the variables.
func (w *world) command(argv []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = w.dir
	cmd.Env = os.Environ()
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func (w *world) write(variable, name string, data []byte) error {
	w.files[variable] = filepath.Join(w.dir, name)
	return os.WriteFile(w.files[variable], data, 0o600)
}

func (w *world) writeKey(variable string, key *rsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return w.write(variable, "key.pem", encode("PRIVATE KEY", der))
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
