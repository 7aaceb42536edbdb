package maskinporten

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// When to begin to say that the certificate, or a registered key, expires, and
// when to say it louder: ordering a certificate takes weeks in some
// organisations, and registering a key minutes.
const (
	certificateWarning = 60 * 24 * time.Hour
	certificateAlarm   = 14 * 24 * time.Hour
	keyWarning         = 30 * 24 * time.Hour
	keyAlarm           = 7 * 24 * time.Hour
	watchPause         = 24 * time.Hour
)

// certificateWatch warns in the log of what will go wrong with a credential, or
// does: at most once a day, and at once for another one.
type certificateWatch struct {
	mu   sync.Mutex
	cred *Credential
	next time.Time
}

// look warns of what there is to say about cred. It logs under no lock, for a
// log handler may ask for a token itself.
func (w *certificateWatch) look(ctx context.Context, cred *Credential, env Environment, now time.Time, log *slog.Logger) {
	first, due := w.due(cred, now)
	if !due {
		return
	}
	if first {
		for _, note := range cred.key.Notes {
			log.WarnContext(ctx, "maskinporten: "+note, "key_id", cred.key.ID)
		}
	}
	leaf := cred.Certificate()
	attrs := []any{"key_id", cred.key.ID, "not_after", cred.NotAfter()}
	what, remedy, warning, alarm := "the key registered on the client", "register a new one", keyWarning, keyAlarm
	if leaf != nil {
		attrs = []any{"certificate", leaf.Subject.CommonName, "issuer", leaf.Issuer.CommonName, "not_after", leaf.NotAfter}
		what, remedy, warning, alarm = "the certificate", "order a new one", certificateWarning, certificateAlarm
	}
	switch left := cred.NotAfter().Sub(now); {
	case cred.NotAfter().IsZero() || left >= warning:
	case left < 0:
		log.ErrorContext(ctx, "maskinporten: "+what+" has expired: "+remedy, attrs...)
	default:
		level := slog.LevelWarn
		if left < alarm {
			level = slog.LevelError
		}
		log.Log(ctx, level, "maskinporten: "+what+" expires soon: "+remedy, append(attrs, "days_left", int(left.Hours()/24))...)
	}
	if leaf != nil && wrongEnvironment(leaf, env) {
		log.WarnContext(ctx, "maskinporten: the certificate's issuer is of another environment: test certificates work only in test, production certificates only in prod",
			append(attrs, "environment", env.name())...)
	}
}

// due reports whether cred is to be looked at now, and whether for the first time.
func (w *certificateWatch) due(cred *Credential, now time.Time) (first, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first = w.cred == nil || !w.cred.same(cred)
	if !first && now.Before(w.next) {
		return false, false
	}
	w.cred, w.next = cred, now.Add(watchPause)
	return first, true
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
