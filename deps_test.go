package maskinporten_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The list of DESIGN.md. Anything more must have a reason that a bank's
// reviewer would accept.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"github.com/maskinporten-go/maskinporten",
		"github.com/golang-jwt/jwt/v5",
		"software.sslmate.com/src/go-pkcs12",
		"golang.org/x/oauth2",
		"golang.org/x/crypto",
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Module.Path}}{{end}}", ".", "./maskinportentest").Output()
	require.NoError(t, err)
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	for _, module := range slices.Compact(modules) {
		require.Contains(t, allowed, module)
	}
}
