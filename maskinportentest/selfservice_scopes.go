package maskinportentest

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

func (c *call) delegationSources() (int, any, *problem) {
	return http.StatusOK, []map[string]string{{"name": "Altinn", "issuer": c.fake.delegationSource()}}, nil
}

// shown is a scope as the API shows it.
func (s Scope) shown() map[string]any {
	prefix, subscope := splitScope(s.Name)
	o := map[string]any{
		"name": s.Name, "prefix": prefix, "subscope": subscope, "description": s.Description,
		"active": !s.inactive, "owner_orgno": s.OrgNumber, "accessible_for_all": s.Open,
		"allowed_integration_types": []string{"maskinporten"},
	}
	if s.MaxLifetime > 0 {
		o["at_max_age"] = int64(s.MaxLifetime / time.Second)
	}
	return o
}

func splitScope(name string) (prefix, subscope string) {
	for i := range name {
		if name[i] == ':' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

// selectScopes are the scopes for which want is true, by name.
func (c *call) selectScopes(want func(Scope) bool) []any {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(c.fake.registry.scopes)) {
		if s := c.fake.registry.scopes[name]; want(s) {
			list = append(list, s.shown())
		}
	}
	return list
}

func (c *call) allScopes() (int, any, *problem) {
	openOnly := slices.Equal(c.query["accessible_for_all"], []string{"true"})
	return http.StatusOK, c.selectScopes(func(s Scope) bool { return !s.inactive && (s.Open || !openOnly) }), nil
}

// ownAccess is what the organisation that asks has been granted.
func (c *call) ownAccess() (int, any, *problem) {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	list := []any{}
	for _, scope := range slices.Sorted(maps.Keys(c.fake.registry.access)) {
		if state := c.fake.registry.access[scope].states[c.org]; state != "" {
			list = append(list, c.accessShown(scope, c.org, state))
		}
	}
	return http.StatusOK, list, nil
}

// accessShown needs the lock of the Fake.
func (c *call) accessShown(scope, consumer string, state AccessState) map[string]any {
	owner := c.fake.registry.scopes[scope].OrgNumber
	if owner == "" {
		owner = DefaultOrgNumber
	}
	return map[string]any{
		"scope": scope, "state": string(state), "consumer_orgno": consumer,
		"owner_orgno": owner, "owner_organization_name": "TESTVIRKSOMHET " + owner,
	}
}

// owned is the scope in the query, if it is of the organisation that asks. It
// needs the lock of the Fake.
func (c *call) owned() (Scope, *problem) {
	var name string
	if v := c.query["scope"]; len(v) == 1 {
		name = v[0]
	}
	s, ok := c.fake.registry.scopes[name]
	if !ok || s.OrgNumber != c.org {
		return Scope{}, wrong(http.StatusNotFound, "No scope "+name)
	}
	return s, nil
}

func (c *call) getScopes() (int, any, *problem) {
	if c.query["scope"] == nil {
		return http.StatusOK, c.selectScopes(func(s Scope) bool { return s.OrgNumber == c.org }), nil
	}
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	s, p := c.owned()
	if p != nil {
		return 0, nil, p
	}
	return http.StatusOK, s.shown(), nil
}

func (c *call) createScope() (int, any, *problem) {
	fields, p := c.object()
	if p != nil {
		return 0, nil, p
	}
	s := Scope{Name: text(fields, "prefix") + ":" + text(fields, "subscope"), OrgNumber: c.org}
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	if old, exists := c.fake.registry.scopes[s.Name]; exists {
		if old.inactive {
			return 0, nil, wrong(http.StatusConflict, "The scope exists, and is deactivated")
		}
		return 0, nil, wrong(http.StatusConflict, "The scope exists")
	}
	if text(fields, "prefix") == "" || text(fields, "subscope") == "" || !printable(s.Name) {
		return 0, nil, &problem{http.StatusBadRequest, []fieldError{{"subscope", "prefix and subscope must be words"}}}
	}
	s.set(fields)
	c.fake.registry.scopes[s.Name] = s
	c.fake.registry.accessTo(s.Name).listed = true // nobody has been granted it yet
	return http.StatusCreated, s.shown(), nil
}

// set takes over what the owner may say of a scope.
func (s *Scope) set(fields map[string]any) {
	s.Description = text(fields, "description")
	s.Open, _ = fields["accessible_for_all"].(bool)
	s.MaxLifetime = 0
	if n, ok := seconds(fields["at_max_age"]); ok {
		s.MaxLifetime = time.Duration(n) * time.Second
	}
	if active, ok := fields["active"].(bool); ok {
		s.inactive = !active
	}
}

func (c *call) putScope() (int, any, *problem) {
	fields, p := c.object()
	if p != nil {
		return 0, nil, p
	}
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	s, p := c.owned()
	if p != nil {
		return 0, nil, p
	}
	s.set(fields)
	c.fake.registry.scopes[s.Name] = s
	return http.StatusOK, s.shown(), nil
}

// deleteScope deactivates a scope; what was granted stays.
func (c *call) deleteScope() (int, any, *problem) {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	s, p := c.owned()
	if p != nil {
		return 0, nil, p
	}
	s.inactive = true
	c.fake.registry.scopes[s.Name] = s
	return http.StatusNoContent, nil, nil
}

func (c *call) scopeAccess() (int, any, *problem) {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	s, p := c.owned()
	if p != nil {
		return 0, nil, p
	}
	list := []any{}
	states := c.fake.registry.accessTo(s.Name).states
	for _, org := range slices.Sorted(maps.Keys(states)) {
		list = append(list, c.accessShown(s.Name, org, states[org]))
	}
	return http.StatusOK, list, nil
}

func (c *call) grantAccess() (int, any, *problem)    { return c.setAccess(AccessApproved) }
func (c *call) withdrawAccess() (int, any, *problem) { return c.setAccess(AccessDenied) }

func (c *call) setAccess(state AccessState) (int, any, *problem) {
	org := c.segments[2]
	if !organisationNumber(org) {
		return 0, nil, wrong(http.StatusBadRequest, "The consumer must be an organisation number")
	}
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	s, p := c.owned()
	if p != nil {
		return 0, nil, p
	}
	a := c.fake.registry.accessTo(s.Name)
	a.listed = true
	a.states[org] = state
	return http.StatusOK, c.accessShown(s.Name, org, state), nil
}
