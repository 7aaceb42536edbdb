// Package fakeapi lets the examples run as they are: without any configuration
// it starts a fake Maskinporten and fakes of the APIs they call, which answer
// in the shapes that Skatteetaten and NAV document, their errors too.
package fakeapi

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// Synthetic persons and organisations, as tests use them.
const (
	Person        = "25922947409"
	UnknownPerson = "01929299999"
	Employer      = "313367002"

	// NotDelegated is a customer that has not delegated its access to the
	// supplier.
	NotDelegated = "310149942"
)

// Start returns api as it is if MASKINPORTEN_CLIENT_ID is set: then the example
// runs against the environment that the variables describe. Else it starts the
// fakes, sets the variables for them, with a .p12 file and its password, and
// returns api at the fake's address.
func Start(api apis.API) (at apis.API, stop func()) {
	if os.Getenv("MASKINPORTEN_CLIENT_ID") != "" {
		return api, func() {}
	}
	fake := maskinportentest.NewServer()
	fake.Undelegate(api.Scope, NotDelegated, maskinportentest.DefaultOrgNumber)
	dir, err := os.MkdirTemp("", "maskinporten-example")
	if err != nil {
		log.Fatal(err)
	}
	const password = "passord"
	keystore := filepath.Join(dir, "virksomhetssertifikat.p12")
	if err := os.WriteFile(keystore, maskinportentest.Certificate{}.PKCS12(password), 0o600); err != nil {
		log.Fatal(err)
	}
	env := fake.Environment()
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "MASKINPORTEN_") {
			os.Unsetenv(name) // half a configuration would contradict the fake's
		}
	}
	for name, value := range map[string]string{
		"MASKINPORTEN_ISSUER":            env.Issuer,
		"MASKINPORTEN_TOKEN_ENDPOINT":    env.TokenURL,
		"MASKINPORTEN_JWKS_URI":          env.JWKSURL,
		"MASKINPORTEN_CLIENT_ID":         maskinportentest.DefaultClientID,
		"MASKINPORTEN_KEYSTORE_PATH":     keystore,
		"MASKINPORTEN_KEYSTORE_PASSWORD": password,
		"MASKINPORTEN_SCOPES":            api.Scope,
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	server := httptest.NewServer(handler(fake, api))
	log.SetFlags(0)
	log.Printf("(fakes are answering; set MASKINPORTEN_CLIENT_ID and the other variables to call %s)\n\n", api.TestURL)
	return api.At(server.URL + "/v1"), func() {
		server.Close()
		fake.Close()
		os.RemoveAll(dir)
	}
}

func handler(fake *maskinportentest.Fake, api apis.API) http.Handler {
	mux := http.NewServeMux()
	if api.Scope == apis.NAVAaregOTP.Scope {
		mux.Handle("/v1", Aareg(fake))
		return mux
	}
	mux.Handle("/v1/", http.StripPrefix("/v1", Inntekt(fake)))
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print(err)
	}
}

// correlationID is a random UUID.
func correlationID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func digits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789") == ""
}
