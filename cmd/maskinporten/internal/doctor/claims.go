package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

type claimsDetails struct {
	Scope    string   `json:"scope"`
	Consumer string   `json:"consumer"`
	Supplier string   `json:"supplier,omitempty"`
	Audience []string `json:"audience"`
	Lifetime int      `json:"lifetime"`
}

// claims verifies tokens as an API would, and shows what is in them: of each
// scope the one of the client's own organisation and the first of a customer.
func (x *examination) claims(ctx context.Context) []Step {
	ctx, cancel := context.WithTimeout(ctx, x.Timeout)
	defer cancel()
	verifier, err := resourceserver.NewVerifier(x.library.Environment(), nil)
	if err != nil {
		return []Step{{ID: "claims", Status: Failed, exit: exitLocal, Summary: clean(err), Remedy: "Mend the environment's URLs."}}
	}
	var steps []Step
	seen := make(map[string]bool)
	for _, got := range slices.Concat(x.tokens, x.delegated) {
		kind := got.request.Scope + map[bool]string{true: " delegated"}[got.request.ConsumerOrg != ""]
		if got.token == nil || seen[kind] {
			continue
		}
		seen[kind] = true
		step := Step{ID: "claims", Status: OK}
		claims, err := verifier.Verify(ctx, got.token.AccessToken())
		if err != nil {
			step.Status, step.exit = Failed, exitLocal
			step.Summary = fmt.Sprintf("%s: %s", got.what(), redact.Clean(clean(err), 300))
			step.Remedy = "APIs will not take this token: look whether the token endpoint and the key set are of the same environment."
			steps = append(steps, step)
			continue
		}
		details := claimsDetails{
			Scope: redact.Clean(strings.Join(claims.Scopes, " "), 300), Consumer: orElse(claims.Consumer, claims.ConsumerID.ID), Supplier: orElse(claims.Supplier, claims.SupplierID.ID),
			Audience: claims.Audience, Lifetime: int(claims.Expiry.Sub(claims.IssuedAt) / time.Second),
		}
		step.Details = details
		step.Summary = fmt.Sprintf("%s: consumer %s, lifetime %d seconds", got.what(), orElse(details.Consumer, "unknown"), details.Lifetime)
		if details.Supplier != "" {
			step.Summary += ", supplier " + details.Supplier
		}
		steps = append(steps, step)
	}
	if len(steps) == 0 {
		return []Step{{ID: "claims", Status: Skipped, Summary: "there is no token to look into"}}
	}
	return steps
}
