package endpoint

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func newTestClock() (*Clock, *strings.Builder) {
	var log strings.Builder
	return NewClock(slog.New(slog.NewTextHandler(&log, nil))), &log
}

// see shows the clock an answer that is stamped with what a server shows whose
// clock is that far ahead, at the start or the end of the time that it took.
func see(c *Clock, skew, took time.Duration, atStart bool) time.Duration {
	sent := time.Now()
	received := sent.Add(took)
	stamped := received
	if atStart {
		stamped = sent
	}
	h := http.Header{"Date": {stamped.Add(skew).UTC().Format(http.TimeFormat)}}
	return c.Learn(context.Background(), h, sent, received)
}

// What grants go by, one event after another.
func TestOffset(t *testing.T) {
	const minute = time.Minute
	type step struct {
		did  string
		do   func(c *Clock)
		want time.Duration // the offset afterwards, give or take a second
	}
	answer := func(skew time.Duration) func(*Clock) {
		return func(c *Clock) { see(c, skew, 100*time.Millisecond, false) }
	}
	refused := func(offset, skew time.Duration) func(*Clock) {
		return func(c *Clock) { c.Refused(offset, skew) }
	}
	accepted := func(offset time.Duration) func(*Clock) { return func(c *Clock) { c.Accepted(offset) } }
	slow := func(skew, took time.Duration) func(*Clock) { return func(c *Clock) { see(c, skew, took, true) } }
	corrected := []step{
		{"an answer", answer(minute), 0},
		{"which refused a grant by this machine's clock", refused(0, minute), 0},
		{"a second answer that agrees", answer(minute + 3*time.Second), minute},
	}
	for _, tt := range []struct {
		reason string
		steps  []step
	}{
		{"a wrong Date does nothing while grants are accepted", []step{
			{"an answer", answer(minute), 0}, {"accepted", accepted(0), 0}, {"an answer", answer(minute), 0},
		}},
		{"two answers that disagree are none", []step{
			{"an answer", answer(minute), 0}, {"refused", refused(0, minute), 0}, {"an answer", answer(2 * minute), 0},
		}},
		{"two that agree are followed", corrected},
		{"one that disagrees is not", append(corrected[:3:3],
			step{"a wrong Date", answer(-time.Hour), minute}, step{"a right one", answer(minute), minute})},
		{"a clock that is right again is gone by at once", append(corrected[:3:3],
			step{"set by NTP", answer(0), 0})},
		{"and a wrong Date is not believed after that", append(corrected[:3:3],
			step{"set by NTP", answer(0), 0}, step{"accepted", accepted(0), 0},
			step{"a wrong Date", answer(minute), 0}, step{"another", answer(minute), 0})},
		{"a grant with the offset is refused: back to this machine's clock", append(corrected[:3:3],
			step{"refused", refused(minute, minute), 0}, step{"an answer", answer(minute), 0})},
		{"an answer that took 15 seconds says nothing", append(corrected[:3:3],
			step{"slow", slow(minute, 15*time.Second), minute}, step{"slow", slow(minute, 15*time.Second), minute})},
		{"nor does it unlearn", append(corrected[:3:3], step{"slow", slow(0, 15*time.Second), minute})},
		{"more than a day is nonsense", []step{
			{"an answer", answer(48 * time.Hour), 0}, {"refused", refused(0, 48*time.Hour), 0}, {"an answer", answer(48 * time.Hour), 0},
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newTestClock()
				for _, s := range tt.steps {
					s.do(c)
					require.InDelta(t, s.want.Seconds(), c.Offset().Seconds(), 4, s.did)
				}
			})
		})
	}
}

func TestOtherClock(t *testing.T) {
	c, _ := newTestClock()
	require.Equal(t, time.Minute, c.Refused(0, time.Minute), "the Date just seen")
	require.Zero(t, c.Refused(time.Minute, time.Minute), "this machine's own")
	require.Zero(t, c.Refused(0, 48*time.Hour), "nonsense")
}

func TestSkewShown(t *testing.T) {
	for _, tt := range []struct {
		reason       string
		skew, took   time.Duration
		atStart      bool
		shown        time.Duration
		remembered   bool
		disagreement float64 // in seconds
	}{
		{"a clock that is right", 0, time.Second, false, 0, true, 0},
		{"stamped at its start", 0, 4 * time.Second, true, 0, true, 0},
		{"ahead", time.Minute, time.Second, false, time.Minute, true, 1},
		{"behind", -time.Minute, time.Second, true, -time.Minute, true, 2},
		{"slow, of a clock that is right", 0, 15 * time.Second, true, 0, false, 0},
		{"slow, of one that is not: somewhere between", time.Hour, 15 * time.Second, true, time.Hour, false, 8},
		{"slow, at its end", time.Hour, 15 * time.Second, false, time.Hour, false, 9},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newTestClock()
				shown := see(c, tt.skew, tt.took, tt.atStart)
				require.InDelta(t, tt.shown.Seconds(), shown.Seconds(), tt.disagreement)
				if tt.remembered {
					require.Equal(t, shown, c.Skew())
				} else {
					require.Zero(t, c.Skew())
				}
			})
		})
	}
	c, _ := newTestClock()
	require.Zero(t, c.Learn(context.Background(), http.Header{"Date": {"yesterday"}}, time.Now(), time.Now()))
}

func TestSkewIsLoggedOnceAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := newTestClock()
		for _, skew := range []time.Duration{0, 4, 4, 20, 22, 20, -20, -21, 0, 0} {
			see(c, skew*time.Second, 0, false)
		}
		var lines []string
		for line := range strings.Lines(log.String()) {
			_, line, _ = strings.Cut(line, "level=")
			lines = append(lines, strings.TrimSpace(line))
		}
		require.Equal(t, []string{
			`WARN msg="maskinporten: this machine's clock is off; set it by NTP" behind=20s`,
			`WARN msg="maskinporten: this machine's clock is off; set it by NTP" ahead=20s`,
			`INFO msg="maskinporten: this machine's clock is right again"`,
		}, lines)
	})
}
