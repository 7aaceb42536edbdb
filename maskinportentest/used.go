package maskinportentest

// usedGrants are the grants that cannot be used again, until they have expired.
// Whether one is used does not depend on when the expired ones are swept out.
type usedGrants struct {
	expiry map[grantID]int64 // until when, inclusive
	next   int               // sweep at this size
}

// grantID is what makes a grant the same as another.
type grantID struct{ client, jti, digest string }

const firstSweep = 1024

// use reports whether the grant is used for the first time.
func (u *usedGrants) use(id grantID, expires, now int64) bool {
	if u.expiry == nil {
		u.expiry = make(map[grantID]int64)
		u.next = firstSweep
	}
	if e, used := u.expiry[id]; used && e >= now {
		return false
	}
	if len(u.expiry) >= u.next {
		for old, e := range u.expiry {
			if e < now {
				delete(u.expiry, old)
			}
		}
		u.next = max(firstSweep, 2*len(u.expiry))
	}
	u.expiry[id] = expires
	return true
}
