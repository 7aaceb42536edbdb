package maskinportentest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// describe is the client as the self-service API shows one that a test added.
func (r *registration) describe() map[string]any {
	fields := map[string]any{
		"client_name":                cmp.Or(r.Name, "Integrasjon "+r.ID),
		"description":                cmp.Or(r.Description, "Added by a test"),
		"scopes":                     append([]string{}, r.Scopes...),
		"token_endpoint_auth_method": "private_key_jwt",
		"grant_types":                []string{grantType},
		"integration_type":           cmp.Or(r.IntegrationType, "maskinporten"),
		"application_type":           "web",
	}
	if r.TokenLifetime > 0 {
		fields["access_token_lifetime"] = int64(r.TokenLifetime / time.Second)
	}
	return fields
}

// shown is the whole object that the API answers with.
func (r *registration) shown() map[string]any {
	o := maps.Clone(r.fields)
	o["client_id"] = r.ID
	o["client_orgno"] = r.OrgNumber
	o["active"] = !r.inactive
	o["created"] = r.created.Format(portalTime)
	o["last_updated"] = r.updated.Format(portalTime)
	return o
}

// mine finds a client of the organisation that asks, or of one whose supplier
// it is. It needs the lock of the Fake.
func (c *call) mine() (*registration, *problem) {
	r, ok := c.fake.registry.clients[c.segments[1]]
	if !ok || !c.owns(r) {
		return nil, wrong(http.StatusNotFound, "No client "+c.segments[1])
	}
	return r, nil
}

// update changes the client that mine finds, whole or not at all: what change
// has done arrives at the token endpoint later.
func (c *call) update(change func(*registration) (status int, answer any, p *problem)) (int, any, *problem) {
	arrives := c.arrives()
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	r, p := c.mine()
	if p != nil {
		return 0, nil, p
	}
	status, answer, p := change(r)
	if p == nil {
		r.arrive(arrives, c.now)
	}
	return status, answer, p
}

func (c *call) owns(r *registration) bool {
	return r.OrgNumber == c.org || r.fields["supplier_orgno"] == c.org
}

func (c *call) listClients() (int, any, *problem) {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	inactive := slices.Equal(c.query["inactive"], []string{"true"})
	list := []any{}
	for _, id := range slices.Sorted(maps.Keys(c.fake.registry.clients)) {
		if r := c.fake.registry.clients[id]; c.owns(r) && (inactive || !r.inactive) {
			list = append(list, r.shown())
		}
	}
	return http.StatusOK, list, nil
}

func (c *call) getClient() (int, any, *problem) {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	r, p := c.mine()
	if p != nil {
		return 0, nil, p
	}
	return http.StatusOK, r.shown(), nil
}

func (c *call) createClient() (int, any, *problem) {
	fields, p := c.object()
	if p != nil {
		return 0, nil, p
	}
	arrives := c.arrives()
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	r := &registration{created: c.now, updated: c.now}
	r.ID = cmp.Or(text(fields, "client_id"), uuidOf(randomID()))
	if old, exists := c.fake.registry.clients[r.ID]; exists {
		if old.inactive && c.owns(old) {
			return 0, nil, wrong(http.StatusConflict, "A client with this client_id exists, and is deactivated")
		}
		return 0, nil, wrong(http.StatusConflict, "A client with this client_id exists")
	}
	r.OrgNumber = c.org
	if owner := text(fields, "client_orgno"); owner != "" && owner != c.org {
		if !slices.Contains(c.scopes, "idporten:dcr.supplier") {
			return 0, nil, wrong(http.StatusForbidden, "Only a supplier with idporten:dcr.supplier may set client_orgno")
		}
		r.OrgNumber = owner
		fields["supplier_orgno"] = c.org
	}
	if inline, ok := fields["jwks"]; ok {
		object, _ := inline.(map[string]any)
		if r.Keys, p = c.readKeySet(object, nil); p != nil {
			return 0, nil, p
		}
		r.keysCreated, r.keysUpdated = c.now, c.now
	}
	if p := c.setFields(r, fields); p != nil {
		return 0, nil, p
	}
	r.arrive(arrives, c.now)
	c.fake.registry.clients[r.ID] = r
	return http.StatusCreated, r.shown(), nil
}

