package maskinportentest

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// NewServer returns a Fake that listens on a loopback address, over HTTP.
// Close it when done.
func NewServer() *Fake { return serve("http", listen("127.0.0.1:0")) }

// NewServerAt is as [NewServer] at a fixed address, such as 127.0.0.1:8085, so
// that programs in other languages can be configured once. It panics if the
// address is taken.
func NewServerAt(address string) *Fake { return serve("http", listen(address)) }

// NewTLSServer is as [NewServer], over TLS. Its certificate leads to
// [Fake.CA], and is trusted by [Fake.HTTPClient] and by the HTTPClient of
// [Fake.Config].
func NewTLSServer() *Fake { return serve("https", listen("127.0.0.1:0")) }

// NewAt returns a Fake for a server of your own: everything that it names, the
// token endpoint as Altinn's exchange and the self-service API, lies below
// baseURL. It listens to nothing; mount it where baseURL leads, with or without
// [http.StripPrefix]. For TLS there is [Fake.TLSConfig]. It panics if baseURL
// is not an absolute http or https URL.
func NewAt(baseURL string) *Fake {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		panic(fmt.Sprintf("maskinportentest: NewAt: %q must be an absolute URL, such as http://127.0.0.1:8085", baseURL))
	}
	base := strings.TrimSuffix(baseURL, "/")
	f := NewFor(maskinporten.Environment{Issuer: base + "/", TokenURL: base + "/token", JWKSURL: base + "/jwk"})
	f.base = base
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: f.pool(), MinVersion: tls.VersionTLS12}
	// Thousands of calls at once are to wait for a connection, not for a port.
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 1000, 100
	f.network = &http.Client{Transport: transport}
	return f
}

func listen(address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: %v", err))
	}
	return l
}

func serve(scheme string, l net.Listener) *Fake {
	f := NewAt(scheme + "://" + l.Addr().String())
	f.server = httptest.NewUnstartedServer(f)
	f.server.Listener.Close() // of a port that nobody asked for
	f.server.Listener = l
	if scheme == "http" {
		f.server.Start()
		return f
	}
	f.server.TLS = f.TLSConfig(f.server.Listener.Addr().(*net.TCPAddr).IP.String())
	f.server.StartTLS()
	return f
}

// Close stops a server and closes its connections, also those with an answer
// still due. In memory it does nothing.
func (f *Fake) Close() {
	if f.network != nil {
		f.network.CloseIdleConnections()
	}
	if f.server != nil {
		f.server.CloseClientConnections()
		f.server.Close()
	}
}

// URL returns the address below which f answers, without a slash at its end. It
// is empty in memory, where f has the addresses of what it stands in for.
func (f *Fake) URL() string { return f.base }

// HTTPClient calls f: over the network if it has an address, else in memory.
func (f *Fake) HTTPClient() *http.Client {
	if f.network != nil {
		return f.network
	}
	return &http.Client{Transport: f.Transport()}
}

// TLSConfig is for a server of your own: its certificate leads to [Fake.CA], and
// is for localhost, the loopback addresses, and hosts, which are names or
// addresses.
func (f *Fake) TLSConfig(hosts ...string) *tls.Config {
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"maskinportentest"}, CommonName: "maskinportentest"},
		NotBefore:   time.Now().AddDate(0, 0, -1),
		NotAfter:    time.Now().AddDate(2, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	certificate := f.authority.root.issue(template, sharedKey().Public())
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: sharedKey(), Leaf: certificate}},
		MinVersion:   tls.VersionTLS12,
	}
}

// secure reports whether f is reached over TLS, by a certificate of its own.
func (f *Fake) secure() bool { return strings.HasPrefix(f.base, "https:") }

func (f *Fake) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.authority.root.certificate)
	return pool
}

const wellKnownPath = "/.well-known/oauth-authorization-server"

// ServeHTTP answers as Maskinporten does: the token endpoint, the key set and
// the metadata; and as Altinn's exchange, the self-service API and what was put
// at a path by [Fake.Handle].
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
	prefix := strings.TrimSuffix(pathOf(f.base), "/")
	if prefix != "" && strings.HasPrefix(r.URL.Path, prefix+"/") {
		http.StripPrefix(prefix, http.HandlerFunc(f.route)).ServeHTTP(w, r)
		return
	}
	f.route(w, r)
}

func (f *Fake) route(w http.ResponseWriter, r *http.Request) {
	prefix := strings.TrimSuffix(pathOf(f.base), "/")
	is := func(address string) bool { return r.URL.Path == strings.TrimPrefix(pathOf(address), prefix) }
	switch {
	case is(f.env.TokenURL):
		f.serveToken(w, r)
	case is(f.env.JWKSURL):
		f.serveKeys(w, r)
	case is(f.WellKnownURL()):
		f.serveMetadata(w, r)
	case r.URL.Path == exchangePath:
		f.altinn.serve(w, r)
	case strings.HasPrefix(r.URL.Path, selfServicePath+"/"):
		f.selfService.serve(w, r)
	default:
		f.handlerAt(r.URL.Path).ServeHTTP(w, r)
	}
}

func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Path
}
