package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func TestToken(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	for _, output := range []string{"text", "json", "header", "exec-credential"} {
		s.golden("token/"+output, s.run("token", "-o", output))
	}
	// The token is good, and nothing but the token stands there.
	r := s.run("token")
	if token := strings.TrimSuffix(r.stdout, "\n"); strings.ContainsAny(token, " \n") || strings.Count(token, ".") != 2 {
		t.Errorf("not a bare token: %q", r.stdout)
	}
	var answer struct {
		ExpiresIn int    `json:"expires_in"`
		Type      string `json:"token_type"`
	}
	if err := json.Unmarshal([]byte(s.run("token", "-o", "json").stdout), &answer); err != nil || answer.ExpiresIn < 100 || answer.Type != "Bearer" {
		t.Errorf("%+v, %v", answer, err)
	}
}

// The flags reach the grant.
func TestTokenFlags(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.env["MASKINPORTEN_ENV"] = "prod" // which --env replaces
	s.env["MASKINPORTEN_SCOPES"] = "a:variable"
	s.env["MASKINPORTEN_CLIENT_JWK"] = "{}"
	s.stdin = "secret-password\n"
	r := s.run("token", "--env", fake.Environment().Issuer, "--client-id", maskinportentest.DefaultClientID,
		"--keystore", s.file("cert.p12", maskinportentest.Certificate{}.PKCS12("secret-password")), "--password-file", "-",
		"--scope", "skatteetaten:inntekt", "--scope", "skatteetaten:inntektsmottakere", "--consumer-org", "974760673", "--resource", "https://api.example.no")
	if r.status != 0 {
		t.Fatalf("exit status %d: %s", r.status, r.stderr)
	}
	claims := fake.LastGrant().Claims
	if claims["scope"] != "skatteetaten:inntekt skatteetaten:inntektsmottakere" || claims["consumer_org"] != "974760673" || claims["resource"] == nil {
		t.Errorf("claims of the grant: %v", claims)
	}
}

func TestTokenRefused(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	for _, c := range []struct {
		name   string
		fault  maskinportentest.Fault
		status int
	}{
		{"refused", maskinportentest.Fault{MPCode: "MP-100", Description: "Unknown client (trace_id: 0123)"}, 3},
		{"out-of-order", maskinportentest.Fault{Status: 500}, 4},
	} {
		fake.Fail(c.fault)
		r := s.run("token")
		if r.status != c.status {
			t.Errorf("%s: exit status %d, want %d: %s", c.name, r.status, c.status, r.stderr)
		}
		s.golden("token/"+c.name, r)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"frobnicate"}, {"token", "surplus"}, {"token", "--frobnicate"}, {"token", "-o", "yaml"}, {"doctor", "--fail-on", "sometimes"},
		{"doctor", "--api", "unknown"}, {"token", "--timeout", "soon"}, {"doctor", "--timeout", "0s"},
	} {
		s := newSetup(t)
		if r := s.run(args...); r.status != 2 || r.stdout != "" || !strings.Contains(r.stderr, "--help") {
			t.Errorf("%v: exit status %d, want 2, and a word of --help on stderr alone:\n%s%s", args, r.status, r.stdout, r.stderr)
		}
	}
}

func TestNothingConfigured(t *testing.T) {
	s := newSetup(t)
	s.golden("token/nothing-configured", s.run("token"))
}
