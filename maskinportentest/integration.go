package maskinportentest

import (
	"crypto/rsa"
	"slices"
	"time"
)

// Integration is a client as Samarbeidsportalen keeps it.
type Integration struct {
	ID string

	// Name and Description are for people; empty means some words.
	Name, Description string

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

	// TokenLifetime is how long its tokens live (access_token_lifetime); zero
	// means as [Fake.SetTokenLifetime] says.
	TokenLifetime time.Duration
}

// Key is a public key registered on a client.
type Key struct {
	ID string // kid

	// Public is the key; nil means that of [KeyCredential], unless there is Data.
	Public *rsa.PublicKey

	// Data is the key as another program has it: a public JWK, a JWK set (all
	// its keys are registered), a public key or a certificate in PEM, or a
	// certificate in DER. A JWK's kid is the key's ID, and its exp the end,
	// unless they are given here.
	Data []byte

	// Expires is when it stops working (MP-121); zero means a year from when
	// it is registered.
	Expires time.Time

	// NoExpiry has it work for ever, as keys do that were registered before
	// they had an end.
	NoExpiry bool

	alg string // as the self-service API got it
}

// registration is a client in Samarbeidsportalen, and what Maskinporten knows
// of it: what is changed there arrives here a while later.
type registration struct {
	Integration                // as Samarbeidsportalen has it; its Keys are replaced, never changed
	fields      map[string]any // as the self-service API has it
	inactive    bool
	created     time.Time
	updated     time.Time
	keysCreated time.Time
	keysUpdated time.Time
	arrivals    []arrival // oldest first
}

// arrival is what Maskinporten knows of a client from at on; nil is nothing.
type arrival struct {
	at     time.Time
	client *Integration
}

// arrive has Maskinporten know the client as it is now from at on.
func (r *registration) arrive(at, now time.Time) {
	var known *Integration
	if !r.inactive {
		c := r.Integration
		known = &c
	}
	for len(r.arrivals) > 1 && !r.arrivals[1].at.After(now) {
		r.arrivals = slices.Clone(r.arrivals[1:]) // what is over
	}
	r.arrivals = append(r.arrivals, arrival{at, known})
}

// AddClient makes c known at once, in place of one with the same id.
func (f *Fake) AddClient(c Integration) {
	if c.OrgNumber == "" {
		c.OrgNumber = DefaultOrgNumber
	}
	now := f.now()
	keys := c.Keys
	c.Keys = nil
	for _, k := range keys {
		c.Keys = append(c.Keys, mustPrepare("AddClient", k, now)...)
	}
	r := &registration{Integration: c, created: now, updated: now, keysCreated: now, keysUpdated: now}
	r.fields = r.describe()
	f.mu.Lock()
	defer f.mu.Unlock()
	r.arrive(time.Time{}, now)
	f.registry.clients[c.ID] = r
}

// RemoveClient has the client unknown from now on (MP-100).
func (f *Fake) RemoveClient(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.registry.clients, id)
}

// AddKey registers a key on a client at once, in place of one with the same
// id. From then on the client must name a key by its kid: a grant with x5c is
// refused. It panics if the client is unknown, or if k holds no public RSA key.
func (f *Fake) AddKey(clientID string, k Key) {
	now := f.now()
	keys := mustPrepare("AddKey", k, now)
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.registry.clients[clientID]
	if !ok {
		panic("maskinportentest: AddKey: no client " + clientID)
	}
	for _, k := range keys {
		r.setKeys(now, func(c *Integration) { c.Keys = append(withoutKey(c.Keys, k.ID), k) })
	}
}

// RemoveKey takes a key away from a client at once. A client that has none left
// signs with its certificate again.
func (f *Fake) RemoveKey(clientID, kid string) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.registry.clients[clientID]; ok {
		r.setKeys(now, func(c *Integration) { c.Keys = withoutKey(c.Keys, kid) })
	}
}

// setKeys changes the keys everywhere at once, also in what has not arrived.
func (r *registration) setKeys(now time.Time, change func(*Integration)) {
	change(&r.Integration)
	r.keysUpdated = now
	for i, a := range r.arrivals {
		if a.client != nil {
			replaced := *a.client // a grant may be looking at the old one
			change(&replaced)
			r.arrivals[i].client = &replaced
		}
	}
}

func withoutKey(keys []Key, id string) []Key {
	return slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.ID == id })
}

// client is what Maskinporten knows of a client now.
func (f *Fake) client(id string) (Integration, bool) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.registry.clients[id]
	if !ok {
		return Integration{}, false
	}
	var known *Integration
	for _, a := range r.arrivals {
		if !a.at.After(now) {
			known = a.client
		}
	}
	if known == nil {
		return Integration{}, false
	}
	return *known, true
}

// Scope is a scope as its owner registered it.
type Scope struct {
	Name        string
	Description string
	OrgNumber   string // of the owner; empty means [DefaultOrgNumber]

	// Open has it accessible for all: nobody needs to be granted it.
	Open bool

	// MaxLifetime bounds how long tokens with the scope live (at_max_age); zero
	// is no bound.
	MaxLifetime time.Duration

	inactive bool
}

// AddScope registers a scope, in place of one with the same name. Scopes that
// were never added work too: it is for what a scope says of its tokens, and for
// the self-service API to list.
func (f *Fake) AddScope(s Scope) {
	if s.OrgNumber == "" {
		s.OrgNumber = DefaultOrgNumber
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry.scopes[s.Name] = s
}

// lifetimeFor is how long a token lives: as the client's registration or the
// Fake says, or shorter if one of its scopes says so.
func (f *Fake) lifetimeFor(client Integration, scopes []string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	lifetime := f.lifetime
	if client.TokenLifetime > 0 {
		lifetime = wholeSeconds(client.TokenLifetime)
	}
	for _, name := range scopes {
		if m := f.registry.scopes[name].MaxLifetime; m > 0 {
			lifetime = min(lifetime, wholeSeconds(m))
		}
	}
	return lifetime
}

func wholeSeconds(d time.Duration) time.Duration { return max(d.Round(time.Second), time.Second) }
