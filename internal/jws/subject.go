package jws

import (
	"errors"
	"fmt"
	"strings"
)

// Subject is whom a token was asked for. What is empty was not asked for.
type Subject struct {
	Owner      string // organisation number of the one who asks; empty if it is not known
	Consumer   string // organisation number of the customer on whose behalf
	OtherParty bool   // the customer is named in another way (iss_onbehalfof)
	PID        string
	SystemUser string // organisation number of the systembruker's owner
	ConsentID  string
}

// Mismatch is a token that speaks for another than it was asked for. Its text
// names no person.
type Mismatch struct{ text string }

func (e *Mismatch) Error() string { return e.text }

// Check compares s with what token says of itself, so that nobody's data is
// given to another. It returns a *[Mismatch], or an *[Error] for a JWT that
// cannot be read. An opaque token passes, and so does what a token leaves out.
func (s Subject) Check(token string) error {
	claims, err := Unverified(token)
	if errors.Is(err, ErrNotJWT) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.checkOrganisations(claims); err != nil {
		return err
	}
	pid, err := claims.Text("pid")
	if err != nil {
		return err
	}
	if pid != "" && pid != s.PID {
		return &Mismatch{"it is about " + another("person", s.PID)}
	}
	return s.checkDetails(claims)
}

func (s Subject) checkOrganisations(claims Object) error {
	consumer, err := claims.Organisation("consumer")
	if err != nil {
		return err
	}
	supplier, err := claims.Organisation("supplier")
	if err != nil {
		return err
	}
	differ := func(asked string, got Organisation) error {
		id := got.ID
		if numberOf(got) == "" {
			id = printable(id)
		}
		return &Mismatch{fmt.Sprintf("asked for %s, got %q", asked, id)}
	}
	switch {
	case s.OtherParty:
	case s.Consumer != "":
		if consumer.ID != "" && numberOf(consumer) != s.Consumer {
			return differ(s.Consumer, consumer)
		}
		if number := numberOf(supplier); s.Owner != "" && number != "" && number != s.Owner {
			return differ("supplier "+s.Owner, supplier)
		}
	case s.Owner != "" && numberOf(consumer) != "":
		if numberOf(consumer) != s.Owner {
			return differ("the own organisation, "+s.Owner, consumer)
		}
	case supplier.ID != "":
		return differ("the own organisation", consumer) // only a customer's token names a supplier
	}
	return nil
}

// numberOf returns the number in o, which may leave out its register.
func numberOf(o Organisation) string {
	if o.Authority == "" {
		o.Authority = iso6523
	}
	return o.Number()
}

// checkDetails looks at the parties in authorization_details. Of one kind there
// may be several: one of them must be whom s is about.
func (s Subject) checkDetails(claims Object) error {
	details, _ := claims.Array("authorization_details")
	var users, consents []string
	for _, detail := range details {
		d, err := ParseObject("a detail", detail)
		if err != nil {
			continue
		}
		switch kind, _ := d.Text("type"); kind {
		case "urn:altinn:systemuser":
			if owner, _ := d.Organisation("systemuser_org"); owner.ID != "" {
				users = append(users, numberOf(owner))
			}
		case "urn:altinn:consent":
			if id, _ := d.Text("id"); id != "" {
				consents = append(consents, id)
			}
		}
	}
	if !oneIs(users, s.SystemUser) {
		return &Mismatch{"it is for " + another("systembruker", s.SystemUser)}
	}
	if !oneIs(consents, s.ConsentID) {
		return &Mismatch{"it is by " + another("consent", s.ConsentID)}
	}
	return nil
}

// oneIs reports whether asked is among those stated, if any are.
func oneIs(stated []string, asked string) bool {
	for _, s := range stated {
		if strings.EqualFold(s, asked) {
			return true
		}
	}
	return len(stated) == 0
}

// another says that a token names a party of some kind that was not asked for.
func another(kind, asked string) string {
	if asked == "" {
		return "a " + kind + ", and none was asked for"
	}
	return "another " + kind + " than was asked for"
}
