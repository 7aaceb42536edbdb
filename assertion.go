package maskinporten

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
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

// sign makes the assertion (RFC 7515 §3.1): header, claims and signature. The
// header holds the whole chain and is always the same, so it was encoded when
// the credential was made; jwt would encode it anew each time.
func (c *Credential) sign(g *grant) (string, error) {
	claims, err := json.Marshal(g)
	if err != nil {
		return "", fmt.Errorf("encoding the grant: %w", err)
	}
	var token jwt.Token
	signed := c.header + "." + token.EncodeSegment(claims)
	signature, err := rs256{}.Sign(signed, c.key.Signer())
	if err != nil {
		return "", fmt.Errorf("signing the grant: %w", err)
	}
	return signed + "." + token.EncodeSegment(signature), nil
}

// rs256 is RSASSA-PKCS1-v1_5 with SHA-256 over any crypto.Signer, so that the
// key may live in an HSM or a cloud KMS; jwt's own wants an *rsa.PrivateKey.
type rs256 struct{}

var _ jwt.SigningMethod = rs256{}

func (rs256) Alg() string { return "RS256" }

func (rs256) Sign(signingString string, key any) ([]byte, error) {
	digest := crypto.SHA256.New()
	digest.Write([]byte(signingString))
	return key.(crypto.Signer).Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
}

func (rs256) Verify(signingString string, sig []byte, key any) error {
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return jwt.ErrInvalidKeyType
	}
	digest := crypto.SHA256.New()
	digest.Write([]byte(signingString))
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest.Sum(nil), sig)
}
