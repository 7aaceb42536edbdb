package maskinporten

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
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
		watch.look(step.cred, Test, cred.NotAfter().Add(-step.left), slog.New(slog.NewTextHandler(&log, nil)))
		if step.says == "" {
			assert.Empty(t, log.String(), step.reason)
			continue
		}
		assert.Contains(t, log.String(), step.says, step.reason)
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), step.reason)
	}
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
