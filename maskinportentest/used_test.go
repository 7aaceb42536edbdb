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
			require.True(t, used.use(fmt.Sprintf("%d-%d", now, i), now+20, now))
		}
		require.False(t, used.use(fmt.Sprintf("%d-0", now), now+20, now))
	}
	require.Less(t, len(used.expiry), 5000)
}
