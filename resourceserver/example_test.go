package resourceserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// An API that is not served over net/http verifies tokens itself. Here the
// tokens come from the fake.
func ExampleVerifier_Verify() {
	fake := maskinportentest.New()
	verifier, err := resourceserver.NewVerifier(fake.Environment(), fake.HTTPClient())
	if err != nil {
		panic(err)
	}
	good := fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo"}})
	for _, token := range []string{good, "not a token"} {
		claims, err := verifier.Verify(context.Background(), token)
		switch {
		case errors.Is(err, resourceserver.ErrTokenInvalid):
			fmt.Println(err)
		case errors.Is(err, maskinporten.ErrUnavailable):
			fmt.Println("the keys could not be fetched, try again:", err)
		case err != nil:
			panic(err)
		default:
			fmt.Println(claims.Consumer, "may", claims.Scopes)
		}
	}
	// Output:
	// 910753614 may [bank:saldo]
	// maskinporten: the token is not valid: it is not a JWT of three parts
}

// An API lets in those who have a token for its scope, here in a test against
// the fake.
func ExampleVerifier_Require() {
	fake := maskinportentest.New()
	verifier, err := resourceserver.NewVerifier(fake.Environment(), fake.HTTPClient())
	if err != nil {
		panic(err)
	}
	saldo := verifier.Require("bank:saldo")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello,", resourceserver.ClaimsFromContext(r.Context()).Consumer)
	}))

	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	for _, scope := range []string{"bank:saldo", "bank:konto"} {
		token, err := client.Token(context.Background(), maskinporten.Request{Scope: scope})
		if err != nil {
			panic(err)
		}
		call := httptest.NewRequest(http.MethodGet, "/saldo", nil)
		call.Header.Set("Authorization", "Bearer "+token.AccessToken())
		answer := httptest.NewRecorder()
		saldo.ServeHTTP(answer, call)
		fmt.Print(answer.Code, " ", answer.Body)
	}
	// Output:
	// 200 hello, 910753614
	// 403 Forbidden
}

// Who wants to know why an API refuses a token can look into it, without
// trusting what it says.
func ExampleUnverifiedClaims() {
	fake := maskinportentest.New()
	token := fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo"}, PID: "25922947409"})
	claims, err := resourceserver.UnverifiedClaims(token)
	if err != nil {
		panic(err)
	}
	fmt.Println("scope: ", claims.Scopes)
	fmt.Println("aud:   ", claims.Audience)
	fmt.Println("of a person:", claims.PID != "")
	// Output:
	// scope:  [bank:saldo]
	// aud:    [unspecified]
	// of a person: true
}
