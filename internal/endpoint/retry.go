package endpoint

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	// MaxAttempts is how often a request is tried.
	MaxAttempts = 3

	// firstBackoff bounds the random wait before the second attempt; the
	// bound doubles before the third.
	firstBackoff = 500 * time.Millisecond
)

// Retry calls attempt until it reports that no other may fare better, at most
// [MaxAttempts] times, with a random pause in between (full jitter) that is at
// least the wait that attempt returns. It ends with the last attempt when ctx
// has ended, or would end during the pause.
func Retry(ctx context.Context, log *slog.Logger, attempt func() (wait time.Duration, again bool)) {
	for n := 1; ; n++ {
		wait, again := attempt()
		if !again || n == MaxAttempts || ctx.Err() != nil {
			return
		}
		wait = max(wait, time.Duration(rand.Int64N(int64(firstBackoff<<(n-1)))))
		if deadline, ok := ctx.Deadline(); ok && wait >= time.Until(deadline) {
			return
		}
		log.DebugContext(ctx, "maskinporten: trying again", "attempt", n+1, "wait", wait)
		pause(ctx, wait)
	}
}

func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
