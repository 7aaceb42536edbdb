package maskinportentest

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

const exchangePath = "/authentication/api/v1/exchange/maskinporten"

// Altinn is the exchange of Maskinporten's tokens for Altinn's own, which
// [Fake] answers at its own address and, in memory, also at Altinn's.
type Altinn struct {
	fake   *Fake
	faults faults

	mu        sync.Mutex
	lifetime  time.Duration
	asJSON    bool
	exchanges []Exchange
}

// Exchange is a token that was exchanged at [Altinn].
type Exchange struct {
	Time   time.Time
	Claims resourceserver.Claims // of the Maskinporten token
	Test   bool                  // asked for with test=true
}

// Altinn is the exchange beside f.
func (f *Fake) Altinn() *Altinn { return f.altinn }

// URL is the platform's address, to which the exchange's path is added: the
// server's, or in memory Altinn's own.
func (a *Altinn) URL() string {
	switch {
	case a.fake.base != "":
		return a.fake.base
	case a.fake.env.Issuer == maskinporten.Prod.Issuer:
		return "https://platform.altinn.no"
	}
	return "https://platform.tt02.altinn.no"
}

// SetLifetime sets how long Altinn's tokens live from now on. At first that is
// 30 minutes, whatever is left of the Maskinporten token.
func (a *Altinn) SetLifetime(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lifetime = d
}

// SetJSON has the token answered as a JSON string rather than as it is: both
// are seen.
func (a *Altinn) SetJSON(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asJSON = on
}

// Exchanges are the requests that came with a valid Maskinporten token, the
// latest 1,000 of them, oldest first.
func (a *Altinn) Exchanges() []Exchange {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Exchange(nil), a.exchanges...)
}

// FailNext is [Fake.FailNext] for exchanges.
func (a *Altinn) FailNext(n int, fault Fault) {
	fault.When = nil
	a.faults.failNext(n, fault)
}

// Fail is [Fake.Fail] for exchanges.
func (a *Altinn) Fail(fault Fault) {
	fault.When = nil
	a.faults.fail(fault)
}

// Heal is [Fake.Heal] for exchanges.
func (a *Altinn) Heal() { a.faults.heal() }

// Guard is as [Fake.Guard], for an API that takes Altinn's tokens and no
// others.
func (a *Altinn) Guard(scope string, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, denied := check(r, scope, a.verify)
		if denied != nil {
			w.Header().Set("WWW-Authenticate", denied.Challenge)
			http.Error(w, denied.Reason, denied.Status)
			return
		}
		api.ServeHTTP(w, withClaims(r, claims))
	})
}

func (a *Altinn) serve(w http.ResponseWriter, r *http.Request) {
	if !onlyGet(w, r) {
		return
	}
	claims, denied := a.fake.Check(r, "")
	if denied != nil {
		w.Header().Set("WWW-Authenticate", denied.Challenge)
		w.WriteHeader(denied.Status)
		return
	}
	fault := a.faults.take(Grant{})
	now := a.fake.now()
	a.mu.Lock()
	lifetime, asJSON := a.lifetime, a.asJSON
	if len(a.exchanges) == maxGrants {
		a.exchanges = a.exchanges[1:]
	}
	a.exchanges = append(a.exchanges, Exchange{Time: now, Claims: claims, Test: r.URL.Query().Get("test") == "true"})
	a.mu.Unlock()
	if !fault.wait(r) {
		return
	}
	if fault.answers() || fault.Drop {
		fault.reply(a.fake, fault.refusal()).send(w)
		return
	}
	token := sign(altinnKey(), altinnKeyID, a.claims(claims, now, lifetime))
	if asJSON {
		writeJSON(w, http.StatusOK, token)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(token))
}

const altinnKeyID = "fake-altinn"

func (a *Altinn) issuer() string { return a.URL() + "/authentication/api/v1/openid/" }

func (a *Altinn) claims(c resourceserver.Claims, now time.Time, lifetime time.Duration) map[string]any {
	claims := map[string]any{
		"iss":                           a.issuer(),
		"actual_iss":                    "maskinporten",
		"client_id":                     c.ClientID,
		"client_amr":                    c.ClientAMR,
		"scope":                         strings.Join(c.Scopes, " "),
		"token_type":                    "Bearer",
		"consumer":                      organisation(string(c.Consumer)),
		"urn:altinn:orgNumber":          string(c.Consumer),
		"urn:altinn:authenticatemethod": "maskinporten",
		"urn:altinn:authlevel":          3,
		"iat":                           c.IssuedAt.Unix(), // the Maskinporten token's
		"nbf":                           now.Unix(),
		"exp":                           now.Add(lifetime).Unix(),
		"jti":                           randomID(),
	}
	if c.Supplier != "" {
		claims["supplier"] = organisation(string(c.Supplier))
		claims["delegation_source"] = c.DelegationSource
	}
	return claims
}

func (a *Altinn) verify(token string) (resourceserver.Claims, error) {
	j, err := parseJWS(token)
	if err != nil {
		return resourceserver.Claims{}, err
	}
	if j.header["kid"] != altinnKeyID || j.verify(&altinnKey().PublicKey) != nil || j.claims["iss"] != a.issuer() {
		return resourceserver.Claims{}, errors.New("the token is not Altinn's")
	}
	if exp, ok := seconds(j.claims["exp"]); !ok || !a.fake.now().Before(time.Unix(exp, 0)) {
		return resourceserver.Claims{}, errors.New("the token has expired")
	}
	return readClaims(j.claims), nil
}
