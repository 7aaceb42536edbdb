package selfservice

import (
	"context"
	"net/http"
)

// Access is a scope that the organisation has asked another for.
type Access struct {
	Scope             string `json:"scope"`
	State             string `json:"state"` // REQUESTED, APPROVED or DENIED
	ConsumerOrgNumber string `json:"consumer_orgno"`
	OwnerOrgNumber    string `json:"owner_orgno"`
	OwnerName         string `json:"owner_organization_name"`
}

// Granted reports whether the scope's owner has approved.
func (a Access) Granted() bool { return a.State == "APPROVED" }

// Access lists the scopes that the admin client's organisation has been
// granted, or has asked for.
func (c *Client) Access(ctx context.Context) ([]Access, error) {
	var list []Access
	err := c.do(ctx, call{doing: "list the scopes granted", method: http.MethodGet, path: "/scopes/access/all", scope: scopeRead}, &list)
	return list, err
}

// Scope is a scope that somebody offers.
type Scope struct {
	Name             string `json:"name"`
	Description      string `json:"description"`
	OwnerOrgNumber   string `json:"owner_orgno"`
	DelegationSource string `json:"delegation_source"`
}

// OpenScopes lists the scopes that every organisation may use. No token is
// needed.
func (c *Client) OpenScopes(ctx context.Context) ([]Scope, error) {
	var list []Scope
	err := c.do(ctx, call{doing: "list the open scopes", method: http.MethodGet, path: "/scopes/all?accessible_for_all=true"}, &list)
	return list, err
}

// DelegationSource is where customers delegate scopes to suppliers.
type DelegationSource struct {
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
}

// DelegationSources lists the places where scopes can be delegated. The
// delegations themselves are Altinn's. No token is needed.
func (c *Client) DelegationSources(ctx context.Context) ([]DelegationSource, error) {
	var list []DelegationSource
	err := c.do(ctx, call{doing: "list the delegation sources", method: http.MethodGet, path: "/delegationsources"}, &list)
	return list, err
}
