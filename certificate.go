package maskinporten

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// When to begin to say that the certificate expires: ordering a new one takes
// weeks in some organisations.
const (
	expiryWarning = 60 * 24 * time.Hour
	expiryAlarm   = 14 * 24 * time.Hour
	watchPause    = 24 * time.Hour
)

// certificateWatch warns in the log of what will go wrong with the
// certificate, or does: at most once a day, and at once for another one.
type certificateWatch struct {
	mu   sync.Mutex
	leaf *x509.Certificate
	next time.Time
}

func (w *certificateWatch) look(cred *Credential, env Environment, now time.Time, log *slog.Logger) {
	leaf := cred.Certificate()
	if leaf == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaf != nil && w.leaf.Equal(leaf) && now.Before(w.next) {
		return
	}
	w.leaf = leaf
	attrs := []any{"certificate", leaf.Subject.CommonName, "issuer", leaf.Issuer.CommonName, "not_after", leaf.NotAfter}
	if left := leaf.NotAfter.Sub(now); left < expiryWarning {
		level := slog.LevelWarn
		if left < expiryAlarm {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, "maskinporten: the certificate expires soon: order a new one", append(attrs, "days_left", int(left.Hours()/24))...)
		w.next = now.Add(watchPause)
	}
	if wrongEnvironment(leaf, env) {
		log.Warn("maskinporten: the certificate's issuer is of another environment: test certificates work only in test, production certificates only in prod",
			append(attrs, "environment", env.name())...)
		w.next = now.Add(watchPause)
	}
}

// wrongEnvironment judges by the name of the issuer. It knows Buypass' and
// Commfides' ("Buypass Class 3 Test4 CA G2 ST Business", "Commfides Legal
// Person - G3 - TEST"), and Digdir's environments; of others it says nothing.
func wrongEnvironment(leaf *x509.Certificate, env Environment) bool {
	issuer := strings.ToLower(leaf.Issuer.CommonName)
	if !strings.HasPrefix(issuer, "buypass ") && !strings.HasPrefix(issuer, "commfides ") {
		return false
	}
	test := strings.Contains(issuer, " test")
	switch env.Issuer {
	case Prod.Issuer:
		return test
	case Test.Issuer, Ver2.Issuer:
		return !test
	}
	return false
}
