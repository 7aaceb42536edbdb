package main

import (
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// fault is one thing that is wrong, and what doctor has to say of it first.
type fault struct {
	name   string
	setUp  func(s *setup) (args []string)
	step   string // the first that fails
	status int
	seen   string // in its summary
	remedy string // what its remedy begins with
}

// faults are set up for real: servers, proxies and files on this machine.
// Packets that are dropped need a network of their own (netns_test.go).
var faults = []fault{
	{
		name: "clock three minutes behind",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.SetClock(3 * time.Minute)
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return nil
		},
		step: "clock", status: 1, seen: "this machine's clock is 3 minutes behind", remedy: "Set the clock by NTP",
	},
	{
		name: "clock a minute ahead",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.SetClock(-time.Minute)
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return nil
		},
		step: "clock", status: 1, seen: "this machine's clock is 60 seconds ahead of", remedy: "Set the clock by NTP",
	},
	{
		name:  "clock two years behind",
		setUp: func(s *setup) []string { return s.years(2) },
		step:  "clock", status: 1, seen: "this machine's clock is 730 days behind", remedy: "Set the clock by NTP",
	},
	{
		name:  "clock two years ahead",
		setUp: func(s *setup) []string { return s.years(-2) },
		step:  "clock", status: 1, seen: "this machine's clock is 730 days ahead of", remedy: "Set the clock by NTP",
	},
	{
		name: "port closed",
		setUp: func(s *setup) []string {
			s.client(wellKnownURL("http://"+closedPort(s.t)), maskinportentest.Certificate{})
			return nil
		},
		step: "tcp", status: 4, seen: "refused the connection", remedy: "Something turns the connection away",
	},
	{
		name: "name not found",
		setUp: func(s *setup) []string {
			s.client("https://maskinporten.invalid/.well-known/oauth-authorization-server", maskinportentest.Certificate{})
			return []string{"--timeout", "2s"}
		},
		step: "dns", status: 4, seen: "maskinporten.invalid", remedy: "Check the spelling of maskinporten.invalid and this machine's DNS",
	},
	{
		name: "intercepting proxy with a CA of its own",
		setUp: func(s *setup) []string {
			company := newAuthority(s.t, "Example Corp TLS Inspection CA")
			inspector := serve(s.t, http.NotFoundHandler(), ptr(company.server(0, "test.maskinporten.no")))
			s.testThrough(proxy(s.t, "403 Forbidden", map[string]string{"test.maskinporten.no:443": inspector}))
			s.env["SSL_CERT_FILE"] = s.file("ca.pem", newAuthority(s.t, "Another CA").pem())
			return nil
		},
		step: "tls", status: 4, seen: "Example Corp TLS Inspection CA", remedy: "That is not a public issuer, so a proxy or a firewall intercepts",
	},
	{
		name: "proxy down",
		setUp: func(s *setup) []string {
			s.testThrough(closedPort(s.t))
			return nil
		},
		step: "proxy", status: 4, seen: "refused the connection", remedy: "Check that HTTPS_PROXY names the right host and port",
	},
	{
		name: "proxy that wants a password",
		setUp: func(s *setup) []string {
			s.testThrough(proxy(s.t, "407 Proxy Authentication Required", nil))
			return nil
		},
		step: "proxy", status: 4, seen: "wants a user name and a password", remedy: "Put them into HTTPS_PROXY",
	},
	{
		name: "proxy that lets nothing through",
		setUp: func(s *setup) []string {
			s.testThrough(proxy(s.t, "403 Forbidden", nil))
			return nil
		},
		step: "proxy", status: 4, seen: "does not let connections through to test.maskinporten.no:443", remedy: "Have whoever runs the proxy allow CONNECT",
	},
	{
		name: "firewall behind the proxy",
		setUp: func(s *setup) []string {
			s.testThrough(proxy(s.t, "504 Gateway Timeout", nil))
			return nil
		},
		step: "tcp", status: 4, seen: "cannot connect to test.maskinporten.no:443", remedy: "Have whoever runs the proxy open outbound port 443 to test.maskinporten.no (139.105.36.132",
	},
	{
		name: "proxy variable that is no URL",
		setUp: func(s *setup) []string {
			s.testThrough("")
			s.env["HTTPS_PROXY"] = "http://user:secret-password@proxy example:3128"
			return nil
		},
		step: "proxy", status: 4, seen: "HTTPS_PROXY is not a URL", remedy: "Set HTTPS_PROXY to a URL",
	},
	{
		name: "certificate of another environment",
		setUp: func(s *setup) []string {
			s.test()
			s.env["MASKINPORTEN_KEYSTORE_PATH"] = s.file("production.p12", maskinportentest.Certificate{Production: true}.PKCS12("secret-password"))
			return nil
		},
		step: "environment", status: 1, seen: "the certificate is one for prod", remedy: "Production certificates work only in prod",
	},
	{
		name: "test certificate in production",
		setUp: func(s *setup) []string {
			s.environment(maskinporten.Prod, "prod")
			return nil
		},
		step: "environment", status: 1, seen: "the certificate is one for test", remedy: "Production certificates work only in prod",
	},
	{
		name: "wrong file of the three",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{KeyUsage: x509.KeyUsageContentCommitment})
			return nil
		},
		step: "certificate", status: 1, seen: "lacks Digital Signature", remedy: "Use another of the files that the issuer sent",
	},
	{
		name: "leaf without chain",
		setUp: func(s *setup) []string {
			ca := newAuthority(s.t, "Buypass Class 3 Test4 CA G2 ST Business")
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			s.file("keystore.p12", store(s.t, ca.enterprise("", "")))
			return nil
		},
		step: "certificate", status: 1, seen: "the issuer's certificate is missing", remedy: "Export the file anew with the whole chain",
	},
	{
		name: "elliptic curve key",
		setUp: func(s *setup) []string {
			ec, err := os.ReadFile("../../testdata/keystores/openssl-ec.p12")
			if err != nil {
				s.t.Fatal(err)
			}
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			s.file("keystore.p12", ec)
			s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "changeit"
			return nil
		},
		step: "certificate", status: 1, seen: "Maskinporten takes RSA only", remedy: "Order a certificate with an RSA key",
	},
	{
		name: "answers that take too long",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.Fail(maskinportentest.Fault{Delay: time.Hour})
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return []string{"--timeout", "2s"}
		},
		step: "token", status: 4, seen: "skatteetaten:inntekt: ", remedy: "",
	},
	{
		name: "a page of a gateway instead of the token",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.Fail(maskinportentest.Fault{Status: 200, Body: "<html><title>Request Rejected</title>Your support ID is: 42</html>"})
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return nil
		},
		step: "token", status: 4, seen: "Request Rejected", remedy: "",
	},
	{
		name: "captive portal that redirects",
		setUp: func(s *setup) []string {
			portal := serve(s.t, http.RedirectHandler("https://login.example/?from=maskinporten", http.StatusFound), nil)
			s.client(wellKnownURL("http://"+portal), maskinportentest.Certificate{})
			return nil
		},
		step: "metadata", status: 4, seen: `to go to "https://login.example/`, remedy: "This is not how Maskinporten answers: a captive portal",
	},
	{
		name: "key set of nobody",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			s.client("", maskinportentest.Certificate{})
			delete(s.env, "MASKINPORTEN_WELL_KNOWN_URL")
			s.env["MASKINPORTEN_ISSUER"] = fake.Environment().Issuer
			s.env["MASKINPORTEN_TOKEN_ENDPOINT"] = fake.Environment().TokenURL
			s.env["MASKINPORTEN_JWKS_URI"] = fake.Environment().Issuer + "nothing"
			return nil
		},
		step: "jwks", status: 4, seen: "HTTP 404", remedy: "Check the URL: take it from the metadata",
	},
	{
		name: "no TLS where it should be",
		setUp: func(s *setup) []string {
			plain := serve(s.t, http.NotFoundHandler(), nil)
			s.testThrough(proxy(s.t, "403 Forbidden", map[string]string{"test.maskinporten.no:443": plain}))
			return nil
		},
		step: "tls", status: 4, seen: "does not answer in TLS", remedy: "Something other than Maskinporten may have answered",
	},
	{
		name: "expired certificate",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{NotBefore: time.Now().AddDate(-3, 0, 0), NotAfter: time.Now().AddDate(0, 0, -2)})
			return nil
		},
		step: "certificate", status: 1, seen: "the certificate has expired", remedy: "Order a new certificate",
	},
	{
		name: "revoked certificate",
		setUp: func(s *setup) []string {
			s.revoked(true)
			return nil
		},
		step: "revocation", status: 1, seen: "the certificate was revoked on", remedy: `Find out from "Buypass Class 3 Test4 CA G2 ST Business" why`,
	},
	{
		name: "wrong password",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "secret-password\n"
			return nil
		},
		step: "keystore", status: 1, seen: "the password in MASKINPORTEN_KEYSTORE_PASSWORD is wrong", remedy: "Look for a line break, a space or quotation marks",
	},
	{
		name: "no password",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			delete(s.env, "MASKINPORTEN_KEYSTORE_PASSWORD")
			return nil
		},
		step: "keystore", status: 1, seen: "does not open without a password", remedy: "Set MASKINPORTEN_KEYSTORE_PASSWORD",
	},
	{
		name: "no keystore there",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			os.Remove(s.env["MASKINPORTEN_KEYSTORE_PATH"])
			return nil
		},
		step: "keystore", status: 1, seen: "there is no such file", remedy: "Give the path of the virksomhetssertifikat's .p12 file",
	},
	{
		name:  "nothing configured",
		setUp: func(s *setup) []string { return nil },
		step:  "config", status: 1, seen: "MASKINPORTEN_ENV is not set", remedy: "Set the MASKINPORTEN_* variables",
	},
	{
		name: "variables that contradict each other",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			s.env["MASKINPORTEN_KEYSTORE_PASSWORD_FILE"] = s.file("password", []byte("x"))
			return nil
		},
		step: "config", status: 1, seen: "are both set", remedy: "Set the MASKINPORTEN_* variables",
	},
	{
		name: "unknown client",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			return []string{"--client-id", "6a1f3f0e-0000-4c59-9a0e-3d1b0e6c7f21"}
		},
		step: "token", status: 3, seen: "MP-100", remedy: "Client 6a1f3f0e-0000-4c59-9a0e-3d1b0e6c7f21 is not known in",
	},
	{
		name: "scope not registered",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.AddClient(maskinportentest.Integration{ID: maskinportentest.DefaultClientID, Scopes: []string{"skatteetaten:inntektsmottakere"}})
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return nil
		},
		step: "token", status: 3, seen: "MP-200", remedy: `The scope "skatteetaten:inntekt" is not registered on client`,
	},
	{
		name: "scope not granted",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.WithdrawAccess("skatteetaten:inntekt", maskinportentest.DefaultOrgNumber)
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return nil
		},
		step: "token", status: 3, seen: "MP-250", remedy: "Organisation 910753614 has not been granted the scope",
	},
	{
		name: "not delegated",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.Undelegate("skatteetaten:inntekt", "313367002", maskinportentest.DefaultOrgNumber)
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return []string{"--consumer-org", "974760673", "--consumer-org", "313367002"}
		},
		step: "delegation", status: 3, seen: "skatteetaten:inntekt for 313367002: HTTP 400 forbidden MP-251", remedy: "Organisation 313367002 has not delegated the scope",
	},
	{
		name: "registered key expired",
		setUp: func(s *setup) []string {
			return s.registered(maskinportentest.Key{ID: "key-2025", Expires: time.Now().Add(-time.Hour)})
		},
		step: "token", status: 3, seen: "MP-121", remedy: "The key registered on the client has expired",
	},
	{
		name: "unknown kid",
		setUp: func(s *setup) []string {
			s.registered(maskinportentest.Key{ID: "key-2025"})
			s.env["MASKINPORTEN_CLIENT_JWK"] = string(maskinportentest.JWK("key-2026"))
			return nil
		},
		step: "token", status: 3, seen: "Unknown key identifier", remedy: `The key id "key-2026" is not registered on client`,
	},
	{
		name: "token endpoint out of order",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			fake.Fail(maskinportentest.Fault{Status: 503})
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			return nil
		},
		step: "token", status: 4, seen: "HTTP 503", remedy: "Maskinporten, or something in front of it, is out of order",
	},
	{
		name: "captive portal",
		setUp: func(s *setup) []string {
			portal := serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, "<html><head><title>Hotel WiFi - log in</title></head><body>Welcome</body></html>")
			}), nil)
			s.client(wellKnownURL("http://"+portal), maskinportentest.Certificate{})
			return nil
		},
		step: "metadata", status: 4, seen: "Hotel WiFi - log in", remedy: "This is not how Maskinporten answers: a captive portal",
	},
	{
		name: "metadata of another issuer",
		setUp: func(s *setup) []string {
			fake := s.fakeServer()
			s.client("", maskinportentest.Certificate{})
			delete(s.env, "MASKINPORTEN_WELL_KNOWN_URL")
			s.env["MASKINPORTEN_ISSUER"] = strings.TrimSuffix(fake.Environment().Issuer, "/")
			s.env["MASKINPORTEN_TOKEN_ENDPOINT"] = fake.Environment().TokenURL
			return nil
		},
		step: "metadata", status: 4, seen: "states the issuer", remedy: "Another Maskinporten answers at this address, or the issuer is not written exactly",
	},
	{
		name: "API host blocked",
		setUp: func(s *setup) []string {
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			return []string{"--api", "skatteetaten-inntekt=http://" + closedPort(s.t)}
		},
		step: "api", status: 4, seen: "refused the connection", remedy: "Something turns the connection away",
	},
}

