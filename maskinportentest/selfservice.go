package maskinportentest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// SelfService is Samarbeidsportalen's API for integrations, keys and scopes
// (https://docs.digdir.no/docs/idporten/oidc/oidc_api_admin), on the clients
// that its [Fake] knows. It takes tokens of the Fake with Digdir's scopes
// (idporten:dcr.read, .modify, .write, .supplier, idporten:scopes.write), and
// shows an organisation its own integrations only.
//
// It answers below [SelfService.URL], and in memory also at Digdir's own
// addresses. What is changed reaches Maskinporten at once, or after
// [SelfService.SetArrival].
type SelfService struct {
	fake   *Fake
	faults faults

	mu       sync.Mutex
	arrival  time.Duration
	requests []SelfServiceRequest
}

// SelfServiceRequest is a call of the self-service API, and its answer.
type SelfServiceRequest struct {
	Time         time.Time
	Method, Path string // below the base URL; the path with its query
	Body         []byte
	OrgNumber    string // the token's consumer; empty without a token
	Status       int    // zero if the connection was broken off
	Answer       string
}

// SelfService returns the self-service API beside f.
func (f *Fake) SelfService() *SelfService { return f.selfService }

const selfServicePath = "/api/v1"

// URL returns the base URL, to which /clients and the others are added: below
// the server's address, or in memory Digdir's own.
func (s *SelfService) URL() string {
	switch {
	case s.fake.base != "":
		return s.fake.base + selfServicePath
	case s.fake.env.Issuer == maskinporten.Prod.Issuer:
		return "https://api.samarbeid.digdir.no" + selfServicePath
	}
	return "https://api.test.samarbeid.digdir.no" + selfServicePath
}

// SetArrival sets how long it takes until a change reaches Maskinporten. At
// first that is no time; Digdir says up to two minutes.
func (s *SelfService) SetArrival(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrival = d
}

// FailNext has the next n calls fail, whatever they are. Fault.MPCode and
// Fault.When are not looked at; with a Description, the answer has the API's
// own error shape.
func (s *SelfService) FailNext(n int, fault Fault) {
	fault.When = nil
	s.faults.failNext(n, fault)
}

// Fail is as [SelfService.FailNext], until [SelfService.Heal].
func (s *SelfService) Fail(fault Fault) {
	fault.When = nil
	s.faults.fail(fault)
}

// Heal ends all faults of the self-service API.
func (s *SelfService) Heal() { s.faults.heal() }

// Requests returns the calls that came, oldest first: the latest 1,000 of
// them.
func (s *SelfService) Requests() []SelfServiceRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// problem is an error of the API: a status, and what is wrong in which field.
type problem struct {
	status int
	errors []fieldError
}

type fieldError struct{ field, message string }

// wrong is a problem with the request as a whole.
func wrong(status int, message string) *problem {
	return &problem{status, []fieldError{{"", message}}}
}

// reply is the problem in the shape of the API.
func (p *problem) reply(now time.Time) *reply {
	var list []map[string]any
	for _, e := range p.errors {
		list = append(list, map[string]any{
			"errorMessage":    e.message,
			"isFieldError":    e.field != "",
			"objectName":      "request",
			"fieldIdentifier": e.field,
		})
	}
	return jsonReply(p.status, map[string]any{
		"status":            p.status,
		"timestamp":         now.Format(portalTime),
		"correlation_id":    uuidOf(randomID()),
		"errors":            list,
		"error":             ", error 1", // as the API says it: the list has the reason
		"error_description": ", error 1",
	})
}

const portalTime = "2006-01-02T15:04:05.000Z07:00"

// call is a request of the API, on its way to an answer.
type call struct {
	*SelfService
	now      time.Time
	method   string
	segments []string // of the path
	query    map[string][]string
	body     []byte
	org      string // the token's consumer
	scopes   []string
}

func (s *SelfService) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	now := s.fake.now()
	entry := SelfServiceRequest{Time: now, Method: r.Method, Path: strings.TrimPrefix(r.URL.RequestURI(), selfServicePath), Body: body}
	fault := s.faults.take(Grant{})
	var out *reply
	switch {
	case err != nil:
		out = wrong(http.StatusBadRequest, "The body could not be read").reply(now)
	case fault.Description != "":
		f := fault.refusal()
		out = wrong(f.status, f.description).reply(now)
		maps.Copy(out.header, fault.Header)
	case fault.answers():
		out = fault.reply(s.fake, fault.refusal())
	default:
		out, entry.OrgNumber = s.answer(r, body, now)
	}
	out.cut, out.drop = fault.Cut, fault.Drop
	entry.Status, entry.Answer = out.status, out.body
	if out.drop {
		entry.Status, entry.Answer = 0, ""
	}
	s.mu.Lock()
	if len(s.requests) == maxGrants {
		s.requests = s.requests[1:]
	}
	s.requests = append(s.requests, entry)
	s.mu.Unlock()
	if fault.wait(r) {
		out.send(w)
	}
}

