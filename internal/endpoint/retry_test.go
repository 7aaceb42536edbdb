package endpoint

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetry(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		wait     time.Duration // what each attempt asks for
		again    int           // attempts that ask for another
		deadline time.Duration
		attempts int
		least    time.Duration // in all
		most     time.Duration
	}{
		{"one that is final", 0, 0, time.Minute, 1, 0, 0},
		{"one that is not", 0, 1, time.Minute, 2, 0, firstBackoff},
		{"three at most, the second pause twice as long", 0, 9, time.Minute, MaxAttempts, 0, 3 * firstBackoff},
		{"the wait asked for", 7 * time.Second, 1, time.Minute, 2, 7 * time.Second, 7 * time.Second},
		{"one that would last to the deadline", 7 * time.Second, 1, 7 * time.Second, 1, 0, 0},
		{"one that would not", 7 * time.Second, 1, 7*time.Second + 1, 2, 7 * time.Second, 7 * time.Second},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				var log strings.Builder
				logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				attempts, start := 0, time.Now()
				Retry(ctx, logger, func() (time.Duration, bool) {
					attempts++
					return tt.wait, attempts <= tt.again
				})
				require.Equal(t, tt.attempts, attempts)
				require.GreaterOrEqual(t, time.Since(start), tt.least)
				require.LessOrEqual(t, time.Since(start), tt.most)
				require.Equal(t, attempts-1, strings.Count(log.String(), "trying again"))
				if attempts > 1 {
					require.Contains(t, log.String(), "attempt=2")
				}
			})
		})
	}
}

// The pauses differ, so that clients that failed together do not come back
// together, and the second may be longer than the first ever is.
func TestPausesAreRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, second []time.Duration
		for range 200 {
			last := time.Now()
			attempts := 0
			Retry(t.Context(), slog.New(slog.DiscardHandler), func() (time.Duration, bool) {
				paused := time.Since(last)
				last = time.Now()
				switch attempts++; attempts {
				case 2:
					first = append(first, paused)
				case 3:
					second = append(second, paused)
				}
				return 0, true
			})
		}
		longest := func(all []time.Duration) (most time.Duration) {
			for _, d := range all {
				most = max(most, d)
			}
			return most
		}
		require.InDelta(t, firstBackoff.Seconds(), longest(first).Seconds(), 0.1)
		require.InDelta(t, 2*firstBackoff.Seconds(), longest(second).Seconds(), 0.2)
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		attempts := 0
		Retry(ctx, slog.New(slog.DiscardHandler), func() (time.Duration, bool) {
			attempts++
			cancel()
			return time.Hour, true
		})
		require.Equal(t, 1, attempts)
	})
}
