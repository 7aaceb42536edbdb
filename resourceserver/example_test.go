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

func ExampleVerifier_Verify() {
	verifier, err := resourceserver.NewVerifier(maskinporten.Test, nil)
	if err != nil {
		panic(err)
	}
	claims, err := verifier.Verify(context.Background(), "not a token")
	switch {
	case errors.Is(err, resourceserver.ErrTokenInvalid):
		fmt.Println(err)
	case err != nil: // the keys could not be fetched
		fmt.Println("try again:", err)
	default:
		fmt.Println(claims.Consumer, "may", claims.Scopes)
	}
	// Output: maskinporten: the token is not valid: it is not a JWT of three parts
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
