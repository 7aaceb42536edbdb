package maskinporten

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

func TestExpiryIsToldOnceADay(t *testing.T) {
	cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "leaf", "ca")...)
	require.NoError(t, err)
	renewed, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "seid1", "ca")...)
	require.NoError(t, err)
	keyOnly, err := NewKeyCredential(pkiKey(t, "key"), "kid")
	require.NoError(t, err)

	var (
		log   bytes.Buffer
		watch certificateWatch
	)
	for _, step := range []struct {
		reason string
		cred   *Credential
		left   time.Duration
		says   string
	}{
		{"far off", cred, 61 * day, ""},
		{"under 60 days", cred, 59*day + 23*time.Hour, "level=WARN"},
		{"the same day", cred, 59 * day, ""},
		{"the next day", cred, 58*day + 22*time.Hour, "days_left=58"},
		{"another certificate, which expires the same day", renewed, 58*day + 21*time.Hour, "level=WARN"},
		{"a key without a certificate", keyOnly, 15 * day, ""},
		{"under 14 days, and louder", renewed, 13 * day, "level=ERROR"},
		{"the last day", renewed, time.Hour, "days_left=0"},
		{"with a key id it expires as well", cred.WithKeyID("kid"), time.Hour, "level=ERROR"},
	} {
		log.Reset()
		watch.look(t.Context(), step.cred, Test, cred.NotAfter().Add(-step.left), slog.New(slog.NewTextHandler(&log, nil)))
		if step.says == "" {
			assert.Empty(t, log.String(), step.reason)
			continue
		}
		assert.Contains(t, log.String(), step.says, step.reason)
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), step.reason)
	}
}

// TestRegisteredKeyExpires: a JWK says when its time on the client is over, and the log in time.
func TestRegisteredKeyExpires(t *testing.T) {
	exp := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	jwk := bytes.Replace(privateJWK(t, "kid"), []byte("{"), fmt.Appendf(nil, `{"exp":%d,"use":"enc","alg":"PS256",`, exp.Unix()), 1)
	cred, err := LoadJWK(jwk)
	require.NoError(t, err)
	require.Equal(t, exp, cred.NotAfter())
	require.NoError(t, cred.usable(exp.Add(day)), "Maskinporten has the last word")

	var (
		log   bytes.Buffer
		watch certificateWatch
	)
	for _, step := range []struct {
		reason string
		left   time.Duration
		says   []string
	}{
		{"what is odd about it, at first", 90 * day, []string{"not sig", "signed with RS256"}},
		{"not again", 60 * day, nil},
		{"under 30 days", 29 * day, []string{"level=WARN msg=\"maskinporten: the key registered on the client expires soon: register a new one\" key_id=kid"}},
		{"the same day", 29*day - time.Hour, nil},
		{"under 7 days", 6 * day, []string{"level=ERROR"}},
		{"the last day", time.Hour, []string{"days_left=0"}},
		{"over", -2 * day, []string{"has expired: register a new one"}},
	} {
		log.Reset()
		watch.look(t.Context(), cred, Test, exp.Add(-step.left), slog.New(slog.NewTextHandler(&log, nil)))
		require.Equal(t, len(step.says), strings.Count(log.String(), "\n"), "%s: %s", step.reason, log.String())
		for _, says := range step.says {
			assert.Contains(t, log.String(), says, step.reason)
		}
		assert.NotContains(t, log.String(), "days_left=-", step.reason)
	}
}

// TestExpiredCertificateIsCalledSo: days_left=-1 is not "soon".
func TestExpiredCertificateIsCalledSo(t *testing.T) {
	cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "leaf", "ca")...)
	require.NoError(t, err)
	var (
		log   bytes.Buffer
		watch certificateWatch
	)
	watch.look(t.Context(), cred, Test, cred.NotAfter().Add(time.Hour), slog.New(slog.NewTextHandler(&log, nil)))
	assert.Contains(t, log.String(), "the certificate has expired")
	assert.NotContains(t, log.String(), "days_left")
}

// askingHandler is a log that is shipped with a token of the same client.
type askingHandler struct {
	slog.Handler
	ask func()
}

func (h askingHandler) Handle(ctx context.Context, r slog.Record) error {
	h.ask()
	return h.Handler.Handle(ctx, r)
}

// TestWatchLogsUnderNoLock: the log handler may need the credential that is being looked at.
func TestWatchLogsUnderNoLock(t *testing.T) {
	cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "production", "prodca")...)
	require.NoError(t, err)
	var watch certificateWatch
	asked := 0
	var log *slog.Logger
	log = slog.New(askingHandler{slog.NewTextHandler(io.Discard, nil), func() {
		asked++
		watch.look(t.Context(), cred, Test, time.Now(), log)
	}})
	watch.look(t.Context(), cred, Test, time.Now(), log)
	assert.Equal(t, 1, asked)
}

func TestWrongEnvironment(t *testing.T) {
	own := Environment{Issuer: "https://maskinporten.example/", TokenURL: "https://maskinporten.example/token"}
	for _, test := range []struct {
		issuer string
		env    Environment
		wrong  bool
	}{
		{"Buypass Class 3 CA G2 ST Business", Prod, false},
		{"Buypass Class 3 CA G2 HT Business", Prod, false},
		{"Commfides Legal Person - G3", Prod, false},
		{"Buypass Class 3 Test4 CA G2 ST Business", Prod, true},
		{"Commfides Legal Person - G3 - TEST", Prod, true},
		{"Buypass Class 3 CA G2 ST Business", Test, true},
		{"Commfides Legal Person - G3", Test, true},
		{"Buypass Class 3 CA G2 ST Business", Ver2, true},
		{"Buypass Class 3 Test4 CA G2 ST Business", Test, false},
		{"Commfides Legal Person - G3 - TEST", Test, false},
		{"Somebody's own CA", Prod, false},
		{"Somebody's own CA", Test, false},
		{"Buypass Class 3 Test4 CA G2 ST Business", own, false},
		{"Buypass Class 3 CA G2 ST Business", own, false},
	} {
		leaf := &x509.Certificate{Issuer: pkix.Name{CommonName: test.issuer}}
		assert.Equal(t, test.wrong, wrongEnvironment(leaf, test.env), "%s in %s", test.issuer, test.env.name())
	}
}

// TestWatchAtSigning: the exchange looks each time it signs, and only warns.
func TestWatchAtSigning(t *testing.T) {
	cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "production", "prodca")...)
	require.NoError(t, err)
	var log bytes.Buffer
	x := newExchange(Test, "id", cred, nil, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		got, err := x.credential(context.Background())
		require.NoError(t, err)
		assert.Same(t, cred, got)
	}
	assert.Equal(t, 1, strings.Count(log.String(), "of another environment"))
	assert.Equal(t, cred.NotAfter(), x.lastCredential().NotAfter())
}
