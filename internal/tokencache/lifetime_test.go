package tokencache

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStates(t *testing.T) {
	for _, tt := range []struct {
		lifetime, staleFrom, staleTo, expired float64 // seconds
	}{
		{1, 0.725, 0.75, 0.9},
		{5, 3.625, 3.75, 4.5},
		{8, 5.8, 6.0, 7.2},
		{120, 87, 90, 110},
		{599, 533, 539, 589},
		{3600, 3534, 3540, 3590},
	} {
		t.Run(fmt.Sprint(tt.lifetime), func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for range 200 {
				sent := Now()
				times := NewTimes(sent, seconds(tt.lifetime))
				require.InDelta(t, (tt.staleFrom+tt.staleTo)/2, times.Stale.Seconds(), (tt.staleTo-tt.staleFrom)/2+1e-6)
				require.InDelta(t, tt.expired, times.Expired.Seconds(), 1e-6)
				following := times.Following()
				require.GreaterOrEqual(t, following.Stale.Seconds(), tt.staleTo-1e-6, "stale before the program that fetched it")
				require.Less(t, following.Stale, times.Expired)
				following.Stale = times.Stale
				require.Equal(t, times, following)
				seen[times.Stale] = true

				for _, at := range []struct {
					age  time.Duration
					want state
				}{
					{0, fresh}, {times.Stale - 1, fresh},
					{times.Stale, stale}, {times.Expired - 1, stale},
					{times.Expired, expired}, {times.Lifetime - 1, expired},
					{times.Lifetime, dead}, {48 * time.Hour, dead},
				} {
					require.Equal(t, at.want, times.state(sent.add(at.age)), at.age)
				}
				require.True(t, times.Fresh(sent))
				require.False(t, times.Fresh(sent.add(times.Stale)))
			}
			require.Greater(t, len(seen), 100, "jitter must spread a fleet's refreshes")
		})
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func TestAge(t *testing.T) {
	sent := Now()
	for _, tt := range []struct {
		reason     string
		mono, wall time.Duration // how far each clock has gone
		want       time.Duration
	}{
		{"both agree", time.Minute, time.Minute, time.Minute},
		{"the wall clock was set back an hour", time.Minute, -59 * time.Minute, time.Minute},
		{"the machine was suspended: the monotonic clock stood still", time.Second, time.Hour, time.Hour},
		{"before it was sent, by both", -time.Second, -time.Second, -time.Second},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			now := Instant{sent.mono + tt.mono, sent.wall + int64(tt.wall)}
			require.Equal(t, tt.want, now.Since(sent))
			times := Times{Sent: sent, Lifetime: time.Hour}
			require.Equal(t, time.Hour-tt.want, times.Left(now))
		})
	}
}

func TestInstantIsTheTimeItWasMadeOf(t *testing.T) {
	now := time.Now()
	require.True(t, At(now).Wall().Equal(now))
	require.Equal(t, time.Second, At(now.Add(time.Second)).Since(At(now)))
}
