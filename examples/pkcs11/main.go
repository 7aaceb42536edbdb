// Pkcs11 signs with a key that never leaves an HSM. As it is, it makes a
// SoftHSM token with a new key in it (Debian: softhsm2 and opensc) and gets its
// access token from a fake. With PKCS11_MODULE, PKCS11_TOKEN, PKCS11_PIN and
// PKCS11_KEY (module, token label, PIN, key label) the key is one of your own.
//
// It is a module of its own because PKCS #11 takes cgo, which users of the
// library do not need.
package main

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ThalesGroup/crypto11"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// hsm is where the key is.
type hsm struct{ module, token, pin, key string }

func run(ctx context.Context, out io.Writer) (err error) {
	at := hsm{os.Getenv("PKCS11_MODULE"), os.Getenv("PKCS11_TOKEN"), os.Getenv("PKCS11_PIN"), os.Getenv("PKCS11_KEY")}
	if at.module == "" {
		dir, err := os.MkdirTemp("", "softhsm")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if at, err = softHSM(dir, out); err != nil {
			return err
		}
	}

	device, err := crypto11.Configure(&crypto11.Config{Path: at.module, TokenLabel: at.token, Pin: at.pin})
	if err != nil {
		return fmt.Errorf("opening token %q: %w", at.token, err)
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	key, err := device.FindKeyPair(nil, []byte(at.key))
	if err != nil {
		return fmt.Errorf("finding the key: %w", err)
	}
	if key == nil {
		return fmt.Errorf("there is no key with the label %q in token %q", at.key, at.token)
	}
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("the key in the HSM is %T, and Maskinporten takes RSA only", key.Public())
	}
	fmt.Fprintf(out, "key:          RSA, %d bits, as a %T\n", public.N.BitLen(), key)

	// An issuer makes the certificate from a request signed with the key. Here it is issued under the fake's test CA, which
	// needs the public key alone.
	fake := maskinportentest.NewServer()
	defer fake.Close()
	chain := maskinportentest.Certificate{Key: &rsa.PrivateKey{PublicKey: *public}}.Chain()

	// From here on it is as with any other key.
	cred, err := maskinporten.NewCredential(key, chain...)
	if err != nil {
		return err
	}
	cfg := fake.Config()
	cfg.Credential = cred
	client, err := maskinporten.New(cfg)
	if err != nil {
		return err
	}
	token, err := client.Token(ctx, maskinporten.Request{Scope: "skatteetaten:inntekt"})
	if err != nil {
		return err
	}
	verifier, err := resourceserver.NewVerifier(cfg.Environment, cfg.HTTPClient)
	if err != nil {
		return err
	}
	claims, err := verifier.Verify(ctx, token.AccessToken())
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "certificate: ", cred)
	fmt.Fprintln(out, "scope:       ", claims.Scopes)
	fmt.Fprintln(out, "consumer:    ", claims.Consumer)
	return nil
}

// softHSM makes a token in dir and a key of 3072 bits in the token.
func softHSM(dir string, out io.Writer) (hsm, error) {
	at := hsm{token: "maskinporten", pin: "1234", key: "virksomhetssertifikat"}
	for _, module := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(module); err == nil {
			at.module = cmp.Or(at.module, module)
		}
	}
	if at.module == "" {
		return at, errors.New("SoftHSM is not installed: apt-get install softhsm2 opensc")
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nlog.level = ERROR\n"), 0o600); err != nil {
		return at, err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil { // read by the module, in this process too
		return at, err
	}
	for _, command := range []string{
		"softhsm2-util --init-token --free --label maskinporten --pin 1234 --so-pin 5678",
		"pkcs11-tool --module " + at.module + " --login --pin 1234 --keypairgen --key-type rsa:3072 --usage-sign --label virksomhetssertifikat --id 01",
		"pkcs11-tool --module " + at.module + " --login --pin 1234 --list-objects --type privkey",
	} {
		fmt.Fprintln(out, "$", command)
		args := strings.Fields(command)
		said, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return at, fmt.Errorf("%s: %w: %s", args[0], err, said)
		}
		fmt.Fprintf(out, "%s", said)
	}
	return at, nil
}