func (c *call) putClient() (int, any, *problem) {
	fields, p := c.object()
	if p != nil {
		return 0, nil, p
	}
	return c.update(func(r *registration) (int, any, *problem) {
		if old := r.fields["integration_type"]; fields["integration_type"] != old {
			return 0, nil, &problem{http.StatusBadRequest, []fieldError{{"integration_type", fmt.Sprintf("must stay %v", old)}}}
		}
		var bad []fieldError
		for name, must := range map[string]string{"client_id": r.ID, "client_orgno": r.OrgNumber} {
			if v, present := fields[name]; present && v != must {
				bad = append(bad, fieldError{name, "must stay " + must})
			}
		}
		for _, name := range []string{"created", "last_updated"} {
			if _, present := fields[name]; present && !c.fake.deployed {
				bad = append(bad, fieldError{name, "is the API's own: leave it out"})
			}
		}
		if bad != nil {
			return 0, nil, &problem{http.StatusBadRequest, sorted(bad)}
		}
		if p := c.setFields(r, fields); p != nil {
			return 0, nil, p
		}
		r.updated = c.now
		return http.StatusOK, r.shown(), nil
	})
}

func (c *call) deleteClient() (int, any, *problem) {
	return c.update(func(r *registration) (int, any, *problem) {
		r.inactive, r.updated = true, c.now
		return http.StatusNoContent, nil, nil
	})
}

// setFields checks an integration and puts it in place of the old one, whole.
func (c *call) setFields(r *registration, fields map[string]any) *problem {
	var bad []fieldError
	for _, name := range []string{"client_name", "description", "integration_type", "application_type"} {
		if text(fields, name) == "" {
			bad = append(bad, fieldError{name, "must not be empty"})
		}
	}
	scopes := texts(fields["scopes"])
	if list, _ := fields["scopes"].([]any); len(list) == 0 || len(list) != len(scopes) {
		bad = append(bad, fieldError{"scopes", "must hold one scope at least"})
	}
	for _, s := range scopes {
		if prefix, rest, ok := strings.Cut(s, ":"); !ok || prefix == "" || rest == "" || !printable(s) {
			bad = append(bad, fieldError{"scopes", fmt.Sprintf("%q is no scope", s)})
		} else if scope, known := c.fake.registry.scopes[s]; known && !scope.Open && !c.fake.registry.hasAccess(s, r.OrgNumber) {
			bad = append(bad, fieldError{"scopes", "the organisation has no access to " + s})
		}
	}
	if text(fields, "integration_type") == "maskinporten" {
		if text(fields, "token_endpoint_auth_method") != "private_key_jwt" {
			bad = append(bad, fieldError{"token_endpoint_auth_method", "must be private_key_jwt"})
		}
		if !slices.Contains(texts(fields["grant_types"]), grantType) {
			bad = append(bad, fieldError{"grant_types", "must hold " + grantType})
		}
	}
	var lifetime int64
	if v, present := fields["access_token_lifetime"]; present {
		n, _ := v.(json.Number)
		var err error
		if lifetime, err = n.Int64(); err != nil || lifetime < 1 || lifetime > 7200 {
			bad = append(bad, fieldError{"access_token_lifetime", "must be between 1 and 7200 seconds, or be left out"})
		}
	}
	if bad != nil {
		return &problem{http.StatusBadRequest, sorted(bad)}
	}
	if active, ok := fields["active"].(bool); ok {
		r.inactive = !active
	}
	r.Name, r.Description = text(fields, "client_name"), text(fields, "description")
	r.IntegrationType = text(fields, "integration_type")
	r.Scopes = scopes
	r.TokenLifetime = time.Duration(lifetime) * time.Second
	r.fields = fields
	return nil
}

func sorted(bad []fieldError) []fieldError {
	slices.SortFunc(bad, func(a, b fieldError) int { return cmp.Compare(a.field, b.field) })
	return bad
}
