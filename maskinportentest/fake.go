// Package maskinportentest is a Maskinporten for tests. It validates grants as
// the real one does and refuses them with the same codes, issues real signed
// tokens, and can be told to fail.
//
// The shortest test asks nothing of it but a Config:
//
//	fake := maskinportentest.NewServer()
//	defer fake.Close()
//	client, err := maskinporten.New(fake.Config())
//
// [NewServer] listens on a loopback address, [NewServerAt] on a fixed one, and
// [NewAt] is for a server of your own. [New] answers in memory, as if it were
// test.maskinporten.no: nothing reaches the network, no goroutine is started,
// and in a bubble of testing/synctest time is the bubble's (make the Fake
// inside it, since its certificates are dated by the clock it sees). APIs under
// test stand beside it with [Fake.Handle], and [Fake.Guard] lets only calls
// with a valid token through to them.
//
// A Fake trusts the certificates that it issued itself ([Certificate]), and
// those of CAs that [Fake.TrustCA] names. A key of your own is registered with
// [Fake.AddKey], and from then on the client must name it.
//
// What a test says nothing about is allowed: there is one client
// ([DefaultClientID]), owned by [DefaultOrgNumber], that may have any scope,
// and every organisation has delegated everything to it. [Fake.AddClient],
// [Fake.GrantAccess], [Fake.Delegate], [Fake.AddSystemUser] and
// [Fake.AddConsent] narrow that down. [Fake.FailNext] and [Fake.Fail] break it,
// [Fake.ShapeTokens] changes what it issues, [Fake.Grants] tells what it was
// asked.
//
// Beside it are Altinn's exchange of tokens ([Fake.Altinn]) and
// Samarbeidsportalen's API for integrations and keys ([Fake.SelfService]), on
// the same registry.
//
// # Two measures
//
// The rules are those of
// https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_jwtgrant;
// where Digdir leaves something open, the Fake is the stricter: a test then
// fails before Maskinporten can. [Fake.AsDeployed] takes what Maskinporten is
// known or believed to take beyond that, with a warning for each. The Fake does
// not use the library's own code or its JWT library to judge a grant.
//
// # As a process
//
// For programs in other languages a Fake can run by itself: [NewServerAt], or
// [NewAt] with a listener and [Fake.TLSConfig]; [Fake.Configure] reads a file,
// [Fake.WriteEnvironment] writes what a client needs, [Fake.OnGrant] tells of
// each grant as it comes, and [Fake.CA] is what others must trust.
//
// Functions that can only fail by a mistake in the test panic, and say why.
package maskinportentest

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// The client that every Fake knows from the start, and the organisation that
// owns it: a synthetic number that passes the modulus 11 check.
const (
	DefaultClientID  = "8f4c1f0e-5a3b-4c59-9a0e-3d1b0e6c7f21"
	DefaultOrgNumber = "910753614"
)

// Fake is one Maskinporten. It is an [http.Handler] and safe for concurrent
// use, also while it is being told something new. Make it with [New],
// [NewFor], [NewServer] or [NewTLSServer].
type Fake struct {
	env       maskinporten.Environment
	authority *authority
	server    *httptest.Server // nil unless it listens itself
	network   *http.Client     // nil in memory
	altinn    *Altinn
	base      string // the address below which all answers are; empty in memory

	selfService *SelfService

	mu       sync.Mutex
	offset   time.Duration // of the Fake's clock
	lifetime time.Duration
	hosts    map[string]http.Handler // and paths
	registry registry
	faults   faults
	used     usedGrants
	log      grantLog
	keys     signingKeys

	deployed     bool // AsDeployed was called
	codesOmitted bool
	onGrant      func(Grant)
	shapes       []TokenShape
	opaque       opaqueTokens
	trusted      []*x509.Certificate // besides its own root
}

// New is a Fake in memory that stands in for [maskinporten.Test]: code that
// names that environment works against it, as long as it uses
// [Fake.Transport] or [Fake.HTTPClient].
func New() *Fake { return NewFor(maskinporten.Test) }

// NewFor is a Fake in memory that stands in for env. For [maskinporten.Prod]
// it takes production certificates only, for all others test certificates
// only: see [Certificate].
func NewFor(env maskinporten.Environment) *Fake {
	f := &Fake{
		env:       env,
		authority: testAuthority(),
		lifetime:  120 * time.Second,
		hosts:     make(map[string]http.Handler),
	}
	if env.Issuer == maskinporten.Prod.Issuer {
		f.authority = prodAuthority()
	}
	f.registry.init()
	f.altinn = &Altinn{fake: f, lifetime: 30 * time.Minute}
	f.selfService = &SelfService{fake: f}
	f.AddClient(Integration{ID: DefaultClientID, OrgNumber: DefaultOrgNumber})
	return f
}

// Environment is the one to configure a client with.
func (f *Fake) Environment() maskinporten.Environment { return f.env }

// WellKnownURL is where the metadata is, for [maskinporten.Discover].
func (f *Fake) WellKnownURL() string {
	return strings.TrimSuffix(f.env.Issuer, "/") + wellKnownPath
}

// Config is ready for [maskinporten.New]: the default client, with a
// virksomhetssertifikat of its organisation.
func (f *Fake) Config() maskinporten.Config { return f.ConfigFor(DefaultClientID) }

// ConfigFor is as [Fake.Config] for another client that the Fake knows. A
// client with registered keys signs with that of [KeyCredential]; if that is
// not among them, there is no Credential, and it is for the test to put its own
// there. ConfigFor panics if the Fake knows no client with that id.
func (f *Fake) ConfigFor(clientID string) maskinporten.Config {
	c, ok := f.client(clientID)
	if !ok {
		panic(fmt.Sprintf("maskinportentest: no client %q: add it with AddClient", clientID))
	}
	cfg := maskinporten.Config{Environment: f.env, ClientID: clientID, HTTPClient: f.HTTPClient()}
	if len(c.Keys) == 0 {
		cfg.Credential = Certificate{OrgNumber: c.OrgNumber, Production: f.authority.production}.Credential()
		return cfg
	}
	for _, k := range c.Keys {
		if k.Public.Equal(sharedKey().Public()) {
			cfg.Credential = KeyCredential(k.ID)
		}
	}
	return cfg
}

// SetClock puts the Fake's clock ahead of this machine's by offset, or behind
// it if negative: a wrong clock, as the Date of its answers shows too.
func (f *Fake) SetClock(offset time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offset = offset
}

// SetTokenLifetime sets how long tokens issued from now on live, in whole
// seconds, one at least. At first it is 120 seconds.
func (f *Fake) SetTokenLifetime(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lifetime = wholeSeconds(d)
}

func (f *Fake) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.offset)
}

func (f *Fake) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if !onlyGet(w, r) {
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                f.env.Issuer,
		"token_endpoint":                        f.env.TokenURL,
		"jwks_uri":                              f.env.JWKSURL,
		"grant_types_supported":                 []string{grantType},
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "RS384", "RS512"},
		"authorization_details_types_supported":            []string{systemUserType, consentType},
	})
}
