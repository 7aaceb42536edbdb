package maskinportentest_test

import (
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// Each of these is refused by default, and taken with a warning by a Fake as
// deployed.
func TestAsDeployed(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		make         func(*fake, *raw)
		warning      string
	}{
		{"nbf", "NAV's texas and digdirator send it", claim("nbf", time.Now().Unix()), "Unknown claim nbf"},
		{"sub", "one client sends it", claim("sub", maskinportentest.DefaultClientID), "Unknown claim sub"},
		{"leaf only", "Altinn's and KS' clients send no more", chain(func(c []string) any { return c[:1] }), "full chain"},
		{"line breaks in x5c", "@vtfk/maskinporten-auth leaves carriage returns in it", chain(func(c []string) any {
			return []string{c[0][:64] + "\r\n" + c[0][64:] + "\r", c[1], c[2]}
		}), "line breaks"},
		{"resource a string", "Altinn's and KS' clients send it so", claim("resource", "https://api.bank.example"), "resource"},
		{"180 seconds", "what the server's source allows", issued(0, 180*time.Second), "too long lifetime"},
		{"old iat", "the server's source has no lower bound", issued(-60*time.Second, 60*time.Second), "iat"},
		{"exp just passed", "ten seconds of grace", issued(-60*time.Second, -5*time.Second), "exp"},
		{"x5t", "a header parameter that some libraries add", func(_ *fake, g *raw) { g.header["x5t"] = "x" }, "Unknown header x5t"},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			g := newRaw(fake.Environment())
			tt.make(fake, g)
			require.Equal(t, http.StatusBadRequest, post(t, fake, g.sign(t)).Status)
			require.Empty(t, fake.LastGrant().Warnings)

			fake.AsDeployed()
			g.claims["jti"] = "another"
			s := post(t, fake, g.sign(t))
			require.Equal(t, http.StatusOK, s.Status, s.Description)
			require.True(t, fake.LastGrant().Accepted())
			require.Contains(t, strings.Join(fake.LastGrant().Warnings, "; "), tt.warning)
		})
	}
	fake := maskinportentest.New()
	fake.AsDeployed()
	body := form(newRaw(fake.Environment()).sign(t)).Encode() + "&client_id=x&scope=bank:saldo"
	req, err := http.NewRequest(http.MethodPost, fake.Environment().TokenURL, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, http.StatusOK, send(t, fake, req).Status)
	require.Len(t, fake.LastGrant().Warnings, 2, "extra form parameters")
}

// As deployed is lenient, not careless.
func TestAsDeployedRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		make         func(*fake, *raw)
		mp           string
	}{
		{"181 seconds", "one too many", issued(0, 181*time.Second), ""},
		{"exp long passed", "after the grace", issued(-60*time.Second, -12*time.Second), "MP-130"},
		{"ahead", "the clock", issued(12*time.Second, 60*time.Second), ""},
		{"crit", "never to be passed over", func(_ *fake, g *raw) { g.header["crit"] = list{"b64"} }, ""},
		{"another CA's leaf", "its issuer is not known", certificate(maskinportentest.Certificate{Production: true}), "MP-120"},
		{"both", "x5c and kid", func(_ *fake, g *raw) { g.header["kid"] = "k1" }, ""},
		{"the endpoint as aud", "no longer valid", claim("aud", "https://test.maskinporten.no/token"), "MP-110"},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			fake.AsDeployed()
			g := newRaw(fake.Environment())
			tt.make(fake, g)
			s := post(t, fake, g.sign(t))
			require.Equal(t, http.StatusBadRequest, s.Status)
			require.Equal(t, tt.mp, s.mp(), s.Description)
		})
	}
}

// No Fake knows what another has seen, nor what it saw itself before.
func TestVerdictsAreIndependent(t *testing.T) {
	fake := maskinportentest.New()
	g := newRaw(fake.Environment())
	good := g.x5c()
	require.Equal(t, http.StatusOK, post(t, fake, g.sign(t)).Status)
	for _, fake := range []*maskinportentest.Fake{fake, maskinportentest.New()} {
		g.header["x5c"] = []string{strings.Join(good, " ")} // the same text when joined
		g.claims["jti"] = time.Now().String()
		require.Equal(t, "MP-123", post(t, fake, g.sign(t)).mp())
	}
}

// One fault has one answer, however often it is asked.
func TestAnswersAreTheSame(t *testing.T) {
	fake := maskinportentest.New()
	said := make(map[string]int)
	for range 40 {
		req, err := http.NewRequest(http.MethodPost, fake.Environment().TokenURL, strings.NewReader("grant_type=client_credentials&client_id=a&client_secret=b&scope=c&scope=d"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s := send(t, fake, req)
		said[s.Error+": "+fake.LastGrant().Description]++
	}
	require.Equal(t, map[string]int{"unsupported_grant_type: The grant_type must be urn:ietf:params:oauth:grant-type:jwt-bearer": 40}, said)
}

func TestTraceIDs(t *testing.T) {
	fake := maskinportentest.New()
	for _, tt := range []struct{ reason, description, id string }{
		{"as of today", "Feil. (trace_id: mine)", "mine"},
		{"older", "Feil. (correlation id: 1234-5)", "1234-5"},
	} {
		fake.FailNext(1, maskinportentest.Fault{Code: "invalid_grant", Description: tt.description})
		s := post(t, fake, "x")
		require.Equal(t, tt.description, s.Description, tt.reason)
		require.Equal(t, tt.id, fake.LastGrant().TraceID)
	}
	fake.FailNext(1, maskinportentest.Fault{Code: "invalid_grant", Description: "Feil"})
	s := post(t, fake, "x")
	require.Equal(t, "Feil. (trace_id: "+fake.LastGrant().TraceID+")", s.Description)

	fake.FailNext(1, maskinportentest.Fault{Body: "<html>"})
	client := newClient(t, fake.Config())
	_, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
	require.NoError(t, err)
	grants := fake.Grants()
	require.Equal(t, "<html>", grants[len(grants)-2].Answer)
	require.Contains(t, grants[len(grants)-1].Answer, grants[len(grants)-1].AccessToken)
	require.Empty(t, grants[len(grants)-1].TraceID, "a token has none")
}

// Refusals without a code, as they were until 2024.
func TestOmitCodes(t *testing.T) {
	fake := maskinportentest.New()
	fake.OmitCodes(true)
	fake.Undelegate("bank:saldo", otherOrg, maskinportentest.DefaultOrgNumber)
	g := newRaw(fake.Environment())
	g.claims["consumer_org"] = otherOrg
	s := post(t, fake, g.sign(t))
	require.Empty(t, s.URI)
	require.Contains(t, s.Description, "has not delegated access to the scope")
	require.Empty(t, fake.LastGrant().MPCode)
	fake.OmitCodes(false)
	g.claims["jti"] = "2"
	require.Equal(t, "MP-251", post(t, fake, g.sign(t)).mp())
}

// Certificates are as their issuers make them: RSA all through.
func TestCertificatesAreRSA(t *testing.T) {
	for _, production := range []bool{false, true} {
		for _, c := range (maskinportentest.Certificate{Production: production}).Chain() {
			require.Equal(t, x509.SHA256WithRSA, c.SignatureAlgorithm, c.Subject)
			require.Equal(t, x509.RSA, c.PublicKeyAlgorithm)
			require.Equal(t, 2048, c.PublicKey.(*rsa.PublicKey).N.BitLen())
		}
	}
}
