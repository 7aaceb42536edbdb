package maskinportentest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// balance is what a program under test might look like: it knows nothing of
// the fake.
func balance(client *maskinporten.Client, base http.RoundTripper) (string, error) {
	transport, err := client.Transport(maskinporten.Request{Scope: "bank:saldo"}, base, "api.bank.example")
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: transport}).Get("https://api.bank.example/saldo")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	return string(body), err
}

// A program's own code is tested against the fake: the client gets its Config
// from it, and the API stands beside it, guarded.
func Example() {
	fake := maskinportentest.New()
	fake.Handle("api.bank.example", fake.Guard("bank:saldo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "saldo for %s: 100 kr", maskinportentest.ClaimsFromContext(r.Context()).Consumer)
	})))

	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	answer, err := balance(client, fake.Transport())
	fmt.Println(answer, err)

	grant := fake.LastGrant()
	fmt.Println(grant.Request(), grant.Accepted())
	// Output:
	// saldo for 910753614: 100 kr <nil>
	// Request{Scope: "bank:saldo"} true
}

// Three lines are a Maskinporten on a loopback address.
func ExampleNewServer() {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	token, err := client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:inntekt"})
	fmt.Println(token.Scope(), err, fake.TokenRequests())
	// Output: skatteetaten:inntekt <nil> 1
}

// A supplier's customer has not delegated the scope to it.
func ExampleFake_Undelegate() {
	fake := maskinportentest.New()
	fake.Undelegate("skatteetaten:inntekt", "313367002", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "313367002"})
	fmt.Println(errors.Is(err, maskinporten.ErrNotDelegated))
	// Output: true
}

// Maskinporten is out of order for one request, and the library tries again.
func ExampleFake_FailNext() {
	fake := maskinportentest.New()
	fake.FailNext(1, maskinportentest.Fault{Status: http.StatusServiceUnavailable})
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	fmt.Println(err)
	for _, grant := range fake.Grants() {
		fmt.Println(grant.Status)
	}
	// Output:
	// <nil>
	// 503
	// 200
}

// A certificate as its issuer delivers it.
func ExampleCertificate() {
	file := maskinportentest.Certificate{OrgNumber: "313367002"}.PKCS12("passord")

	cred, err := maskinporten.LoadPKCS12(file, "passord")
	fmt.Println(cred.OrgNumber(), cred.Certificate().Issuer.CommonName, err)
	// Output: 313367002 Buypass Class 3 Test4 CA G2 ST Business <nil>
}
