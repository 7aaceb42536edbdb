package maskinportentest

import "slices"

// grantLog is the latest grants, and how many there have been.
type grantLog struct {
	total  int
	latest []Grant // a ring once it is full
}

const maxGrants = 1000

func (f *Fake) logGrant(g Grant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.log.latest) < maxGrants {
		f.log.latest = append(f.log.latest, g)
	} else {
		f.log.latest[f.log.total%maxGrants] = g
	}
	f.log.total++
}

// TokenRequests returns how many requests the token endpoint has got, whatever
// they were answered.
func (f *Fake) TokenRequests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.total
}

// Grants returns the token requests that came, oldest first, with what they
// were answered: the latest 1,000 of them. Those whose answer is delayed are
// there already.
func (f *Fake) Grants() []Grant {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log.total <= maxGrants {
		return slices.Clone(f.log.latest)
	}
	oldest := f.log.total % maxGrants
	return slices.Concat(f.log.latest[oldest:], f.log.latest[:oldest])
}

// LastGrant returns the latest of [Fake.Grants]; the zero Grant if there is
// none.
func (f *Fake) LastGrant() Grant {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log.total == 0 {
		return Grant{}
	}
	return f.log.latest[(f.log.total-1)%maxGrants]
}

// OnGrant has h called with every token request once its answer is decided,
// before it is sent: to print what a program in another language asks for. It
// is called on the request's goroutine; nil ends it.
func (f *Fake) OnGrant(h func(Grant)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onGrant = h
}
