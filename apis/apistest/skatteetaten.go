package apistest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// codeTable are the error codes that an API documents.
type codeTable map[string]code

type code struct {
	status  int
	message string
}

// Those of Skatteetaten's three APIs, with the ones that all its services have
// (DAS). The tables say 401 for a failed authentication and 403 for a lacking
// authorisation; Skatteetaten's general page has it the other way round.
var (
	imCodes = withCommon(codeTable{
		"IM-001": {500, "Uventet feil på tjenesten."},
		"IM-002": {500, "Uventet feil i et bakenforliggende system."},
		"IM-003": {404, "Ukjent url benyttet."},
		"IM-004": {401, "Feil i forbindelse med autentisering."},
		"IM-005": {403, "Feil i forbindelse med autorisering."},
		"IM-006": {400, "Feil i forbindelse med validering av inputdata."},
		"IM-007": {404, "Ikke treff på oppgitt personidentifikator."},
		"IM-008": {404, "Det finnes ikke inntektsopplysninger for angitt personidentifikator og tidspunkt."},
		"IM-009": {406, "Feil tilknyttet dataformat. Kun json eller xml er støttet."},
		"IM-010": {403, "Feil i forbindelse med samtykke."},
	})
	immCodes = withCommon(codeTable{
		"IM-001": {500, "Uventet feil på tjenesten."},
		"IM-002": {500, "Uventet feil i et bakenforliggende system."},
		"IM-003": {404, "Ukjent url benyttet."},
		"IM-004": {401, "Feil i forbindelse med autentisering."},
		"IM-005": {403, "Feil i forbindelse med autorisering."},
		"IM-006": {400, "Feil i forbindelse med validering av inputdata."},
		"IM-007": {404, "Ingen data funnet for angitt søk."},
		"IM-008": {406, "Feil tilknyttet dataformat. Kun json eller xml er støttet."},
	})
	otpCodes = withCommon(codeTable{
		"OTP-001": {500, "Uventet feil på tjenesten."},
		"OTP-002": {500, "Uventet feil i et bakenforliggende system."},
		"OTP-003": {404, "Ukjent url benyttet."},
		"OTP-004": {401, "Feil i forbindelse med autentisering."},
		"OTP-005": {403, "Feil i forbindelse med autorisering."},
		"OTP-006": {400, "Feil i forbindelse med validering av inputdata."},
		"OTP-007": {404, "Ingen data funnet på oppgitte inputparametere."},
		"OTP-008": {406, "Feil tilknyttet dataformat. Kun json eller xml er støttet."},
	})
)

func withCommon(t codeTable) codeTable {
	maps.Copy(t, codeTable{
		"DAS-001": {500, "Det var en uventet feil på tjenesten."},
		"DAS-002": {404, "Den forespurte URLen svarer ikke til et gyldig endepunkt"},
		"DAS-003": {500, "Den forespurte informasjonen er for øyeblikket utilgjengelig, vennligst prøv igjen senere!"},
		"DAS-004": {500, "Det skjedde en feil i forbindelse med intern autentisering i Skatteetaten"},
		"DAS-005": {500, "Det skjedde en feil i forbindelse med intern autentisering i Skatteetaten"},
		"DAS-006": {500, "Det skjedde en feil i forbindelse med intern autentisering i Skatteetaten"},
		"DAS-007": {500, "Det skjedde en feil i forbindelse med intern autentisering i Skatteetaten"},
		"DAS-008": {403, "Du er ikke autorisert for tilgang til den forespurte ressursen."},
	})
	return t
}

// fail is an error as the API words it; an empty message means the documented
// one.
func (c *call) fail(name, message string) *answer {
	known := c.api.codes[name]
	if message == "" {
		message = known.message
	}
	if c.isNAV() {
		return c.graphQLErrors(graphQLError{name, message})
	}
	feil := struct {
		XMLName       xml.Name `json:"-" xml:"urn:no:skatteetaten:datasamarbeid:feil:v1 feil"`
		Code          string   `json:"kode" xml:"kode"`
		Message       string   `json:"melding" xml:"melding"`
		CorrelationID string   `json:"korrelasjonsid" xml:"korrelasjonsid"`
	}{Code: name, Message: message, CorrelationID: c.id}
	out := &answer{status: known.status, header: http.Header{"Content-Type": {"application/json"}}, code: name}
	if c.xml {
		out.header.Set("Content-Type", "application/xml")
		out.body, _ = xml.Marshal(feil) // plain strings always can be
	} else {
		out.body = marshal(feil)
	}
	return out
}

// ok is data in the format that was asked for. In XML the elements have the
// fields' names; their namespaces are not imitated.
func (c *call) ok(root string, v map[string]any) *answer {
	if !c.xml {
		return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: append(marshal(v), '\n')}
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	writeXML(&b, root, v)
	return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/xml"}}, body: b.Bytes()}
}

