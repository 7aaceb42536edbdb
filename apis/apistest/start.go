package apistest

import (
	"fmt"
	"os"
	"strings"

	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// NotDelegated is a customer that, for [StartUnlessConfigured], has not
// delegated its access to the supplier.
const NotDelegated = "310149942"

// StartUnlessConfigured lets a program that shows something run as it is. If
// MASKINPORTEN_CLIENT_ID is set it returns api: the program then runs against the
// environment that the variables describe. Else it starts fakes on a loopback
// address, sets the variables of
// [github.com/maskinporten-go/maskinporten.ConfigFromEnv] and
// [github.com/maskinporten-go/maskinporten.RequestFromEnv] for them, and returns
// api as it is reached there. stop ends the fakes.
func StartUnlessConfigured(api apis.API) (at apis.API, stop func(), err error) {
	if os.Getenv("MASKINPORTEN_CLIENT_ID") != "" {
		return api, func() {}, nil
	}
	fake := maskinportentest.NewServer()
	dir, err := os.MkdirTemp("", "maskinporten-fake")
	end := func() {
		fake.Close()
		os.RemoveAll(dir)
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	if err != nil {
		return api, nil, fmt.Errorf("apistest: %w", err)
	}
	fake.Undelegate(api.Scope, NotDelegated, maskinportentest.DefaultOrgNumber)
	found := false
	for _, known := range New(fake).All() {
		if known.known.Scope == api.Scope {
			at, found = known.API(), true
		}
	}
	if !found {
		return api, nil, fmt.Errorf("apistest: there is no fake of %s", api.Name)
	}
	variables, err := fake.WriteEnvironment(dir, maskinportentest.DefaultClientID)
	if err != nil {
		return api, nil, err
	}
	variables["MASKINPORTEN_SCOPES"] = api.Scope
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "MASKINPORTEN_") {
			os.Unsetenv(name) // half a configuration would contradict the fake's
		}
	}
	for name, value := range variables {
		if err := os.Setenv(name, value); err != nil {
			return api, nil, fmt.Errorf("apistest: %w", err)
		}
	}
	return at, end, nil
}
