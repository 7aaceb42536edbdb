package main

import (
	"strings"
	"testing"
)

// TestRun gets a token signed by a key in SoftHSM, from making the key to verifying the token.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
	for _, want := range []string{"RSA, 3072 bits, as a *crypto11.", "never extractable", "skatteetaten:inntekt"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}
