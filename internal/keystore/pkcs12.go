package keystore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// PKCS12 reads a PKCS#12 file. If it has several keys, the one that can sign for
// Maskinporten is taken.
func PKCS12(data []byte, password string) (*Key, error) {
	store, err := openPKCS12(data, password)
	if err != nil {
		return nil, err
	}
	return choose(keysOf(store), store.Certificates, time.Now(), "take one by its name with LoadPKCS12Key")
}

// PKCS12Named is PKCS12 for a file in which more than one key can sign: it takes
// the one with this friendlyName, which Java calls alias.
func PKCS12Named(data []byte, password, friendlyName string) (*Key, error) {
	store, err := openPKCS12(data, password)
	if err != nil {
		return nil, err
	}
	// Java does not tell capital letters from small ones in an alias.
	others := func(k namedKey) bool { return !strings.EqualFold(k.name, friendlyName) }
	keys := slices.DeleteFunc(keysOf(store), others)
	if len(keys) == 0 {
		var labels []string
		for _, k := range keysOf(store) {
			labels = append(labels, k.label())
		}
		return nil, fmt.Errorf("%w with the name %s in the file; there is %s", ErrNoKey, quoted(friendlyName), strings.Join(labels, ", "))
	}
	return choose(keys, store.Certificates, time.Now(), "their names do not tell them apart: export one of them to a file of its own")
}

func keysOf(store *p12.Store) (keys []namedKey) {
	for _, k := range store.Keys {
		keys = append(keys, namedKey{k.FriendlyName, k.PrivateKey})
	}
	return keys
}

// The commands that make something readable of what is not.
const (
	convertEncryption = "openssl pkcs12 -legacy -in keystore.p12 -nodes -out keystore.pem"
	convertKeystore   = "keytool -importkeystore -srckeystore keystore -srcstoretype %s -destkeystore keystore.p12 -deststoretype PKCS12"
	withBouncyCastle  = " -providerclass org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath bcprov.jar"
)

func openPKCS12(data []byte, password string) (*p12.Store, error) {
	store, err := p12.Open(data, password)
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
		return nil, fmt.Errorf("%w: %v", ErrNotKeystore, err)
	case len(store.Keys) == 0:
		return nil, fmt.Errorf("%w in the PKCS#12 file: it holds %d certificates; export it again together with the key", ErrNoKey, len(store.Certificates))
	}
	return store, nil
}
