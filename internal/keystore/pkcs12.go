package keystore

import (
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// PKCS12 reads a PKCS#12 file. If it has several keys, the one that can sign for
// Maskinporten is taken. With an id the key needs no certificate.
func PKCS12(data []byte, password, id string) (*Key, error) {
	content, err := openPKCS12(data, password)
	if err != nil {
		return nil, err
	}
	return content.Key(id, time.Now())
}

// PKCS12Named is PKCS12 for a file in which more than one key can sign: it takes
// the one with this friendlyName, which Java calls alias.
func PKCS12Named(data []byte, password, friendlyName string) (*Key, error) {
	content, err := openPKCS12(data, password)
	if err != nil {
		return nil, err
	}
	var labels []string
	for _, k := range content.keys {
		labels = append(labels, k.label())
	}
	// Java does not tell capital letters from small ones in an alias.
	content.keys = slices.DeleteFunc(content.keys, func(k namedKey) bool { return !strings.EqualFold(k.name, friendlyName) })
	if len(content.keys) == 0 {
		return nil, fmt.Errorf("%w with the name %s in the file; there is %s", ErrNoKey, quoted(friendlyName), strings.Join(labels[:min(len(labels), maxListed)], ", "))
	}
	content.remedy = "; their names do not tell them apart: export one of them to a file of its own"
	return content.Key("", time.Now())
}

// The commands that make something readable of what is not.
const (
	convertEncryption = "openssl pkcs12 -legacy -in keystore.p12 -nodes -out keystore.pem"
	convertKeystore   = "keytool -importkeystore -srckeystore keystore -srcstoretype %s -destkeystore keystore.p12 -deststoretype PKCS12"
	withBouncyCastle  = " -providerclass org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath bcprov.jar"
)

func openPKCS12(data []byte, password string) (*Content, error) {
	budget := p12.NewBudget()
	store, err := p12.Open(data, password, budget)
	var (
		unsupported *p12.UnsupportedError
		foreign     *p12.ForeignError
	)
	switch {
	case errors.Is(err, p12.ErrPassword):
		return nil, fmt.Errorf("%w for the PKCS#12 file: look for a line break or a space that came along with it", ErrWrongPassword)
	case errors.As(err, &unsupported):
		return nil, fmt.Errorf("%w: %s is not read: convert the file with `%s` and load that with LoadPEM", ErrUnsupportedEncryption, unsupported.What, convertEncryption)
	case errors.As(err, &foreign):
		command := fmt.Sprintf(convertKeystore, foreign.Kind)
		if foreign.Kind != "JKS" && foreign.Kind != "JCEKS" {
			command += withBouncyCastle
		}
		return nil, fmt.Errorf("%w: it is a %s keystore: convert it with `%s`", ErrNotKeystore, foreign.Kind, command)
	case err != nil && looksLikePEM(data):
		return nil, fmt.Errorf("%w: it is PEM: load it with LoadPEM", ErrNotKeystore)
	case err != nil:
		return nil, fmt.Errorf("%w: %v%s", ErrNotKeystore, err, nameNotContent(data))
	case len(store.Keys) == 0:
		held := fmt.Sprintf("%d certificates", len(store.Certificates))
		if len(store.Certificates) == 1 {
			held = "one certificate"
		}
		return nil, fmt.Errorf("%w in the PKCS#12 file: it holds %s; export it again together with the key", ErrNoKey, held)
	}
	c := &Content{budget: budget, remedy: "; take one by its name with LoadPKCS12Key"}
	for _, stored := range store.Certificates {
		// What is no certificate at all is left: it belongs to no key.
		if cert, err := parseCertificate(stored.DER); err == nil {
			cert.name, cert.encryption = stored.FriendlyName, stored.Encryption
			c.add(cert)
		}
	}
	for _, k := range store.Keys {
		key, err := parseStored(k, budget)
		if errors.Is(err, errChecks) {
			return nil, err
		}
		c.keys = append(c.keys, namedKey{k.FriendlyName, k.Encryption, key, err})
	}
	return c, nil
}

func parseStored(k p12.Key, budget *p12.Budget) (crypto.PrivateKey, error) {
	if k.Err != nil {
		return nil, fmt.Errorf("%w for the key: it opens the PKCS#12 file, but the key in it has a password of its own: export the file again with one password for both", ErrWrongPassword)
	}
	key, err := parsePrivateKey(k.PKCS8, budget)
	if err != nil && !errors.Is(err, errChecks) {
		return nil, fmt.Errorf("%w: %w", ErrUnusableKey, err)
	}
	return key, err
}

// nameNotContent is for an error: whether data is the name of a file rather than
// what is in it.
func nameNotContent(data []byte) string {
	name := strings.TrimSpace(string(data[:min(len(data), 300)]))
	if len(data) > 300 || strings.ContainsAny(name, "\n\x00") {
		return ""
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".p12", ".pfx", ".pem", ".crt", ".cer", ".key", ".jwk", ".json":
		return "; it looks like the name of a file, not its content: read the file first, or use PKCS12File, PEMFile or JWKFile"
	}
	return ""
}
