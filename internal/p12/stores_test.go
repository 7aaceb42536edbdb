package p12

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type storeInTable struct{ File, Tool, Command, Password, Outcome string }

// slow reports whether a store has 600,000 iterations: a second of work, ten with the race detector.
func (s storeInTable) slow() bool {
	return s.Tool == "GnuTLS" || s.Tool == "NSS" || s.File == "openssl-iter-600000.p12"
}

func readTable(t testing.TB) (table []storeInTable) {
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keystores.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &table))
	require.GreaterOrEqual(t, len(table), 79)
	return table
}

func readStore(t testing.TB, file string) []byte {
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keystores", file))
	require.NoError(t, err)
	return b
}

// TestStores opens every store in the table. Those that the table says load, or fail only for what is in them, must open.
// The slow ones are left to the root package, whose test loads all of them.
func TestStores(t *testing.T) {
	for _, row := range readTable(t) {
		if row.slow() {
			continue
		}
		t.Run(row.File, func(t *testing.T) {
			t.Parallel()
			data := readStore(t, row.File)
			s, err := Open(data, row.Password, NewBudget())
			kind, what, _ := strings.Cut(row.Outcome, ": ")
			switch kind {
			case "unsupported":
				var unsupported *UnsupportedError
				require.ErrorAs(t, err, &unsupported)
				assert.Equal(t, what, unsupported.What)
				return
			case "foreign":
				var foreign *ForeignError
				require.ErrorAs(t, err, &foreign)
				assert.Equal(t, what, foreign.Kind)
				return
			}
			require.NoError(t, err)
			if kind != "no key" {
				assert.NotEmpty(t, s.Keys)
			}
			for _, k := range s.Keys {
				assert.Equal(t, kind == "key password", errors.Is(k.Err, ErrKeyPassword))
			}
			if kind != "no certificate" {
				assert.NotEmpty(t, s.Certificates)
			}
			_, err = Open(data, row.Password+"x", NewBudget())
			var unsupported *UnsupportedError
			assert.True(t, errors.Is(err, ErrPassword) || errors.As(err, &unsupported) && strings.Contains(unsupported.What, "MAC"), "wrong password: %v", err)
			assert.NotContains(t, err.Error(), row.Password+"x")
		})
	}
}
