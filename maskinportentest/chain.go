package maskinportentest

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
)

// CA returns the root that f's certificates lead to, in PEM: for other
// processes to verify them with. With TLS, the server's certificate leads to
// it too (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS).
func (f *Fake) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.authority.root.certificate.Raw})
}

// TrustCA has f take certificates that lead to one of these CAs, which are
// certificates in PEM, beside those that it issued itself: a .p12 made
// elsewhere then works as x5c. The organisation number in a certificate must
// still be the client's (MP-122). It panics if there is no certificate in pem.
func (f *Fake) TrustCA(pem []byte) {
	if err := f.trustCA(pem); err != nil {
		panic("maskinportentest: TrustCA: " + err.Error())
	}
}

func (f *Fake) trustCA(data []byte) error {
	certificates, err := readCertificates(data)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trusted = append(slices.Clone(f.trusted), certificates...)
	return nil
}

// anchors are the certificates that a chain may end in, or at.
func (f *Fake) anchors() []*x509.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*x509.Certificate{f.authority.root.certificate}, f.trusted...)
}

// readChain reads an x5c. A Fake as deployed lets line breaks pass, which one
// client in production sends within the base64.
func (f *Fake) readChain(g *Grant, x5c any) ([]*x509.Certificate, *refusal) {
	list, ok := x5c.([]any)
	if !ok || len(list) == 0 {
		return nil, refuse("MP-123", "It must be an array of strings")
	}
	var chain []*x509.Certificate
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, refuse("MP-123", "It must be an array of strings")
		}
		if strings.ContainsAny(s, "\r\n") {
			if bad := f.deviation(g, refuse("MP-123", "Its strings must be base64 without line breaks")); bad != nil {
				return nil, bad
			}
			s = strings.NewReplacer("\r", "", "\n", "").Replace(s)
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil {
			return nil, refuse("MP-123", "Its strings must be base64")
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, refuse("MP-123", "Its strings must be certificates in DER")
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// checkChain holds a chain to its order: the leaf first, each certificate
// signed by the next, the last one a root or signed by it. A leaf alone will do
// for a Fake as deployed, if its issuer is known.
func (f *Fake) checkChain(g *Grant, chain []*x509.Certificate) *refusal {
	for i, c := range chain[:len(chain)-1] {
		if c.CheckSignatureFrom(chain[i+1]) != nil {
			return refuse("MP-120", "x5c must be the full chain in order, leaf first, and nothing else")
		}
	}
	anchors := f.anchors()
	if leadsTo(chain[len(chain)-1], anchors) {
		return nil
	}
	notFull := refuse("MP-120", "x5c must be the full chain, to a root of this environment")
	if len(chain) == 1 && leadsTo(chain[0], []*x509.Certificate{f.authority.intermediate.certificate}) {
		return f.deviation(g, notFull)
	}
	return notFull
}

func leadsTo(c *x509.Certificate, anchors []*x509.Certificate) bool {
	return slices.ContainsFunc(anchors, func(anchor *x509.Certificate) bool {
		return c.Equal(anchor) || c.CheckSignatureFrom(anchor) == nil
	})
}
