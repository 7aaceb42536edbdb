package main

import (
	"bytes"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
)

// conversion is what `convert` is asked for.
type conversion struct {
	to, out, kid    string
	key             string // by name or serial number
	passwordFiles   []string
	outPasswordFile string
	public, force   bool
}

func (t *tool) convertCommand() *cobra.Command {
	var c conversion
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "Make a keystore of any kind into PKCS#12, PEM or a JWK",
		Long: `convert reads a keystore that the library reads, takes the key that can sign for Maskinporten and its chain, and writes them as a
PKCS#12 file of today (AES-256), as PEM, or as a JWK. If more than one can sign, --key takes one. The file can be read by its
owner alone, and none is written over without --force.`,
		Example: `  maskinporten convert old.p12 --password-file password.txt --to p12 --out new.p12
  maskinporten convert java.p12 --password-file - --to pem --key auth
  maskinporten convert cert.p12 --password-file password.txt --to jwk --kid my-key --public --out -`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return t.convert(args[0], c) },
	}
	cmd.Flags().StringVar(&c.to, "to", "", "`p12|pem|jwk`: what to make of it")
	cmd.Flags().StringVar(&c.out, "out", "", "`FILE` to write; - for standard output (default: FILE with another ending)")
	cmd.Flags().StringArrayVar(&c.passwordFiles, "password-file", nil, "`FILE` with the keystore's password; - for standard input")
	cmd.Flags().StringVar(&c.outPasswordFile, "out-password-file", "", "`FILE` with the password of the PKCS#12 file to write (default: the same)")
	cmd.Flags().StringVar(&c.key, "key", "", "`NAME` of the key to take, if more than one can sign: its friendlyName (alias) or kid, or its certificate's serial number")
	cmd.Flags().StringVar(&c.kid, "kid", "", "`ID` of the JWK (default: its own, or a new UUID)")
	cmd.Flags().BoolVar(&c.public, "public", false, "the public part alone, for Samarbeidsportalen: of pem and jwk")
	cmd.Flags().BoolVar(&c.force, "force", false, "write over a file that is there")
	return cmd
}

// convertResult is what `convert` prints as JSON.
type convertResult struct {
	File string `json:"file"`
	Kid  string `json:"kid,omitempty"`
}

func (t *tool) convert(path string, c conversion) error {
	endings := map[string]string{"p12": ".p12", "pem": ".pem", "jwk": ".jwk"}
	switch {
	case endings[c.to] == "":
		return usageError{errors.New("--to is p12, pem or jwk")}
	case c.public && c.to == "p12":
		return usageError{errors.New("--public is for pem and jwk")}
	case t.console.JSON && c.out == "-":
		return usageError{errors.New("standard output cannot be both the file and JSON: give --out FILE")}
	}
	passwords, err := t.passwords(c.passwordFiles, []string{path})
	if err != nil {
		return err
	}
	data, err := readInput(path)
	if err != nil {
		return err
	}
	key, password, err := openForConversion(data, passwords, c.key)
	if errors.Is(err, keystore.ErrAmbiguousKey) {
		return fmt.Errorf("%s: %w; take one with --key, by its name, serial number or kid", path, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if c.kid != "" {
		key = key.WithID(c.kid)
	}
	if c.outPasswordFile != "" {
		read, err := t.passwords([]string{c.outPasswordFile}, []string{path})
		if err != nil {
			return err
		}
		password = read[0]
	}
	content, kid, err := c.content(key, password)
	if err != nil {
		return err
	}
	if c.out == "-" {
		_, err := t.console.Out.Write(content)
		return err
	}
	if c.out == "" {
		c.out = strings.TrimSuffix(path, filepath.Ext(path)) + endings[c.to]
	}
	if err := writeSecret(c.out, content, c.force); err != nil {
		return err
	}
	if t.console.JSON {
		return t.console.Object(convertResult{c.out, kid})
	}
	note := "written to " + c.out
	if kid != "" {
		note += ", with the kid " + kid
	}
	t.console.Note("%s", note)
	return nil
}

// openForConversion opens with the passwords there are. That the certificate
// has expired, or is not valid yet, does not matter here.
func openForConversion(data []byte, passwords []string, name string) (key *keystore.Key, password string, err error) {
	var content *keystore.Content
	for _, password = range slices.Concat(passwords, []string{""}) {
		if content, err = keystore.OpenOne(data, password, name); !errors.Is(err, keystore.ErrWrongPassword) {
			break
		}
	}
	if err != nil {
		return nil, "", err
	}
	key, err = content.Key("", time.Now())
	switch {
	case err == nil:
		return key, password, nil
	case len(content.Certificates) == 0 && len(content.Keys()) == 1:
		key, err = content.Key(newID(), time.Now())
		return key, password, err
	case !errors.Is(err, keystore.ErrCertificateExpired) && !errors.Is(err, keystore.ErrCertificateNotYetValid):
		return nil, "", err
	}
	for _, c := range content.Certificates {
		then, again := content.Key("", c.NotBefore.Add(time.Second))
		if again == nil || errors.Is(again, keystore.ErrAmbiguousKey) {
			return then, password, again
		}
	}
	return nil, "", err
}

// content is the file to write, and the kid if it has one.
func (c conversion) content(key *keystore.Key, password string) (content []byte, kid string, err error) {
	private, ok := key.Signer().(*rsa.PrivateKey)
	if !ok {
		return nil, "", errors.New("the key is not RSA")
	}
	switch c.to {
	case "p12":
		if len(key.Chain) == 0 {
			return nil, "", errors.New("there is no certificate, which a PKCS#12 file is for: make it into pem or jwk")
		}
		if password == "" {
			return nil, "", errors.New("a keystore without a password is one for everybody: give --out-password-file")
		}
		content, err := pkcs12.Modern.Encode(private, key.Chain[0], key.Chain[1:], password)
		return content, "", err
	case "jwk":
		kid := key.ID
		if kid == "" {
			kid = newID()
		}
		if c.public {
			return encode(publicKey(&private.PublicKey, kid)), kid, nil
		}
		return encode(privateKey(private, kid)), kid, nil
	}
	if c.public {
		content, err := publicPEM(&private.PublicKey)
		return content, "", err
	}
	content, _, err = pemParts(private)
	var all bytes.Buffer
	all.Write(content)
	for _, cert := range key.Chain {
		pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	return all.Bytes(), "", err
}
