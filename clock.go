package maskinporten

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// skewClock is Maskinporten's clock as its answers show it. A grant's iat must
// be within ten seconds of that clock (Digdir, jwt grant page).
//
// The offset is measured on every answer, but grants go by this machine's
// clock until one has been refused for its time: a gateway that states a wrong
// Date must not break what works.
type skewClock struct {
	log *slog.Logger

	mu     sync.Mutex
	seen   time.Duration // Maskinporten's clock minus ours, as the last answer showed it
	offset time.Duration // the same, unless it was nonsense
	inUse  bool
	logged time.Duration
}

const (
	// largestSkew bounds what a Date may claim. TLS fails long before a clock
	// is a day off, so more is nonsense.
	largestSkew = 24 * time.Hour

	// loggedSkew is where a skew starts to matter: half of what Maskinporten
	// tolerates.
	loggedSkew = 5 * time.Second
)

// now is the time to state in a grant.
func (c *skewClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inUse {
		return time.Now().Add(c.offset)
	}
	return time.Now()
}

// measured is the offset that the last answer showed.
func (c *skewClock) measured() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// learn reads the Date of an answer to a request of sent that came at
// received. A server stamps its answer when it starts to send it, in whole
// seconds, so a true clock is seen up to a second and the way behind.
func (c *skewClock) learn(h http.Header, sent, received time.Time) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	earliest, latest := date.Sub(received.Round(0)), date.Add(time.Second).Sub(sent.Round(0))
	offset := earliest
	if earliest <= 0 && latest >= 0 {
		offset = 0 // what is seen fits a clock that is right
	}
	if c.keep(offset) {
		c.tell(offset) // not under the lock: a log handler may ask for a token
	}
}

// keep tells whether the skew has changed so much that it is worth a word.
func (c *skewClock) keep(offset time.Duration) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = offset
	if offset.Abs() > largestSkew {
		return false
	}
	c.offset = offset
	if changed = (offset - c.logged).Abs() > loggedSkew; changed {
		c.logged = offset
	}
	return changed
}

func (c *skewClock) tell(offset time.Duration) {
	switch {
	case offset > loggedSkew:
		c.log.Warn("maskinporten: this machine's clock is off; set it by NTP", "behind", offset.Round(time.Second))
	case offset < -loggedSkew:
		c.log.Warn("maskinporten: this machine's clock is off; set it by NTP", "ahead", -offset.Round(time.Second))
	default:
		c.log.Info("maskinporten: this machine's clock is right again")
	}
}

// correct makes grants go by the measured clock from now on.
func (c *skewClock) correct() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse = true
}
