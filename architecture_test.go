package maskinporten_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/maskinporten-go/maskinporten"

// mayImport says which rooms of this repository each room may import: those
// below it, never those above (docs/architecture.md draws it). The root is ".".
var mayImport = map[string][]string{
	"internal/redact":     {},
	"internal/p12":        {"internal/redact"},
	"internal/jws":        {"internal/redact"},
	"internal/endpoint":   {"internal/redact"},
	"internal/tokencache": {"internal/redact"},
	"internal/keystore":   {"internal/p12", "internal/redact"},
	".":                   {"internal/keystore", "internal/tokencache", "internal/endpoint", "internal/jws", "internal/redact"},
	"resourceserver":      {".", "internal/endpoint", "internal/jws", "internal/tokencache", "internal/redact"},
	"altinn":              {".", "internal/endpoint", "internal/jws", "internal/redact"},
	"apis":                {".", "internal/redact"},
	"selfservice":         {".", "internal/endpoint", "internal/redact"},
	"maskinportentest":    {".", "resourceserver", "internal/redact"},
	// The program that lets foreign clients try the fake.
	"maskinportentest/interop": {"maskinportentest"},
	"apis/apistest":            {"apis", "maskinportentest", "internal/redact"},
}

// allowed reports whether the room may import another, and the rule it goes by.
func allowed(room, imported string) (ok bool, rule string) {
	if rooms, known := mayImport[room]; known {
		return slices.Contains(rooms, imported), "it may import " + strings.Join(rooms, ", ")
	}
	if room == "cmd/maskinporten" || strings.HasPrefix(room, "cmd/maskinporten/") {
		return imported != "internal/tokencache", "the tool may import all but internal/tokencache"
	}
	for _, outside := range []string{"benchmarks", "examples", "redisstore", "otelmaskinporten"} {
		if room == outside || strings.HasPrefix(room, outside+"/") {
			own := imported == outside || strings.HasPrefix(imported, outside+"/")
			return own || !strings.HasPrefix(imported, "internal/"), "it may import public packages only"
		}
	}
	return false, "the list of rooms in architecture_test.go does not know it"
}

// TestArchitecture holds the arrows between the packages, so that imports run
// one way and the list of folders tells what each part may know.
func TestArchitecture(t *testing.T) {
	for room, files := range goFiles(t) {
		for _, file := range files {
			for _, imported := range ownImports(t, file) {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				ok, rule := allowed(room, imported)
				assert.Truef(t, ok, "%s imports %s; %s", file, imported, rule)
			}
		}
	}
}

// TestTestsUseTheFakeFromOutside keeps the tests that use the fake in external
// packages: inside, the fake's import of the package would make a cycle, or
// the test would lean on what users do not see.
func TestTestsUseTheFakeFromOutside(t *testing.T) {
	for room, files := range goFiles(t) {
		if _, inModule := mayImport[room]; !inModule || room == "maskinportentest" {
			continue
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") || !slices.Contains(ownImports(t, file), "maskinportentest") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.PackageClauseOnly)
			require.NoError(t, err)
			assert.Truef(t, strings.HasSuffix(parsed.Name.Name, "_test"), "%s uses the fake, but is not in an external test package", file)
		}
	}
}

// TestRootFiles bounds the root: each of its files is one step of a token's way.
func TestRootFiles(t *testing.T) {
	var names []string
	for _, file := range goFiles(t)["."] {
		if !strings.HasSuffix(file, "_test.go") {
			names = append(names, file)
		}
	}
	assert.LessOrEqual(t, len(names), 17, "the root has %s", strings.Join(names, " "))
}

// goFiles returns the Go files of every room, by its path from the root.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	rooms := make(map[string][]string)
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case strings.HasSuffix(name, ".go"):
			rooms[path.Dir(name)] = append(rooms[path.Dir(name)], name)
		}
		return nil
	}))
	return rooms
}

// ownImports returns the packages of this repository that a file imports.
func ownImports(t *testing.T, file string) (rooms []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.ImportsOnly)
	require.NoError(t, err)
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		if imported == modulePath {
			rooms = append(rooms, ".")
		} else if room, ok := strings.CutPrefix(imported, modulePath+"/"); ok {
			rooms = append(rooms, room)
		}
	}
	return rooms
}
