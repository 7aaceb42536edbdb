package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
)

func (t *tool) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "keys",
		Short:   "Make, register and renew keys of clients",
		Example: "  maskinporten keys new --out key.jwk > public.jwk",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(t.newKeyCommand())
	cmd.AddCommand(t.registeredKeyCommands()...)
	return cmd
}

// newKey is what `keys new` is asked for.
type newKey struct {
	out, kid, format string
	bits             int
	force            bool
}

func (t *tool) newKeyCommand() *cobra.Command {
	var k newKey
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make an RSA key and print its public part, for Samarbeidsportalen",
		Long: `new makes an RSA key with a new UUID as its kid. The private key goes to a file that only its owner can read, the public part to
standard output: register that on the client in Samarbeidsportalen, where keys live a year at most.

A private JWK is what MASKINPORTEN_CLIENT_JWK and --keystore take.`,
		Example: `  maskinporten keys new --out key.jwk > public.jwk
  maskinporten keys new --format pem --bits 4096 --out key.pem`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return t.newKey(k) },
	}
	cmd.Flags().StringVar(&k.out, "out", "maskinporten-key.jwk", "`FILE` for the private key")
	cmd.Flags().StringVar(&k.format, "format", "jwk", "`jwk|pem`: of both parts")
	cmd.Flags().StringVar(&k.kid, "kid", "", "`ID` instead of a new UUID")
	cmd.Flags().IntVar(&k.bits, "bits", 3072, "`2048|3072|4096`: the length of the key")
	cmd.Flags().BoolVar(&k.force, "force", false, "write over a file that is there")
	return cmd
}

// newKeyResult is what `keys new` prints as JSON.
type newKeyResult struct {
	Kid         string    `json:"kid"`
	PrivateFile string    `json:"private_file"`
	Public      publicJWK `json:"public"`
}

// validKid is what Samarbeidsportalen takes as a key's id.
var validKid = regexp.MustCompile(`^[A-Za-z0-9._-]{1,255}$`)

func (t *tool) newKey(k newKey) error {
	switch {
	case k.bits != 2048 && k.bits != 3072 && k.bits != 4096:
		return usageError{errors.New("--bits is 2048, 3072 or 4096")}
	case k.format != "jwk" && k.format != "pem":
		return usageError{errors.New("--format is jwk or pem")}
	case k.kid != "" && !validKid.MatchString(k.kid):
		return usageError{errors.New("--kid may hold letters, digits and ._- alone")}
	}
	if k.kid == "" {
		k.kid = newID()
	}
	t.console.Progress("making a key of %d bits …", k.bits)
	key, err := rsa.GenerateKey(rand.Reader, k.bits)
	t.console.Progress("")
	if err != nil {
		return err
	}
	private := encode(privateKey(key, k.kid))
	public := encode(publicKey(&key.PublicKey, k.kid))
	if k.format == "pem" {
		if private, public, err = pemParts(key); err != nil {
			return err
		}
	}
	if err := writeSecret(k.out, private, k.force); err != nil {
		return err
	}
	if t.console.JSON {
		return t.console.Object(newKeyResult{k.kid, k.out, publicKey(&key.PublicKey, k.kid)})
	}
	t.console.Note("the private key is in %s, its kid is %s; register what follows on the client in Samarbeidsportalen", k.out, k.kid)
	_, err = t.console.Out.Write(public)
	return err
}

func pemParts(key *rsa.PrivateKey) (private, public []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the key: %w", err)
	}
	public, err = publicPEM(&key.PublicKey)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public, err
}

func publicPEM(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}
