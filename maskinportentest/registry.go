package maskinportentest

import (
	"crypto/rsa"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// Integration is a client as Samarbeidsportalen keeps it.
type Integration struct {
	ID string

	// OrgNumber is the organisation that owns it; empty means
	// [DefaultOrgNumber]. A grant with a certificate of another is refused
	// (MP-122).
	OrgNumber string

	// Scopes are those it may ask for; nil means any. Others are MP-200.
	Scopes []string

	// IntegrationType is maskinporten if empty. A client of any other type
	// may have no scope here (MP-201).
	IntegrationType string

	// Keys are registered on the client: a grant names one by its kid.
	Keys []Key

	// OnBehalfOf maps the ids that iss_onbehalfof may hold to the
	// organisation numbers of these customers. Nil means that any
	// organisation number may stand there.
	OnBehalfOf map[string]string
}

// Key is a public key registered on a client.
type Key struct {
	ID string // kid

	// Public is the key; nil means that of [KeyCredential].
	Public *rsa.PublicKey

	// Expires is when it stops working (MP-121); zero means a year from when
	// it is registered.
	Expires time.Time
}

// SystemUser is a systembruker that an organisation has made in Altinn.
type SystemUser struct {
	ID          string // systemuser_id; empty means one made from the rest
	SystemID    string // system_id, of the supplier's system
	OrgNumber   string // whose it is
	ExternalRef string
	ClientID    string // the client that may use it; empty means any
}

// AddClient makes c known, in place of one with the same id.
func (f *Fake) AddClient(c Integration) {
	if c.OrgNumber == "" {
		c.OrgNumber = DefaultOrgNumber
	}
	keys := c.Keys
	c.Keys = nil
	f.mu.Lock()
	f.registry.clients[c.ID] = &c
	f.mu.Unlock()
	for _, k := range keys {
		f.AddKey(c.ID, k)
	}
}

// RemoveClient has the client unknown from now on (MP-100).
func (f *Fake) RemoveClient(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.registry.clients, id)
}

// AddKey registers a key on a client, in place of one with the same id. From
// then on the client must name a key by its kid: a grant with x5c is refused.
// It panics if the client is unknown.
func (f *Fake) AddKey(clientID string, k Key) {
	if k.Public == nil {
		k.Public = &sharedKey().PublicKey
	}
	now := f.now()
	if k.Expires.IsZero() {
		k.Expires = now.AddDate(1, 0, 0)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.registry.clients[clientID]
	if !ok {
		panic("maskinportentest: AddKey: no client " + clientID)
	}
	replaced := *c // a grant may be looking at the old one
	replaced.Keys = append(slices.DeleteFunc(slices.Clone(c.Keys), func(old Key) bool { return old.ID == k.ID }), k)
	f.registry.clients[clientID] = &replaced
}

// GrantAccess gives organisations access to a scope, as the API's owner does.
// Until it is called for a scope, everybody has access to it; from then on,
// the organisations that were named (others get MP-250).
func (f *Fake) GrantAccess(scope string, orgNumbers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.registry.accessTo(scope)
	a.listed = true
	for _, n := range orgNumbers {
		a.granted[n] = true
	}
}

// WithdrawAccess takes access to a scope back, or has organisations lack it
// where everybody else has it. They get MP-250.
func (f *Fake) WithdrawAccess(scope string, orgNumbers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.registry.accessTo(scope)
	for _, n := range orgNumbers {
		a.granted[n] = false
	}
}

// Delegate has the consumer delegate the scope to the supplier in Altinn.
// Until it is called for the first time, everybody has delegated everything;
// from then on, only what was delegated counts (else MP-251).
func (f *Fake) Delegate(scope, consumer, supplier string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.delegations[delegation{scope, consumer, supplier}] = true
	f.registry.delegationsListed = true
}

// Undelegate takes a delegation back, or has one lacking where everything
// else counts as delegated.
func (f *Fake) Undelegate(scope, consumer, supplier string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.delegations[delegation{scope, consumer, supplier}] = false
}

// AddSystemUser makes a systembruker, in place of one of the same organisation
// with the same reference and client. Until it is called for the first time,
// every organisation has one for every external reference; from then on, only
// those that were added exist (else MP-303).
func (f *Fake) AddSystemUser(s SystemUser) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.removeSystemUser(s)
	f.registry.systemUsers = append(f.registry.systemUsers, s)
}

