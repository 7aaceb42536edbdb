package maskinportentest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Configure sets f up as a JSON file says: for a Fake that runs as a process.
// What the file does not speak of stays as it is. Files that it names are found
// from its folder; durations are numbers of seconds. All of it, with what each
// part stands for:
//
//	{
//	  "as_deployed": true,              AsDeployed
//	  "omit_codes": true,               OmitCodes
//	  "token_lifetime": 120,            SetTokenLifetime
//	  "clock_offset": -30,              SetClock
//	  "arrival": 60,                    SelfService().SetArrival
//	  "ca_files": ["ca.pem"],           TrustCA
//	  "clients": [{                     AddClient
//	    "id": "…", "name": "…", "org_number": "…", "scopes": ["…"],
//	    "integration_type": "maskinporten", "token_lifetime": 120,
//	    "keys": [{"id": "…", "file": "key.pem", "expires": "2027-01-01T00:00:00Z"},
//	             {"jwk": {"kty": "RSA", …}}]
//	  }],
//	  "scopes": [{"name": "…", "description": "…", "org_number": "…", "open": true, "max_lifetime": 60}],
//	  "access": [{"scope": "…", "org_numbers": ["…"], "state": "APPROVED"}],
//	  "delegations": [{"scope": "…", "consumer": "…", "supplier": "…"}],
//	  "undelegated": [{"scope": "…", "consumer": "…", "supplier": "…"}],
//	  "tokens": [{"client_id": "…", "scope": "…", "granted": "…", "claims": {}, "opaque": true}],
//	  "faults": [{"times": 1, "mp_code": "MP-121", "code": "…", "description": "…", "status": 503,
//	    "body": "…", "retry_after": 5, "delay": 15, "drop": true, "cut": true, "client_id": "…"}]
//	}
//
// An access without a state is APPROVED and closes the scope to all others; a
// fault without times lasts. A name that is not among these is an error.
func (f *Fake) Configure(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("maskinportentest: %w", err)
	}
	var s setup
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("maskinportentest: %s is not a configuration in JSON: %w", path, err)
	}
	if d.More() {
		return fmt.Errorf("maskinportentest: %s: something stands after the configuration: there is one object in a file", path)
	}
	s.dir = filepath.Dir(path)
	if err := s.apply(f); err != nil {
		return fmt.Errorf("maskinportentest: %s: %w", path, err)
	}
	return nil
}

type setup struct {
	dir string

	AsDeployed    bool              `json:"as_deployed"`
	OmitCodes     bool              `json:"omit_codes"`
	TokenLifetime float64           `json:"token_lifetime"`
	ClockOffset   float64           `json:"clock_offset"`
	Arrival       float64           `json:"arrival"`
	CAFiles       []string          `json:"ca_files"`
	Clients       []setupClient     `json:"clients"`
	Scopes        []setupScope      `json:"scopes"`
	Access        []setupAccess     `json:"access"`
	Delegations   []setupDelegation `json:"delegations"`
	Undelegated   []setupDelegation `json:"undelegated"`
	Tokens        []setupTokens     `json:"tokens"`
	Faults        []setupFault      `json:"faults"`
}

type setupClient struct {
	ID              string     `json:"id"`
	Name            string     `json:"name"`
	OrgNumber       string     `json:"org_number"`
	Scopes          []string   `json:"scopes"`
	IntegrationType string     `json:"integration_type"`
	TokenLifetime   float64    `json:"token_lifetime"`
	Keys            []setupKey `json:"keys"`
}

type setupKey struct {
	ID      string          `json:"id"`
	File    string          `json:"file"`
	JWK     json.RawMessage `json:"jwk"`
	Expires time.Time       `json:"expires"`
}

type setupScope struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	OrgNumber   string  `json:"org_number"`
	Open        bool    `json:"open"`
	MaxLifetime float64 `json:"max_lifetime"`
}

type setupAccess struct {
	Scope      string      `json:"scope"`
	OrgNumbers []string    `json:"org_numbers"`
	State      AccessState `json:"state"`
}

type setupDelegation struct {
	Scope    string `json:"scope"`
	Consumer string `json:"consumer"`
	Supplier string `json:"supplier"`
}

type setupTokens struct {
	ClientID string         `json:"client_id"`
	Scope    string         `json:"scope"`
	Granted  string         `json:"granted"`
	Claims   map[string]any `json:"claims"`
	Opaque   bool           `json:"opaque"`
}

