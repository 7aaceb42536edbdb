package maskinportentest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// WriteEnvironment writes what another process needs to be the client with this
// id into the folder dir, which it makes, and returns the variables that name
// it: those that [maskinporten.ConfigFromEnv] reads, the address of the
// self-service API for the tool, and with TLS also SSL_CERT_FILE and
// NODE_EXTRA_CA_CERTS. The client signs with a new
// virksomhetssertifikat of its owner, or, if it has keys registered, with the
// one of [KeyCredential]. The files are for their owner alone (0600).
func (f *Fake) WriteEnvironment(dir, clientID string) (map[string]string, error) {
	client, ok := f.client(clientID)
	if !ok {
		return nil, fmt.Errorf("maskinportentest: no client %q", clientID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("maskinportentest: %w", err)
	}
	variables := map[string]string{
		"MASKINPORTEN_ISSUER":           f.env.Issuer,
		"MASKINPORTEN_TOKEN_ENDPOINT":   f.env.TokenURL,
		"MASKINPORTEN_JWKS_URI":         f.env.JWKSURL,
		"MASKINPORTEN_SELF_SERVICE_URL": f.SelfService().URL(),
		"MASKINPORTEN_CLIENT_ID":        clientID,
	}
	write := func(variable, name string, data []byte) error {
		path := filepath.Join(dir, name)
		variables[variable] = path
		return os.WriteFile(path, data, 0o600)
	}
	var err error
	if i := slices.IndexFunc(client.Keys, func(k Key) bool { return k.Public.Equal(sharedKey().Public()) }); i >= 0 {
		variables["MASKINPORTEN_CLIENT_JWK"] = string(JWK(client.Keys[i].ID))
	} else if len(client.Keys) > 0 {
		return nil, fmt.Errorf("maskinportentest: the keys of client %q are its own: only it can sign with them", clientID)
	} else {
		password := randomID()
		variables["MASKINPORTEN_KEYSTORE_PASSWORD"] = password
		store := Certificate{OrgNumber: client.OrgNumber, Production: f.authority.production}.PKCS12(password)
		err = write("MASKINPORTEN_KEYSTORE_PATH", "virksomhetssertifikat.p12", store)
	}
	if err == nil && f.secure() {
		err = write("SSL_CERT_FILE", "ca.pem", f.CA())
		variables["NODE_EXTRA_CA_CERTS"] = variables["SSL_CERT_FILE"]
	}
	if err != nil {
		return nil, fmt.Errorf("maskinportentest: %w", err)
	}
	return variables, nil
}
