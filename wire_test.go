package maskinporten

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// testKey and testChain are made once: an RSA key takes a tenth of a second.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func keyCredential(signer crypto.Signer) *Credential {
	cred, err := NewKeyCredential(signer, "k")
	if err != nil {
		panic(err)
	}
	return cred
}

func headerOf(t *testing.T, c *Credential) (header map[string]any) {
	t.Helper()
	assertion, err := c.sign(&grant{})
	require.NoError(t, err)
	token, _, err := jwt.NewParser().ParseUnverified(assertion, jwt.MapClaims{})
	require.NoError(t, err)
	return token.Header
}

const testOrg = "910753614"

// testCredential is a chain of three, whatever the (fake) time.
var testCredential = sync.OnceValue(func() *Credential {
	key := testKey()
	var chain []*x509.Certificate
	var parent *x509.Certificate
	for i, name := range []string{"Test Root", "Buypass Class 3 Test4 CA G2 ST Business", "EKSEMPEL PENSJON AS"} {
		template := &x509.Certificate{
			SerialNumber:          big.NewInt(int64(i + 1)),
			Subject:               pkix.Name{CommonName: name},
			NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
			NotAfter:              time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
			BasicConstraintsValid: true,
			IsCA:                  i < 2,
			KeyUsage:              x509.KeyUsageCertSign,
		}
		if i == 2 {
			template.KeyUsage = x509.KeyUsageDigitalSignature
			template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidOrganizationIdentifier, Value: "NTRNO-" + testOrg}}
		}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			panic(err)
		}
		cert, _ := x509.ParseCertificate(der)
		parent = cert
		chain = append(chain, cert)
	}
	cred, err := NewCredential(key, chain...)
	if err != nil {
		panic(err)
	}
	return cred
})

// wire is a token endpoint in the place of the network. It keeps what it was
// sent and answers with reply.
type wire struct {
	reply func(n int, g *sentGrant) (*http.Response, error)

	mu     sync.Mutex
	grants []*sentGrant
}

type sentGrant struct {
	assertion string
	header    map[string]any
	claims    map[string]any
	at        time.Time
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	g := &sentGrant{assertion: form.Get("assertion"), at: time.Now()}
	parts := strings.Split(g.assertion, ".")
	for i, into := range []*map[string]any{&g.header, &g.claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.grants = append(w.grants, g)
	n := len(w.grants)
	w.mu.Unlock()
	resp, err := w.reply(n, g)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

func (w *wire) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.grants)
}

func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func tokenJSON(lifetime int) string {
	return fmt.Sprintf(`{"access_token":"secret-access-token","token_type":"Bearer","expires_in":%d,"scope":"s"}`, lifetime)
}

func (w *wire) client(t *testing.T, log io.Writer) *Client {
	t.Helper()
	cfg := Config{Environment: Test, ClientID: "client-1", Credential: testCredential(), HTTPClient: &http.Client{Transport: w}}
	if log == nil {
		log = &said
	}
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := New(cfg)
	require.NoError(t, err)
	return c
}

func ok(int, *sentGrant) (*http.Response, error) { return reply(200, tokenJSON(120)), nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type sourceFunc func() *Credential

func (f sourceFunc) Credential(context.Context) (*Credential, error) { return f(), nil }

func sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
