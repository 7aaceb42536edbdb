package maskinportentest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// Grants that were used are forgotten once they have expired.
func TestUsedGrantsBounded(t *testing.T) {
	var used usedGrants
	for now := range int64(1000) {
		for i := range 100 {
			require.True(t, used.use(grantID{jti: fmt.Sprintf("%d-%d", now, i)}, now+20, now))
		}
		require.False(t, used.use(grantID{jti: fmt.Sprintf("%d-0", now)}, now+20, now))
	}
	require.Less(t, len(used.expiry), 5000)
}

// Whether a grant can be used does not depend on how many others there were
// since: an expired one is forgotten whether it was swept out or not.
func TestUsedGrantsForgottenByTime(t *testing.T) {
	var used usedGrants
	id := grantID{client: "a", jti: "b"}
	require.True(t, used.use(id, 20, 10))
	require.False(t, used.use(id, 40, 20))
	require.True(t, used.use(id, 40, 21))
	require.False(t, used.use(id, 60, 40))
	require.True(t, used.use(grantID{client: "a", digest: "b"}, 40, 21), "a jti is not a digest")
}