// RemoveSystemUser deletes the systembruker with the organisation, reference
// and client of s. Those that were never added are gone with it: from then on,
// only added ones exist.
func (f *Fake) RemoveSystemUser(s SystemUser) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.removeSystemUser(s)
}

// AddConsent makes a consent, in place of one with the same id. Altinn gives it
// back in the token as c says it. Until it is called for the first time, every
// consent asked for has been given, to whoever asks; from then on, only those
// that were added exist, until their ValidTo (else MP-303).
func (f *Fake) AddConsent(c maskinporten.ConsentClaim) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.consentsListed = true
	f.registry.consents[strings.ToLower(c.ID)] = c
}

// RemoveConsent withdraws a consent. Those that were never added are gone with
// it: from then on, only added ones exist.
func (f *Fake) RemoveConsent(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.consentsListed = true
	delete(f.registry.consents, strings.ToLower(id))
}

// registry is what Samarbeidsportalen and Altinn know. What was never spoken
// of is allowed; "listed" says that it has been spoken of.
type registry struct {
	clients           map[string]*Integration // replaced, never changed
	access            map[string]*access      // by scope
	delegations       map[delegation]bool
	delegationsListed bool
	systemUsers       []SystemUser
	systemUsersListed bool
	consents          map[string]maskinporten.ConsentClaim
	consentsListed    bool
}

// access is who may have a scope.
type access struct {
	granted map[string]bool // by organisation number; false: withdrawn
	listed  bool
}

type delegation struct{ scope, consumer, supplier string }

func (r *registry) init() {
	r.clients = make(map[string]*Integration)
	r.access = make(map[string]*access)
	r.delegations = make(map[delegation]bool)
	r.consents = make(map[string]maskinporten.ConsentClaim)
}

func (r *registry) accessTo(scope string) *access {
	a := r.access[scope]
	if a == nil {
		a = &access{granted: make(map[string]bool)}
		r.access[scope] = a
	}
	return a
}

func (r *registry) removeSystemUser(s SystemUser) {
	r.systemUsersListed = true
	r.systemUsers = slices.DeleteFunc(slices.Clone(r.systemUsers), func(old SystemUser) bool {
		return old.OrgNumber == s.OrgNumber && old.ExternalRef == s.ExternalRef && old.ClientID == s.ClientID
	})
}

func (f *Fake) client(id string) (Integration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.registry.clients[id]
	if !ok {
		return Integration{}, false
	}
	return *c, true
}

func (f *Fake) hasAccess(scope, org string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.registry.access[scope]
	if a == nil {
		return true
	}
	granted, said := a.granted[org]
	return granted || !said && !a.listed
}

func (f *Fake) hasDelegated(scope, consumer, supplier string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	delegated, said := f.registry.delegations[delegation{scope, consumer, supplier}]
	if said {
		return delegated
	}
	return !f.registry.delegationsListed
}

func (f *Fake) systemUser(org, externalRef, clientID string) (SystemUser, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.registry.systemUsersListed {
		return SystemUser{OrgNumber: org, ExternalRef: externalRef}, true
	}
	for _, s := range f.registry.systemUsers {
		if s.OrgNumber == org && s.ExternalRef == externalRef && (s.ClientID == "" || s.ClientID == clientID) {
			return s, true
		}
	}
	return SystemUser{}, false
}

func (f *Fake) consent(id, from, to string, now time.Time) (maskinporten.ConsentClaim, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.registry.consentsListed {
		return maskinporten.ConsentClaim{
			ID: id, From: from, To: maskinporten.OrgNumber(to),
			Consented: now.Add(-time.Hour), ValidTo: now.AddDate(1, 0, 0),
			Rights: []maskinporten.ConsentRight{{Actions: []string{"consent"}, Resources: []string{"standard-samtykke-for-dele-data"}}},
		}, true
	}
	c, ok := f.registry.consents[strings.ToLower(id)]
	return c, ok && c.From == from && string(c.To) == to && now.Before(c.ValidTo)
}
