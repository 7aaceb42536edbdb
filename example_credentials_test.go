package maskinporten_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// A renewed certificate is written over the old one, and the program that
// signs with it needs no restart.
func ExamplePKCS12File() {
	folder, err := os.MkdirTemp("", "keystore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "virksomhetssertifikat.p12")

	source := maskinporten.PKCS12File(path, "passord") // Config.Credential
	for _, subject := range []string{"PENSJON 2026", "PENSJON 2029"} {
		file := maskinportentest.Certificate{OrgNumber: "313367002", Name: subject}.PKCS12("passord")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			log.Fatal(err)
		}
		cred, err := source.Credential(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(cred.Certificate().Subject.CommonName)
	}
	// Output:
	// PENSJON 2026
	// PENSJON 2029
}

// A key that is registered on the client is named by its id, and needs no
// certificate.
func ExampleLoadPEMKey() {
	key, err := rsa.GenerateKey(rand.Reader, 2048) // in production: os.ReadFile("key.pem")
	if err != nil {
		log.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		log.Fatal(err)
	}
	file := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	fake := maskinportentest.New()
	fake.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "pensjon-2026", Public: &key.PublicKey})

	cfg := fake.Config()
	cfg.Credential, err = maskinporten.LoadPEMKey("pensjon-2026", file)
	if err != nil {
		log.Fatal(err)
	}
	client, err := maskinporten.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:inntekt"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Scope())
	// Output: skatteetaten:inntekt
}

// The variables are set by whoever runs the program; here by the fake.
func ExampleConfigFromEnv() {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	folder, err := os.MkdirTemp("", "environment")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	variables, err := fake.WriteEnvironment(folder, maskinportentest.DefaultClientID)
	if err != nil {
		log.Fatal(err)
	}
	variables["MASKINPORTEN_SCOPES"] = "skatteetaten:inntekt"
	for name, value := range variables {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}

	cfg, err := maskinporten.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	request, err := maskinporten.RequestFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client, err := maskinporten.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Scope())
	// Output: skatteetaten:inntekt
}

// What a client has done is there for a metric or a status page.
func ExampleClient_Stats() {
	fake := maskinportentest.New()
	fake.Undelegate("skatteetaten:inntekt", "974760673", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	for _, customer := range []string{"313367002", "313367002", "974760673"} {
		client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: customer})
	}
	stats := client.Stats()
	fmt.Println("fetches:", stats.Fetches)
	fmt.Println("failures:", stats.Failures)
	fmt.Println("organisation:", stats.Credential.OrgNumber())
	// Output:
	// fetches: 2
	// failures: map[MP-251:1]
	// organisation: 910753614
}
