package maskinporten_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDependencies keeps what users get with the library short. Anything more
// must have a reason that a bank's reviewer would accept; heavier things live
// in modules of their own.
func TestDependencies(t *testing.T) {
	library := []string{modulePath, "github.com/golang-jwt/jwt/v5", "golang.org/x/oauth2"}
	// go-pkcs12 writes the fake's keystores, and brings x/crypto.
	fakes := append(slices.Clone(library), "software.sslmate.com/src/go-pkcs12", "golang.org/x/crypto")
	for _, tt := range []struct {
		allowed  []string
		packages []string
	}{
		{library, []string{".", "./altinn", "./apis", "./resourceserver", "./selfservice"}},
		{fakes, []string{"./maskinportentest", "./apis/apistest"}},
	} {
		args := append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.Module.Path}}{{end}}"}, tt.packages...)
		out, err := exec.Command("go", args...).Output()
		require.NoError(t, err)
		modules := strings.Fields(string(out))
		slices.Sort(modules)
		for _, module := range slices.Compact(modules) {
			require.Contains(t, tt.allowed, module, "of %v", tt.packages)
		}
	}
}
