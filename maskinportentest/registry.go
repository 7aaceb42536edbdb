package maskinportentest

import (
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// SystemUser is a systembruker that an organisation has made in Altinn.
type SystemUser struct {
	ID          string // systemuser_id; empty means one made from the rest
	SystemID    string // system_id, of the supplier's system
	OrgNumber   string // whose it is
	ExternalRef string
	ClientID    string // the client that may use it; empty means any
}

// AccessState is how far an organisation has come with its access to a scope.
type AccessState string

// The states that the self-service API knows. Tokens are issued in the second
// only; others get MP-250.
const (
	AccessRequested AccessState = "REQUESTED"
	AccessApproved  AccessState = "APPROVED"
	AccessDenied    AccessState = "DENIED"
)

// GrantAccess gives organisations access to a scope, as the API's owner does.
// Until it is called for a scope, everybody has access to it; from then on,
// the organisations that were named (others get MP-250).
func (f *Fake) GrantAccess(scope string, orgNumbers ...string) {
	f.mu.Lock()
	f.registry.accessTo(scope).listed = true
	f.mu.Unlock()
	f.SetAccess(scope, AccessApproved, orgNumbers...)
}

// WithdrawAccess takes access to a scope back, or has organisations lack it
// where everybody else has it.
func (f *Fake) WithdrawAccess(scope string, orgNumbers ...string) {
	f.SetAccess(scope, AccessDenied, orgNumbers...)
}

// SetAccess sets how far organisations have come with their access to a scope.
func (f *Fake) SetAccess(scope string, state AccessState, orgNumbers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.registry.accessTo(scope)
	for _, n := range orgNumbers {
		a.states[n] = state
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
func (f *Fake) AddConsent(c resourceserver.ConsentClaim) {
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
	clients           map[string]*registration
	scopes            map[string]Scope
	access            map[string]*access // by scope
	delegations       map[delegation]bool
	delegationsListed bool
	systemUsers       []SystemUser
	systemUsersListed bool
	consents          map[string]resourceserver.ConsentClaim
	consentsListed    bool
}

// access is who may have a scope.
type access struct {
	states map[string]AccessState // by organisation number
	listed bool
}

type delegation struct{ scope, consumer, supplier string }

func (r *registry) init() {
	r.clients = make(map[string]*registration)
	r.scopes = make(map[string]Scope)
	r.access = make(map[string]*access)
	r.delegations = make(map[delegation]bool)
	r.consents = make(map[string]resourceserver.ConsentClaim)
}

func (r *registry) accessTo(scope string) *access {
	a := r.access[scope]
	if a == nil {
		a = &access{states: make(map[string]AccessState)}
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

func (f *Fake) hasAccess(scope, org string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.registry.hasAccess(scope, org)
}

func (r *registry) hasAccess(scope, org string) bool {
	a := r.access[scope]
	if a == nil || r.scopes[scope].Open {
		return true
	}
	if state := a.states[org]; state != "" {
		return state == AccessApproved
	}
	return !a.listed
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

func (f *Fake) consent(id, from, to string, now time.Time) (resourceserver.ConsentClaim, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.registry.consentsListed {
		return resourceserver.ConsentClaim{
			ID: id, From: from, To: to,
			Consented: now.Add(-time.Hour), ValidTo: now.AddDate(1, 0, 0),
			Rights: []resourceserver.ConsentRight{{Actions: []string{"consent"}, Resources: []string{"standard-samtykke-for-dele-data"}}},
		}, true
	}
	c, ok := f.registry.consents[strings.ToLower(id)]
	return c, ok && c.From == from && string(c.To) == to && now.Before(c.ValidTo)
}