type setupFault struct {
	Times       int     `json:"times"`
	ClientID    string  `json:"client_id"`
	MPCode      string  `json:"mp_code"`
	Code        string  `json:"code"`
	Description string  `json:"description"`
	Status      int     `json:"status"`
	Body        string  `json:"body"`
	RetryAfter  float64 `json:"retry_after"`
	Delay       float64 `json:"delay"`
	Drop        bool    `json:"drop"`
	Cut         bool    `json:"cut"`
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func (s *setup) read(file string) ([]byte, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.dir, file)
	}
	return os.ReadFile(file)
}

func (s *setup) apply(f *Fake) error {
	for _, file := range s.CAFiles {
		data, err := s.read(file)
		if err != nil {
			return err
		}
		if err := f.trustCA(data); err != nil {
			return fmt.Errorf("ca_files: %s: %w", file, err)
		}
	}
	for i, c := range s.Clients {
		if err := s.addClient(f, c); err != nil {
			return fmt.Errorf("clients[%d]: %w", i, err)
		}
	}
	for _, sc := range s.Scopes {
		f.AddScope(Scope{Name: sc.Name, Description: sc.Description, OrgNumber: sc.OrgNumber, Open: sc.Open, MaxLifetime: duration(sc.MaxLifetime)})
	}
	for i, a := range s.Access {
		switch a.State {
		case "", AccessApproved:
			f.GrantAccess(a.Scope, a.OrgNumbers...)
		case AccessRequested, AccessDenied:
			f.SetAccess(a.Scope, a.State, a.OrgNumbers...)
		default:
			return fmt.Errorf("access[%d]: state must be APPROVED, REQUESTED or DENIED, not %q", i, a.State)
		}
	}
	for _, d := range s.Delegations {
		f.Delegate(d.Scope, d.Consumer, d.Supplier)
	}
	for _, d := range s.Undelegated {
		f.Undelegate(d.Scope, d.Consumer, d.Supplier)
	}
	if s.Tokens != nil {
		var shapes []TokenShape
		for _, t := range s.Tokens {
			shapes = append(shapes, TokenShape{ClientID: t.ClientID, Scope: t.Scope, Granted: t.Granted, Claims: t.Claims, Opaque: t.Opaque})
		}
		f.ShapeTokens(shapes...)
	}
	for i, fault := range s.Faults {
		if err := fault.apply(f); err != nil {
			return fmt.Errorf("faults[%d]: %w", i, err)
		}
	}
	if s.AsDeployed {
		f.AsDeployed()
	}
	if s.OmitCodes {
		f.OmitCodes(true)
	}
	if s.TokenLifetime > 0 {
		f.SetTokenLifetime(duration(s.TokenLifetime))
	}
	if s.ClockOffset != 0 {
		f.SetClock(duration(s.ClockOffset))
	}
	if s.Arrival > 0 {
		f.SelfService().SetArrival(duration(s.Arrival))
	}
	return nil
}

func (s *setup) addClient(f *Fake, c setupClient) error {
	if c.ID == "" {
		return errors.New("id must not be empty")
	}
	client := Integration{
		ID: c.ID, Name: c.Name, OrgNumber: c.OrgNumber, Scopes: c.Scopes,
		IntegrationType: c.IntegrationType, TokenLifetime: duration(c.TokenLifetime),
	}
	for i, k := range c.Keys {
		key := Key{ID: k.ID, Data: k.JWK, Expires: k.Expires}
		if k.File != "" {
			var err error
			if key.Data, err = s.read(k.File); err != nil {
				return fmt.Errorf("keys[%d]: %w", i, err)
			}
		}
		if _, err := key.prepare(f.now()); err != nil {
			return fmt.Errorf("keys[%d]: %w", i, err)
		}
		client.Keys = append(client.Keys, key)
	}
	f.AddClient(client)
	return nil
}

func (s setupFault) apply(f *Fake) error {
	fault := Fault{
		MPCode: s.MPCode, Code: s.Code, Description: s.Description, Status: s.Status, Body: s.Body,
		RetryAfter: duration(s.RetryAfter), Delay: duration(s.Delay), Drop: s.Drop, Cut: s.Cut,
	}
	if s.ClientID != "" {
		fault.When = func(g Grant) bool { return g.ClientID == s.ClientID }
	}
	if err := fault.check(); err != nil {
		return err
	}
	if s.Times > 0 {
		f.FailNext(s.Times, fault)
	} else {
		f.Fail(fault)
	}
	return nil
}
