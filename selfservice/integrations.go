package selfservice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// Integration is a client of Maskinporten as it is registered. Its JSON form
// is the API's own, and keeps the members that have no field here.
type Integration struct {
	ClientID    string // given by the API
	Name        string // client_name
	Description string // empty means the name

	// Scopes is what the client may ask for; one at least.
	Scopes []string

	// OrgNumber is the organisation that owns the client; empty for the admin
	// client's own. Another needs the scope idporten:dcr.supplier.
	OrgNumber string

	// SupplierOrgNumber is the supplier that manages it for OrgNumber.
	SupplierOrgNumber string

	// Type is integration_type, which cannot be changed. Empty means maskinporten.
	Type string

	// AuthMethod is token_endpoint_auth_method. Empty means private_key_jwt.
	AuthMethod string

	// GrantTypes is grant_types. Empty means the JWT-bearer grant.
	GrantTypes []string

	// ApplicationType is application_type. Empty means web.
	ApplicationType string

	// TokenLifetime is how long its access tokens live, in whole seconds. Zero
	// leaves that to Maskinporten.
	TokenLifetime time.Duration

	Active      bool
	Created     time.Time
	LastUpdated time.Time

	rest map[string]json.RawMessage // what has no field here, carried back untouched
}

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// wireIntegration is the members that have a field.
type wireIntegration struct {
	ClientID          string   `json:"client_id,omitempty"`
	Name              string   `json:"client_name,omitempty"`
	Description       string   `json:"description,omitempty"`
	Scopes            []string `json:"scopes,omitempty"`
	OrgNumber         string   `json:"client_orgno,omitempty"`
	SupplierOrgNumber string   `json:"supplier_orgno,omitempty"`
	Type              string   `json:"integration_type,omitempty"`
	AuthMethod        string   `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes        []string `json:"grant_types,omitempty"`
	ApplicationType   string   `json:"application_type,omitempty"`
	TokenLifetime     int64    `json:"access_token_lifetime,omitempty"` // 0 is refused by the API
	Active            *bool    `json:"active,omitempty"`
	Created           string   `json:"created,omitempty"`
	LastUpdated       string   `json:"last_updated,omitempty"`
}

// UnmarshalJSON reads the API's form.
func (i *Integration) UnmarshalJSON(data []byte) error {
	var w wireIntegration
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	rest := make(map[string]json.RawMessage)
	if err := json.Unmarshal(data, &rest); err != nil {
		return err
	}
	for _, name := range memberNames {
		delete(rest, name)
	}
	*i = Integration{
		ClientID: w.ClientID, Name: w.Name, Description: w.Description, Scopes: w.Scopes,
		OrgNumber: w.OrgNumber, SupplierOrgNumber: w.SupplierOrgNumber,
		Type: w.Type, AuthMethod: w.AuthMethod, GrantTypes: w.GrantTypes, ApplicationType: w.ApplicationType,
		TokenLifetime: time.Duration(w.TokenLifetime) * time.Second,
		Active:        w.Active == nil || *w.Active,
		Created:       date(w.Created), LastUpdated: date(w.LastUpdated),
		rest: rest,
	}
	return nil
}

// memberNames is the names of wireIntegration's members.
var memberNames = func() (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[wireIntegration]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}()

// date reads a date with or without a colon in its offset; zero if it is none.
func date(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05.999999999Z0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// MarshalJSON writes the API's form, with what it said beside the fields.
func (i Integration) MarshalJSON() ([]byte, error) {
	return i.marshal(wireIntegration{
		ClientID: i.ClientID, OrgNumber: i.OrgNumber, SupplierOrgNumber: i.SupplierOrgNumber,
		Active: &i.Active, Created: stamp(i.Created), LastUpdated: stamp(i.LastUpdated),
	})
}

// body is what is sent: without the dates, which the API sets.
func (i Integration) body(active *bool) ([]byte, error) {
	return i.marshal(wireIntegration{ClientID: i.ClientID, OrgNumber: i.OrgNumber, SupplierOrgNumber: i.SupplierOrgNumber, Active: active})
}

func (i Integration) marshal(w wireIntegration) ([]byte, error) {
	w.Name, w.Description, w.Scopes = i.Name, i.Description, i.Scopes
	w.Type, w.AuthMethod, w.GrantTypes, w.ApplicationType = i.Type, i.AuthMethod, i.GrantTypes, i.ApplicationType
	w.TokenLifetime = int64(i.TokenLifetime / time.Second)
	known, err := json.Marshal(w)
	if err != nil || len(i.rest) == 0 {
		return known, err
	}
	all := maps.Clone(i.rest)
	if err := json.Unmarshal(known, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// completed is i with the defaults of a Maskinporten client.
func (i Integration) completed() Integration {
	for _, d := range []struct {
		field *string
		value string
	}{{&i.Description, i.Name}, {&i.Type, "maskinporten"}, {&i.AuthMethod, "private_key_jwt"}, {&i.ApplicationType, "web"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if len(i.GrantTypes) == 0 {
		i.GrantTypes = []string{jwtBearer}
	}
	return i
}

func (i Integration) validate() error {
	switch {
	case strings.TrimSpace(i.Name) == "":
		return invalid("Integration.Name", "is missing: say what the integration is for")
	case len(i.Scopes) == 0:
		return invalid("Integration.Scopes", "are missing: name one at least")
	case i.TokenLifetime < 0 || i.TokenLifetime%time.Second != 0:
		return invalid("Integration.TokenLifetime", "is not a positive number of whole seconds: leave it zero for Maskinporten's own")
	}
	for _, scope := range i.Scopes {
		if err := checkScope(scope); err != nil {
			return err
		}
	}
	for field, number := range map[string]string{"Integration.OrgNumber": i.OrgNumber, "Integration.SupplierOrgNumber": i.SupplierOrgNumber} {
		if number == "" {
			continue
		}
		if parsed, err := maskinporten.ParseOrgNumber(number); err != nil || string(parsed) != number {
			return invalid(field, "is not an organisation number of nine digits")
		}
	}
	return nil
}

// checkScope wants one scope (RFC 6749 §3.3).
func checkScope(scope string) error {
	r := maskinporten.Request{Scope: scope}
	if strings.Contains(scope, " ") || r.Validate() != nil {
		return invalid("scope", fmt.Sprintf("%q is not one scope, such as skatteetaten:inntekt", scope))
	}
	return nil
}

// Integrations lists the integrations that the admin client may see. The
// deactivated ones come too if inactive is set.
func (c *Client) Integrations(ctx context.Context, inactive bool) ([]Integration, error) {
	path := "/clients"
	if inactive {
		path += "?inactive=true"
	}
	var list []Integration
	err := c.do(ctx, call{doing: "list the integrations", method: http.MethodGet, path: path, scope: scopeRead}, &list)
	return list, err
}

// Integration returns one integration. The error is [ErrNotFound] if there is
// none with this client id.
func (c *Client) Integration(ctx context.Context, clientID string) (*Integration, error) {
	path, err := clientPath(clientID)
	if err != nil {
		return nil, err
	}
	found := new(Integration)
	if err := c.do(ctx, call{doing: "get integration " + clientID, method: http.MethodGet, path: path, scope: scopeRead}, found); err != nil {
		return nil, err
	}
	return found, nil
}

// Create makes an integration of i, whose empty fields get the values of an
// ordinary Maskinporten client, and returns it with the client id that the API
// gave it. It is sent once only: if it is not known what became of it, the
// error is [ErrUnclear].
func (c *Client) Create(ctx context.Context, i Integration) (*Integration, error) {
	k, err := createCall(i)
	if err != nil {
		return nil, err
	}
	made := new(Integration)
	if err := c.do(ctx, k, made); err != nil {
		return nil, err
	}
	return made, nil
}

// CreateBody returns the JSON that [Client.Create] sends for i.
func CreateBody(i Integration) ([]byte, error) {
	k, err := createCall(i)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(k.body, "", "  ")
}

func createCall(i Integration) (call, error) {
	i = i.completed()
	if err := i.validate(); err != nil {
		return call{}, err
	}
	if i.ClientID != "" {
		return call{}, invalid("Integration.ClientID", "is set: the API gives the client id")
	}
	body, err := i.body(nil)
	if err != nil {
		return call{}, err
	}
	scope := scopeWrite
	if i.OrgNumber != "" {
		scope += " " + scopeSupplier
	}
	return call{doing: "create the integration", method: http.MethodPost, path: "/clients", scope: scope, once: true, body: json.RawMessage(body)}, nil
}

// Update reads an integration, lets change alter it, writes it whole and reads
// it again. What has no field in [Integration] is carried back untouched. If
// what is read in the end is not what was written, the error is
// [ErrChangedMeanwhile], and the integration as it is now is returned with it.
func (c *Client) Update(ctx context.Context, clientID string, change func(*Integration) error) (*Integration, error) {
	was, err := c.Integration(ctx, clientID)
	if err != nil {
		return nil, err
	}
	wanted := *was
	wanted.Scopes, wanted.GrantTypes = slices.Clone(was.Scopes), slices.Clone(was.GrantTypes)
	if err := change(&wanted); err != nil {
		return nil, err
	}
	switch {
	case wanted.ClientID != was.ClientID:
		return nil, invalid("Integration.ClientID", "cannot be changed")
	case wanted.Type != was.Type:
		return nil, invalid("Integration.Type", "cannot be changed: make a new integration of the other type")
	}
	if err := wanted.validate(); err != nil {
		return nil, err
	}
	body, err := wanted.body(&wanted.Active)
	if err != nil {
		return nil, err
	}
	path, _ := clientPath(clientID)
	k := call{doing: "update integration " + clientID, method: http.MethodPut, path: path, scope: scopeModify, body: json.RawMessage(body)}
	if err := c.do(ctx, k, nil); err != nil {
		return nil, err
	}
	is, err := c.Integration(ctx, clientID)
	if err != nil {
		return nil, err
	}
	if differing := differences(body, is); len(differing) > 0 {
		return is, fmt.Errorf("%w: integration %s: %s", ErrChangedMeanwhile, clientID, strings.Join(differing, ", "))
	}
	return is, nil
}

// differences names the members of what was written that are not so now.
func differences(written []byte, is *Integration) (names []string) {
	var wanted, found map[string]json.RawMessage
	now, err := is.MarshalJSON()
	if err != nil || json.Unmarshal(now, &found) != nil || json.Unmarshal(written, &wanted) != nil {
		return []string{"unreadable"}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !sameValue(wanted[name], found[name]) {
			names = append(names, name)
		}
	}
	return names
}

// sameValue compares JSON values; lists of texts are sets.
func sameValue(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var listA, listB []string
	if json.Unmarshal(a, &listA) == nil && json.Unmarshal(b, &listB) == nil {
		slices.Sort(listA)
		slices.Sort(listB)
		return slices.Equal(listA, listB)
	}
	var valueA, valueB any
	return json.Unmarshal(a, &valueA) == nil && json.Unmarshal(b, &valueB) == nil && reflect.DeepEqual(valueA, valueB)
}

// Deactivate deactivates an integration: its tokens are no longer issued. The
// API has no way to delete one.
func (c *Client) Deactivate(ctx context.Context, clientID string) error {
	path, err := clientPath(clientID)
	if err != nil {
		return err
	}
	if c.isAdmin(clientID) {
		return invalid("clientID", "is the admin client's own: deactivating it would lock it out")
	}
	return c.do(ctx, call{doing: "deactivate integration " + clientID, method: http.MethodDelete, path: path, scope: scopeModify}, nil)
}

// AddScopes registers scopes on an integration; those that it has already
// stay as they are.
func (c *Client) AddScopes(ctx context.Context, clientID string, scopes ...string) (*Integration, error) {
	return c.Update(ctx, clientID, func(i *Integration) error {
		for _, scope := range scopes {
			if !slices.Contains(i.Scopes, scope) {
				i.Scopes = append(i.Scopes, scope)
			}
		}
		return nil
	})
}

// RemoveScopes takes scopes away from an integration. One that it does not
// have is an error, since it is most often misspelt; so is taking the last.
func (c *Client) RemoveScopes(ctx context.Context, clientID string, scopes ...string) (*Integration, error) {
	return c.Update(ctx, clientID, func(i *Integration) error {
		for _, scope := range scopes {
			at := slices.Index(i.Scopes, scope)
			if at < 0 {
				return fmt.Errorf("%w: integration %s does not have the scope %q", ErrNotFound, clientID, scope)
			}
			i.Scopes = slices.Delete(i.Scopes, at, at+1)
		}
		return nil
	})
}

// clientPath is the path of an integration. An id that is more than a name,
// such as "..", would lead to another operation.
func clientPath(clientID string) (string, error) {
	if !isName(clientID) {
		return "", invalid("clientID", "is not a client id: give letters, digits, dots, hyphens and underscores")
	}
	return "/clients/" + clientID, nil
}

// isName reports whether s is a name that may stand in a path and a kid.
func isName(s string) bool {
	if s == "" || len(s) > 200 || strings.Trim(s, ".") == "" {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c))
	})
}
