package maskinporten

import "time"

// Claims is what an access token says (PROTOCOL: Digdir, access token page).
type Claims struct {
	Issuer    string
	ID        string // jti
	IssuedAt  time.Time
	Expiry    time.Time
	Scopes    []string
	Audience  []string // the resource asked for; "unspecified" when not restricted
	ClientID  string
	ClientAMR string // how the client authenticated: private_key_jwt, virksomhetssertifikat, …

	Consumer         OrgNumber // on whose behalf
	Supplier         OrgNumber // who asked, when delegated; else empty
	DelegationSource string    // where it was delegated; else empty

	PID         string // the person the token is restricted to; else empty
	SystemUsers []SystemUserClaim
	Consents    []ConsentClaim
}

// SystemUserClaim is a systembruker in a token's authorization_details.
type SystemUserClaim struct {
	IDs      []string
	SystemID string
	Owner    OrgNumber
}

// ConsentClaim is a consent in a token's authorization_details.
type ConsentClaim struct {
	ID, From, To string
	Consented    time.Time
	ValidTo      time.Time
}