// answer finds what is asked for, and whether the token allows it.
func (s *SelfService) answer(r *http.Request, body []byte, now time.Time) (out *reply, org string) {
	below, ok := strings.CutPrefix(r.URL.Path, selfServicePath+"/")
	if !ok || strings.HasSuffix(below, "/") { // no slash at the end since 2025
		return wrong(http.StatusNotFound, "No such resource").reply(now), ""
	}
	c := &call{
		SelfService: s, now: now, method: r.Method, body: body, query: r.URL.Query(),
		segments: strings.Split(path.Clean("/" + below)[1:], "/"), // as servers do: a ".." leads elsewhere
	}
	route, p := c.route()
	if p == nil && route.scopes != nil {
		p = c.authorize(r, route.scopes)
	}
	if p != nil {
		return p.reply(now), c.org
	}
	status, v, p := route.do()
	switch {
	case p != nil:
		return p.reply(now), c.org
	case v == nil:
		return &reply{status: status, header: http.Header{}}, c.org
	}
	return jsonReply(status, v), c.org
}

// route is one call of the API: any one of the scopes opens it, nil is open to
// all.
type route struct {
	scopes []string
	do     func() (status int, v any, p *problem)
}

var (
	readScopes   = []string{"idporten:dcr.read"}
	modifyScopes = []string{"idporten:dcr.modify", "idporten:dcr.write"}
	writeScopes  = []string{"idporten:dcr.write"}
	accessScopes = []string{"idporten:dcr.read", "idporten:dcr.modify", "idporten:dcr.write", "idporten:scopes.write"}
	ownerScopes  = []string{"idporten:scopes.write"}
)

func (c *call) route() (route, *problem) {
	var methods map[string]route
	switch s := c.segments; {
	case len(s) == 1 && s[0] == "clients":
		methods = map[string]route{"GET": {readScopes, c.listClients}, "POST": {writeScopes, c.createClient}}
	case len(s) == 2 && s[0] == "clients":
		methods = map[string]route{"GET": {readScopes, c.getClient}, "PUT": {modifyScopes, c.putClient}, "DELETE": {modifyScopes, c.deleteClient}}
	case len(s) == 3 && s[0] == "clients" && s[2] == "jwks":
		methods = map[string]route{"GET": {readScopes, c.getKeys}, "POST": {modifyScopes, c.putKeys}, "PUT": {modifyScopes, c.putKeys}, "DELETE": {modifyScopes, c.deleteKeys}}
	case slices.Equal(s, []string{"delegationsources"}):
		methods = map[string]route{"GET": {nil, c.delegationSources}}
	case slices.Equal(s, []string{"scopes", "all"}):
		methods = map[string]route{"GET": {nil, c.allScopes}}
	case slices.Equal(s, []string{"scopes", "access", "all"}):
		methods = map[string]route{"GET": {accessScopes, c.ownAccess}}
	case slices.Equal(s, []string{"scopes"}):
		methods = map[string]route{"GET": {ownerScopes, c.getScopes}, "POST": {ownerScopes, c.createScope}, "PUT": {ownerScopes, c.putScope}, "DELETE": {ownerScopes, c.deleteScope}}
	case slices.Equal(s, []string{"scopes", "access"}):
		methods = map[string]route{"GET": {ownerScopes, c.scopeAccess}}
	case len(s) == 3 && s[0] == "scopes" && s[1] == "access":
		methods = map[string]route{"PUT": {ownerScopes, c.grantAccess}, "DELETE": {ownerScopes, c.withdrawAccess}}
	default:
		return route{}, wrong(http.StatusNotFound, "No such resource")
	}
	found, ok := methods[c.method]
	if !ok {
		return route{}, wrong(http.StatusMethodNotAllowed, "The method is not allowed here")
	}
	return found, nil
}

func (c *call) authorize(r *http.Request, anyOf []string) *problem {
	claims, denied := c.fake.Check(r, "")
	if denied != nil {
		return wrong(http.StatusUnauthorized, "The token is not valid: "+denied.Reason)
	}
	c.org, c.scopes = string(claims.Consumer), claims.Scopes
	if !slices.ContainsFunc(anyOf, func(s string) bool { return slices.Contains(c.scopes, s) }) {
		return wrong(http.StatusForbidden, "The token lacks the scope "+strings.Join(anyOf, " or "))
	}
	return nil
}

// object reads the body, which must be one JSON object.
func (c *call) object() (map[string]any, *problem) {
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil || o == nil {
		return nil, wrong(http.StatusBadRequest, "The body must be a JSON object")
	}
	return o, nil
}

// arrives is when a change made now reaches Maskinporten.
func (c *call) arrives() time.Time {
	c.SelfService.mu.Lock()
	defer c.SelfService.mu.Unlock()
	return c.now.Add(c.arrival)
}
