package endpoint

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Clock is a server's clock as its answers show it. A grant's iat must be
// within ten seconds of that clock (Digdir, jwt grant page).
//
// The offset is measured on every answer, but grants go by this machine's
// clock until one has been refused for its time: a gateway that states a wrong
// Date must not break what works. A Clock is safe for concurrent use.
type Clock struct {
	log *slog.Logger

	mu     sync.Mutex
	seen   time.Duration // the server's clock minus ours, as the last answer showed it
	offset time.Duration // the same, unless it was nonsense
	inUse  bool
	logged time.Duration
}

const (
	// maxSkew bounds what a Date may claim. TLS fails long before a clock is
	// a day off, so more is nonsense.
	maxSkew = 24 * time.Hour

	// loggedSkew is where a skew starts to matter: half of what Maskinporten
	// tolerates.
	loggedSkew = 5 * time.Second
)

// NewClock returns a Clock that agrees with this machine's until an answer
// shows otherwise. It warns log of a skew over five seconds, once a change.
func NewClock(log *slog.Logger) *Clock { return &Clock{log: log} }

// Now returns the time to state in a grant.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inUse {
		return time.Now().Add(c.offset)
	}
	return time.Now()
}

// Skew returns the server's clock minus ours, as the last answer showed it.
func (c *Clock) Skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// Learn reads the Date of an answer to a request of sent that came at
// received. A server stamps its answer when it starts to send it, in whole
// seconds, so a true clock is seen up to a second and the way behind.
func (c *Clock) Learn(h http.Header, sent, received time.Time) {
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
		c.warn(offset) // not under the lock: a log handler may ask for a token
	}
}

// keep reports whether the skew has changed so much that it is worth a word.
func (c *Clock) keep(offset time.Duration) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = offset
	if offset.Abs() > maxSkew {
		return false
	}
	c.offset = offset
	if changed = (offset - c.logged).Abs() > loggedSkew; changed {
		c.logged = offset
	}
	return changed
}

func (c *Clock) warn(offset time.Duration) {
	switch {
	case offset > loggedSkew:
		c.log.Warn("maskinporten: this machine's clock is off; set it by NTP", "behind", offset.Round(time.Second))
	case offset < -loggedSkew:
		c.log.Warn("maskinporten: this machine's clock is off; set it by NTP", "ahead", -offset.Round(time.Second))
	default:
		c.log.Info("maskinporten: this machine's clock is right again")
	}
}

// Correct makes grants go by the measured clock from now on.
func (c *Clock) Correct() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse = true
}
