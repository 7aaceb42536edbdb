package endpoint

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Clock is a server's clock as its answers show it. A grant's iat must be
// within ten seconds of that clock (Digdir, jwt grant page).
//
// The skew is measured on every answer, but grants go by this machine's clock
// until one has been refused for its time, and two answers have shown the same
// skew: a gateway that states a wrong Date must not break what works. A Clock
// is safe for concurrent use.
type Clock struct {
	log *slog.Logger

	mu       sync.Mutex
	measured bool
	skew     time.Duration // the server's clock minus ours, as the last answer showed it
	refused  bool          // a grant by this machine's clock was refused for its time
	offset   time.Duration // that grants go by
	logged   time.Duration
}

const (
	// maxSkew bounds what a Date may claim. TLS fails long before a clock is
	// a day off, so more is nonsense.
	maxSkew = 24 * time.Hour

	// loggedSkew is where a skew starts to matter: half of what Maskinporten
	// tolerates.
	loggedSkew = 5 * time.Second

	// maxDisagreement is how far apart two answers may be that show the same
	// skew, and how long an answer may take to show one: it may have been
	// stamped at its start or at its end.
	maxDisagreement = 5 * time.Second
)

// NewClock returns a Clock that agrees with this machine's until an answer
// shows otherwise. It warns log of a skew over five seconds, once a change.
func NewClock(log *slog.Logger) *Clock { return &Clock{log: log} }

// Offset returns what to add to this machine's time for a grant.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// ServerTime returns the present by the server's clock, as the last answer
// showed it, unless that was nonsense.
func (c *Clock) ServerTime() time.Time {
	if skew := c.Skew(); skew.Abs() <= maxSkew {
		return time.Now().Add(skew)
	}
	return time.Now()
}

// Skew returns the server's clock minus ours, as the last answer showed it.
func (c *Clock) Skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew
}

// Learn reads the Date of an answer to a request of sent that came at
// received, and returns the skew that it shows; zero if it shows none.
//
// A server stamps its answer in whole seconds, and somewhere between the two
// times. So a true clock is seen up to a second and the way behind, and what
// took longer than five seconds says too little to be remembered. ctx is for
// the log.
func (c *Clock) Learn(ctx context.Context, h http.Header, sent, received time.Time) time.Duration {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	earliest, latest := date.Sub(received.Round(0)), date.Add(time.Second).Sub(sent.Round(0))
	skew := earliest
	if earliest <= 0 && latest >= 0 {
		skew = 0 // what is seen fits a clock that is right
	}
	if received.Sub(sent) > maxDisagreement {
		if skew != 0 {
			skew = (earliest + latest) / 2
		}
		return skew
	}
	if c.remember(skew) {
		c.warn(ctx, skew) // not under the lock: a log handler may ask for a token
	}
	return skew
}

// remember reports whether the skew has changed so much that it is worth a word.
func (c *Clock) remember(skew time.Duration) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	again := c.measured && (skew-c.skew).Abs() <= maxDisagreement
	c.measured, c.skew = true, skew
	switch {
	case skew.Abs() > maxSkew:
		return false
	case skew == 0:
		c.offset = 0
	case c.refused && again:
		c.offset = skew
	}
	if changed = (skew - c.logged).Abs() > loggedSkew; changed {
		c.logged = skew
	}
	return changed
}

func (c *Clock) warn(ctx context.Context, skew time.Duration) {
	switch {
	case skew > loggedSkew:
		c.log.WarnContext(ctx, "maskinporten: this machine's clock is off; set it by NTP", "behind", skew.Round(time.Second))
	case skew < -loggedSkew:
		c.log.WarnContext(ctx, "maskinporten: this machine's clock is off; set it by NTP", "ahead", -skew.Round(time.Second))
	default:
		c.log.InfoContext(ctx, "maskinporten: this machine's clock is right again")
	}
}

// Accepted is told that a grant with that offset was not refused for its time.
func (c *Clock) Accepted(offset time.Duration) {
	if offset != 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused, c.offset = false, 0
}

// Refused is told that a grant with that offset was refused for its time by an
// answer that showed that skew. It returns the offset to try next: the skew,
// or none if the grant had one already.
func (c *Clock) Refused(offset, skew time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = offset == 0
	if offset != 0 {
		c.offset = 0
		return 0
	}
	if skew.Abs() > maxSkew {
		return 0
	}
	return skew
}
