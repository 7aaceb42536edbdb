package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// years is a Maskinporten whose clock and certificates are that many years
// ahead of this machine's.
func (s *setup) years(n int) []string {
	offset := time.Duration(n) * 365 * 24 * time.Hour
	ca := newAuthority(s.t, "Public CA")
	env := maskinporten.Test
	fake, address := fakeAt(s.t, env, ca.server(offset, "test.maskinporten.no"))
	fake.SetClock(offset)
	s.testThrough(proxy(s.t, "403 Forbidden", map[string]string{"test.maskinporten.no:443": address}))
	s.env["SSL_CERT_FILE"] = s.file("ca.pem", ca.pem())
	s.file("keystore.p12", maskinportentest.Certificate{NotBefore: time.Now().Add(offset).AddDate(-1, 0, 0)}.PKCS12("secret-password"))
	return nil
}

// testThrough sets the variables of a client in test, which gets there by a
// proxy.
func (s *setup) testThrough(proxy string) {
	s.client("", maskinportentest.Certificate{})
	delete(s.env, "MASKINPORTEN_WELL_KNOWN_URL")
	s.env["MASKINPORTEN_ENV"] = "test"
	s.env["HTTPS_PROXY"] = "http://" + proxy
}

// test is a healthy test.maskinporten.no behind a proxy.
func (s *setup) test() *maskinportentest.Fake { return s.environment(maskinporten.Test, "test") }

func (s *setup) environment(env maskinporten.Environment, name string) *maskinportentest.Fake {
	host := strings.TrimSuffix(strings.TrimPrefix(env.Issuer, "https://"), "/")
	ca := newAuthority(s.t, "Public CA")
	fake, address := fakeAt(s.t, env, ca.server(0, host))
	s.testThrough(proxy(s.t, "403 Forbidden", map[string]string{host + ":443": address}))
	s.env["MASKINPORTEN_ENV"] = name
	s.env["SSL_CERT_FILE"] = s.file("ca.pem", ca.pem())
	return fake
}

// revoked is a certificate that its issuer's list says is revoked, or does not.
func (s *setup) revoked(revoked bool) {
	ca := newAuthority(s.t, "Buypass Class 3 Test4 CA G2 ST Business")
	var list []byte
	address := serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(list) }), nil)
	leaf := ca.enterprise("http://"+address+"/crl/test.crl", "")
	if revoked {
		list = ca.crl(leaf)
	} else {
		list = ca.crl()
	}
	fake := s.fakeServer()
	fake.TrustCA(ca.pem())
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.file("keystore.p12", store(s.t, leaf, ca.cert))
}

// registered is a client with a key in a JWK.
func (s *setup) registered(key maskinportentest.Key) []string {
	fake := s.fakeServer()
	fake.AddKey(maskinportentest.DefaultClientID, key)
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	delete(s.env, "MASKINPORTEN_KEYSTORE_PATH")
	delete(s.env, "MASKINPORTEN_KEYSTORE_PASSWORD")
	s.env["MASKINPORTEN_CLIENT_JWK"] = string(maskinportentest.JWK(key.ID))
	return nil
}

func ptr[T any](v T) *T { return &v }
