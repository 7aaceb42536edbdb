package apistest

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Income is what an employer reports for a person and a month.
type Income struct {
	PID      string // empty means [Person]
	Month    string // 2026-01
	Employer string // opplysningspliktig; empty means [Employer]
	Amount   int    // of a fastlønn in kroner

	// Fields are added to the answer's object (oppgaveInntektsmottaker), or put
	// in place of its own.
	Fields map[string]any
}

// Employment is an arbeidsforhold in Aa-registeret.
type Employment struct {
	PID      string // empty means [Person]
	Employer string // opplysningspliktig; empty means [Employer]
	From, To string // 2019-11-01; empty means that day, and for as long as it lasts

	// Fields are added to the answer's object, or put in place of its own.
	Fields map[string]any
}

// Agreement is a tjenestepensjonsavtale: an employer's with a pension provider.
type Agreement struct {
	Provider  string // organisation number
	Employer  string // empty means [Employer]
	Reference string // avtalereferanse
	From, To  string // 2026-01; an empty To is open
}

// data is what the APIs know.
type data struct {
	mu                sync.Mutex
	incomes           []Income
	incomesListed     bool
	deleted           map[string]bool
	employments       []Employment
	employmentsListed bool
	agreements        []Agreement
}

// AddIncome makes incomes known. Until it is called for the first time, every
// person except [UnknownPerson] has an income of 50,000 kroner from [Employer]
// in every month; from then on, only what was added is there.
func (a *APIs) AddIncome(incomes ...Income) {
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	a.data.incomesListed = true
	for _, i := range incomes {
		i.PID, i.Employer = cmp.Or(i.PID, Person), cmp.Or(i.Employer, Employer)
		mustMonth("Income.Month", i.Month)
		a.data.incomes = append(a.data.incomes, i)
	}
}

// DeleteIncome has all that is known of a person deleted: Skatteetaten answers
// 410 from then on.
func (a *APIs) DeleteIncome(pid string) {
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	if a.data.deleted == nil {
		a.data.deleted = make(map[string]bool)
	}
	a.data.deleted[pid] = true
}

// AddEmployment makes employments known. Until it is called for the first time,
// [Person] works at every employer, and every person at [Employer], since
// November 2019; from then on, only what was added is there.
func (a *APIs) AddEmployment(employments ...Employment) {
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	a.data.employmentsListed = true
	for _, e := range employments {
		e.PID, e.Employer, e.From = cmp.Or(e.PID, Person), cmp.Or(e.Employer, Employer), cmp.Or(e.From, "2019-11-01")
		a.data.employments = append(a.data.employments, e)
	}
}

// AddAgreement makes agreements known, in place of those of the same provider
// and employer with the same reference, as the API itself does.
func (a *APIs) AddAgreement(agreements ...Agreement) {
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	for _, g := range agreements {
		g.Employer = cmp.Or(g.Employer, Employer)
		mustMonth("Agreement.From", g.From)
		a.data.putAgreement(g)
	}
}

// Agreements returns what is known now, those that calls registered too.
func (a *APIs) Agreements() []Agreement {
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	return slices.Clone(a.data.agreements)
}

func mustMonth(field, month string) {
	if _, ok := parseMonth(month); !ok {
		panic("apistest: " + field + " must be a month such as 2026-01, not " + month)
	}
}

func parseMonth(s string) (time.Time, bool) {
	t, err := time.Parse(monthLayout, s)
	return t, err == nil
}

const monthLayout = "2006-01"

func (d *data) putAgreement(g Agreement) {
	d.removeAgreement(g)
	d.agreements = append(d.agreements, g)
}

// removeAgreement reports whether there was one.
func (d *data) removeAgreement(g Agreement) bool {
	before := len(d.agreements)
	d.agreements = slices.DeleteFunc(d.agreements, func(old Agreement) bool {
		return old.Provider == g.Provider && old.Employer == g.Employer && old.Reference == g.Reference
	})
	return len(d.agreements) < before
}

// incomesOf are a person's in a period. Known reports whether anything is known
// of the person at all.
func (d *data) incomesOf(pid string, from, to time.Time) (found []Income, known, deleted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deleted[pid] {
		return nil, true, true
	}
	if !d.incomesListed {
		if pid == UnknownPerson {
			return nil, false, false
		}
		for month := range months(from, to) {
			found = append(found, Income{PID: pid, Month: month.Format(monthLayout), Employer: Employer, Amount: 50_000})
		}
		return found, true, false
	}
	for _, i := range d.incomes {
		if i.PID != pid {
			continue
		}
		known = true
		if m, _ := parseMonth(i.Month); !m.Before(from) && !m.After(to) {
			found = append(found, i)
		}
	}
	return found, known, false
}

// recipientsOf are those for whom an employer reported income in a period.
func (d *data) recipientsOf(employer string, from, to time.Time) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.incomesListed {
		return []string{Person}
	}
	pids := make(map[string]bool)
	for _, i := range d.incomes {
		if m, _ := parseMonth(i.Month); i.Employer == employer && !m.Before(from) && !m.After(to) {
			pids[i.PID] = true
		}
	}
	return slices.Sorted(maps.Keys(pids))
}

// employmentsAt are those at an employer, of one person if pid is not empty,
// that overlap with a period.
func (d *data) employmentsAt(employer, pid string, from, to time.Time) []Employment {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.employments
	if !d.employmentsListed {
		all = []Employment{{PID: cmp.Or(pid, Person), Employer: employer, From: "2019-11-01"}}
		if pid != "" && pid != Person && employer != Employer {
			all = nil
		}
	}
	end := to.AddDate(0, 1, 0) // the first day after the period
	var found []Employment
	for _, e := range all {
		if e.Employer != employer || pid != "" && e.PID != pid {
			continue
		}
		started, _ := time.Parse(time.DateOnly, e.From)
		ended, err := time.Parse(time.DateOnly, e.To)
		if started.Before(end) && (err != nil || !ended.Before(from)) {
			found = append(found, e)
		}
	}
	return found
}

// uncovered are the months of a period in which a provider has no agreement
// with an employer, where each month of an agreement reaches so many months back
// and ahead.
func (d *data) uncovered(provider, employer string, from, to time.Time, back, ahead int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []string
	for month := range months(from, to) {
		if !slices.ContainsFunc(d.agreements, func(g Agreement) bool {
			start, _ := parseMonth(g.From)
			end, closed := parseMonth(g.To)
			return g.Provider == provider && g.Employer == employer &&
				!month.Before(start.AddDate(0, -back, 0)) && (!closed || !month.After(end.AddDate(0, ahead, 0)))
		}) {
			missing = append(missing, month.Format(monthLayout))
		}
	}
	return missing
}

// months yields the months of a period, both ends included.
func months(from, to time.Time) func(func(time.Time) bool) {
	return func(yield func(time.Time) bool) {
		for m := from; !m.After(to) && yield(m); m = m.AddDate(0, 1, 0) {
		}
	}
}
