package maskinporten

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/jws"
)

// grantLifetime is the longest that Maskinporten allows between iat and exp.
const grantLifetime = 120 * time.Second

// grant is the claims of an assertion, all that Maskinporten documents and no
// other: an unknown claim, such as nbf or sub, is refused. Their order is the
// struct's. aud is one string, which jwt's own claims types do not promise.
//
// https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_jwtgrant
type grant struct {
	Audience             string   `json:"aud"`
	Issuer               string   `json:"iss"`
	Scope                string   `json:"scope"`
	IssuedAt             int64    `json:"iat"`
	Expires              int64    `json:"exp"`
	ID                   string   `json:"jti"`
	ConsumerOrg          string   `json:"consumer_org,omitempty"`
	Resource             []string `json:"resource,omitempty"` // "only array supported"
	PID                  string   `json:"pid,omitempty"`
	OnBehalfOf           string   `json:"iss_onbehalfof,omitempty"`
	AuthorizationDetails []any    `json:"authorization_details,omitempty"`
}

// The authorization_details (RFC 9396) that Maskinporten takes for Altinn.
type (
	systemUserDetails struct {
		Type        string          `json:"type"`
		Owner       organisationRef `json:"systemuser_org"`
		ExternalRef string          `json:"externalRef,omitempty"`
	}
	consentDetails struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		From string `json:"from"`
	}
	organisationRef struct {
		Authority string `json:"authority"`
		ID        string `json:"ID"`
	}
)

const (
	systemUserType = "urn:altinn:systemuser"
	consentType    = "urn:altinn:consent"
	actorAuthority = "iso6523-actorid-upis"
)

// newGrant makes the claims for one attempt: a grant can be used once, so each
// has an id of its own, and iat is the time as it is, never earlier.
func newGrant(env Environment, clientID string, r *Request, now time.Time) *grant {
	var id [16]byte
	rand.Read(id[:]) // never fails
	g := &grant{
		Audience:    env.Issuer,
		Issuer:      clientID,
		Scope:       r.Scope,
		IssuedAt:    now.Unix(),
		Expires:     now.Unix() + int64(grantLifetime/time.Second),
		ID:          hex.EncodeToString(id[:]),
		ConsumerOrg: r.ConsumerOrg,
		PID:         r.PID,
		OnBehalfOf:  r.OnBehalfOf,
	}
	if r.Resource != "" {
		g.Resource = []string{r.Resource}
	}
	if s := r.SystemUser; s != (SystemUser{}) {
		owner := organisationRef{actorAuthority, iso6523Norway + s.OrgNumber}
		g.AuthorizationDetails = append(g.AuthorizationDetails, systemUserDetails{systemUserType, owner, s.ExternalRef})
	}
	if c := r.Consent; c != (Consent{}) {
		g.AuthorizationDetails = append(g.AuthorizationDetails, consentDetails{consentType, c.ID, c.From})
	}
	return g
}

// sign makes the assertion: a grant signed by c's key, which the header names.
func (c *Credential) sign(g *grant) (string, error) {
	header := jws.Header{KeyID: c.key.ID}
	if c.key.ID == "" {
		header.Chain = c.x5c
	}
	assertion, err := jws.Sign(c.key.Signer(), header, g)
	if err != nil {
		return "", fmt.Errorf("signing the grant: %w", err)
	}
	return assertion, nil
}
