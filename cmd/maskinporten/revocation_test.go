package main

import (
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// responder is where a certificate's issuer can be asked.
type responder struct {
	ca     *authority
	leaf   *x509.Certificate
	list   func() []byte // the list of revoked certificates
	status int           // of OCSP
}

func (r *responder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	switch {
	case request.URL.Path == "/list.crl" && r.list != nil:
		w.Write(r.list())
	case request.URL.Path == "/ocsp" && request.Method == http.MethodPost:
		question, _ := io.ReadAll(request.Body)
		asked, err := ocsp.ParseRequest(question)
		if err != nil || asked.SerialNumber.Cmp(r.leaf.SerialNumber) != 0 {
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		answer, err := ocsp.CreateResponse(r.ca.cert, r.ca.cert, ocsp.Response{
			Status: r.status, SerialNumber: r.leaf.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
			RevokedAt: time.Now().Add(-time.Hour),
		}, r.ca.key)
		if err != nil {
			r.ca.t.Error(err)
		}
		w.Write(answer)
	default:
		http.NotFound(w, request)
	}
}

func TestRevocation(t *testing.T) {
	stranger := newAuthority(t, "Somebody else")
	for _, c := range []struct {
		reason   string
		list     func(r *responder) []byte // nil: no list there
		ocsp     int                       // -1: not asked by the certificate
		closed   bool                      // nothing listens
		status   string
		seen     string
		remedied string
	}{
		{"not on the list", func(r *responder) []byte { return r.ca.crl(stranger.cert) }, ocsp.Revoked, false, "ok", "not revoked, says http://", ""},
		{"on the list", func(r *responder) []byte { return r.ca.crl(r.leaf) }, ocsp.Good, false, "failed", "the certificate was revoked on", "Find out from"},
		{"no list, good by OCSP", nil, ocsp.Good, false, "warning", "/ocsp, but CRL http://", "Maskinporten looks at the list itself"},
		{"no list, revoked by OCSP", nil, ocsp.Revoked, false, "failed", "the certificate was revoked on", "Find out from"},
		{"no list, OCSP does not know it", nil, ocsp.Unknown, false, "warning", "it does not know the certificate", "Maskinporten looks"},
		{"somebody else's list", func(r *responder) []byte { return stranger.crl(r.leaf) }, -1, false, "warning", "is not signed by the certificate's issuer", "Maskinporten looks"},
		{"a page instead of the list", func(*responder) []byte { return []byte("<html>blocked</html>") }, -1, false, "warning", "no list of revoked certificates", "Maskinporten looks"},
		{"not reached", nil, ocsp.Good, true, "warning", "CRL http://", "Maskinporten looks at the list itself, so this does not keep tokens from coming. To have it checked from here, open outbound port"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			r := &responder{ca: newAuthority(t, "Buypass Class 3 Test4 CA G2 ST Business"), status: c.ocsp}
			if c.list != nil {
				r.list = func() []byte { return c.list(r) }
			}
			address := closedPort(t)
			if !c.closed {
				address = serve(t, r, nil)
			}
			asked := ""
			if c.ocsp >= 0 {
				asked = "http://" + address + "/ocsp"
			}
			r.leaf = r.ca.enterprise("http://"+address+"/list.crl", asked)
			fake := s.fakeServer()
			fake.TrustCA(r.ca.pem())
			s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
			s.file("keystore.p12", store(t, r.leaf, r.ca.cert))
			found, _ := s.doctor()
			for _, step := range found.Steps {
				if step.ID != "revocation" {
					continue
				}
				if step.Status != c.status || !strings.Contains(step.Summary, c.seen) || !strings.HasPrefix(step.Remedy, c.remedied) {
					t.Errorf("%+v", step)
				}
				if c.closed && !strings.Contains(step.Remedy, "port "+address[strings.Index(address, ":")+1:]+" to 127.0.0.1") {
					t.Errorf("the port and the host are not named: %s", step.Remedy)
				}
			}
		})
	}
}