func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("apistest: the data that a test set is not JSON: %v", err))
	}
	return raw
}

// merged is an answer's object with the fields that a test set, all of it as a
// reader of JSON would see it.
func merged(o, fields map[string]any) map[string]any {
	maps.Copy(o, fields)
	d := json.NewDecoder(bytes.NewReader(marshal(o)))
	d.UseNumber() // a float would print as 5e+06 in XML
	var read map[string]any
	if err := d.Decode(&read); err != nil {
		panic(fmt.Sprintf("apistest: %v", err)) // it was just written
	}
	return read
}

// writeXML writes v as an element, a list as one element for each of its values.
func writeXML(b *bytes.Buffer, name string, v any) {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, item := range v {
			writeXML(b, name, item)
		}
	case map[string]any:
		fmt.Fprintf(b, "<%s>", name)
		for _, field := range slices.Sorted(maps.Keys(v)) {
			writeXML(b, field, v[field])
		}
		fmt.Fprintf(b, "</%s>", name)
	default:
		fmt.Fprintf(b, "<%s>", name)
		xml.EscapeText(b, []byte(fmt.Sprint(v)))
		fmt.Fprintf(b, "</%s>", name)
	}
}

// negotiate reads what the caller says of the format and the correlation id.
func (c *call) negotiate() {
	c.xml = strings.Contains(c.Header.Get("Accept"), "application/xml")
	c.id = c.Header.Get("Korrelasjonsid")
	if c.isNAV() {
		c.id = c.Header.Get("correlation-id")
	}
	if c.id == "" {
		c.id = newID()
	}
}

// acceptable reports whether the caller takes JSON or XML.
func (c *call) acceptable() bool {
	accept := c.Header.Get("Accept")
	return accept == "" || strings.Contains(accept, "*/*") || strings.Contains(accept, "application/*") ||
		strings.Contains(accept, "application/json") || c.xml
}

// denied is the answer to a call without a token that will do.
func (c *call) denied(d *maskinportentest.Denied) *answer {
	if c.isNAV() {
		return &answer{status: d.Status, header: http.Header{"Www-Authenticate": {d.Challenge}, "Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(http.StatusText(d.Status) + "\n")}
	}
	name := c.prefix() + "-004"
	if d.Status == http.StatusForbidden {
		name = c.prefix() + "-005"
	}
	out := c.fail(name, "")
	out.header.Set("WWW-Authenticate", d.Challenge)
	return out
}

// prefix is that of the API's own codes.
func (c *call) prefix() string {
	if _, ok := c.api.codes["OTP-001"]; ok {
		return "OTP"
	}
	return "IM"
}

// common checks what all of Skatteetaten's APIs want; nil if all is well.
func (c *call) common(notAcceptable string) *answer {
	p := c.prefix()
	switch {
	case len(c.token.audience) > 0 && !slices.Equal(c.token.audience, []string{"unspecified"}):
		return c.fail(p+"-004", "Tokenet er ment for en annen mottaker")
	case !c.acceptable():
		return c.fail(notAcceptable, "")
	case c.Header.Get("Korrelasjonsid") != "" && !c.api.ids.use(c.id):
		return c.fail(p+"-006", "Korrelasjonsid er brukt før: den må være ny for hvert kall")
	}
	return nil
}

// period reads fraOgMed and tilOgMed; without the latter it is this month.
func (c *call) period() (from, to time.Time, ok bool) {
	q := c.URL.Query()
	from, ok = parseMonth(q.Get("fraOgMed"))
	if !ok {
		return from, to, false
	}
	if s := q.Get("tilOgMed"); s != "" {
		to, ok = parseMonth(s)
	} else {
		to, _ = parseMonth(time.Now().Format(monthLayout))
	}
	return from, to, ok && !to.Before(from)
}

const badPeriod = "fraOgMed og tilOgMed må være en periode på formen YYYY-MM"

// usedIDs are correlation ids that were used: the latest 10,000 of them.
type usedIDs struct {
	mu    sync.Mutex
	seen  map[string]bool
	order []string
}

const maxIDs = 10_000

// use reports whether the id is new.
func (u *usedIDs) use(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[id] {
		return false
	}
	if u.seen == nil {
		u.seen = make(map[string]bool)
	}
	if len(u.order) == maxIDs {
		delete(u.seen, u.order[0])
		u.order = u.order[1:]
	}
	u.seen[id] = true
	u.order = append(u.order, id)
	return true
}

// newID is a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func digits(s string, n int) bool { return len(s) == n && strings.Trim(s, "0123456789") == "" }
