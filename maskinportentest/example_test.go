package maskinportentest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

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

// A refusal as Maskinporten answered it before there were codes: the library
// knows it by its text.
func ExampleFake_OmitCodes() {
	fake := maskinportentest.New()
	fake.OmitCodes(true)
	fake.Undelegate("bank:saldo", "313367002", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo", ConsumerOrg: "313367002"})
	fmt.Println(errors.Is(err, maskinporten.ErrNotDelegated), fake.LastGrant().Description)
	// Output: true Consumer has not delegated access to the scope to the supplier. Consumer 313367002, supplier 910753614, scope bank:saldo
}

// An API's owner takes the access back that it had granted.
func ExampleFake_WithdrawAccess() {
	fake := maskinportentest.New()
	fake.GrantAccess("bank:saldo", maskinportentest.DefaultOrgNumber)
	fake.WithdrawAccess("bank:saldo", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	fmt.Println(errors.Is(err, maskinporten.ErrScopeNotAllowed), fake.LastGrant().MPCode)
	// Output: true MP-250
}

// What support is told: the trace id of a refusal, here one of the test's own.
func ExampleGrant() {
	fake := maskinportentest.New()
	fake.FailNext(1, maskinportentest.Fault{MPCode: "MP-100", Description: "Unknown client. (trace_id: 3566)"})
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	var refused *maskinporten.Error
	fmt.Println(errors.As(err, &refused), refused.TraceID, fake.LastGrant().TraceID)
	// Output: true 3566 3566
}

// A token lives as long as its client's registration says, or less if one of its
// scopes says so.
func ExampleFake_AddScope() {
	fake := maskinportentest.New()
	fake.AddClient(maskinportentest.Integration{ID: "bank", TokenLifetime: time.Hour})
	fake.AddScope(maskinportentest.Scope{Name: "bank:lan", MaxLifetime: time.Minute})
	client, err := maskinporten.New(fake.ConfigFor("bank"))
	if err != nil {
		panic(err)
	}
	for _, scope := range []string{"bank:saldo", "bank:lan"} {
		token, err := client.Token(context.Background(), maskinporten.Request{Scope: scope})
		if err != nil {
			panic(err)
		}
		fmt.Println(scope, time.Until(token.Expiry()).Round(time.Minute))
	}
	// Output:
	// bank:saldo 1h0m0s
	// bank:lan 1m0s
}

// A Fake that runs by itself is set up by a file, and tells of each grant.
func ExampleFake_Configure() {
	file := filepath.Join(os.TempDir(), "fake-example.json")
	defer os.Remove(file)
	err := os.WriteFile(file, []byte(`{
		"clients": [{"id": "bank", "scopes": ["bank:saldo"]}],
		"faults": [{"times": 1, "mp_code": "MP-200", "client_id": "bank", "description": "No such scope (trace_id: 1)"}]
	}`), 0o600)
	if err != nil {
		panic(err)
	}
	fake := maskinportentest.NewServerAt("127.0.0.1:0")
	defer fake.Close()
	fake.OnGrant(func(g maskinportentest.Grant) { fmt.Println(g) })
	if err := fake.Configure(file); err != nil {
		panic(err)
	}

	client, err := maskinporten.New(fake.ConfigFor("bank"))
	if err != nil {
		panic(err)
	}
	client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	// Output: client "bank", Request{Scope: "bank:saldo"}: 400 invalid_scope MP-200: No such scope (trace_id: 1)
}

// The server's certificate and the clients' lead to one CA, for programs that
// know nothing of this one.
func ExampleFake_CA() {
	fake := maskinportentest.NewTLSServer()
	defer fake.Close()
	roots := x509.NewCertPool()
	fmt.Println(roots.AppendCertsFromPEM(fake.CA()))

	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer hc.CloseIdleConnections()
	resp, err := hc.Get(fake.WellKnownURL())
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// true
	// 200 OK
}