func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			s.check(f, f.setUp(s))
		})
	}
}

// check runs doctor and compares its first failure with the fault.
func (s *setup) check(f fault, args []string) {
	s.t.Helper()
	found, status := s.doctor(args...)
	if found.OK {
		s.t.Fatalf("doctor says all is well: %+v", found.Steps)
	}
	failed := false
	for _, step := range found.Steps {
		if step.Status != "failed" || failed {
			continue
		}
		failed = true
		s.t.Logf("%s | %s | %d | %s", f.name, step.ID, status, firstWords(step.Remedy))
		if step.ID != f.step || status != f.status {
			s.t.Errorf("first failure: %s with exit status %d, want %s with %d: %s", step.ID, status, f.step, f.status, step.Summary)
		}
		if !strings.Contains(step.Summary, f.seen) {
			s.t.Errorf("%s says %q, want %q in it", step.ID, step.Summary, f.seen)
		}
		if !strings.HasPrefix(step.Remedy, f.remedy) {
			s.t.Errorf("remedy: %q, want it to begin with %q", step.Remedy, f.remedy)
		}
	}
}

func firstWords(s string) string {
	words := strings.Fields(s)
	return strings.Join(words[:min(len(words), 8)], " ")
}

// What a person sees of three of them.
func TestFaultTexts(t *testing.T) {
	for name, file := range map[string]string{
		"intercepting proxy with a CA of its own": "doctor/intercepted.text",
		"not delegated":              "doctor/not-delegated.text",
		"clock three minutes behind": "doctor/clock.text",
	} {
		for _, f := range faults {
			if f.name == name {
				s := newSetup(t)
				args := f.setUp(s)
				s.replace(strings.TrimPrefix(s.env["HTTPS_PROXY"], "http://"), "proxy.example:8080")
				s.golden(file, s.run(append([]string{"doctor"}, args...)...))
			}
		}
	}
}
