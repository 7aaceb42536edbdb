package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shown is output in docs/tool.md: a comment that names the golden file it is
// from, and the block that follows.
var shown = regexp.MustCompile("(?s)(<!-- testdata/([^ ]+) -->\n```[a-z]*\n)(.*?)```")

// What docs/tool.md shows is what the tool prints.
func TestDocs(t *testing.T) {
	const path = "../../docs/tool.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	replaced := shown.ReplaceAllStringFunc(string(page), func(block string) string {
		n++
		parts := shown.FindStringSubmatch(block)
		golden, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(parts[2])))
		if err != nil {
			t.Error(err)
			return block
		}
		output := printed(string(golden))
		if output != parts[3] && !*update {
			t.Errorf("%s shows something else than %s: run go test -update", path, parts[2])
		}
		return parts[1] + output + "```"
	})
	if n < 10 {
		t.Errorf("%d blocks of output", n)
	}
	if *update && replaced != string(page) {
		if err := os.WriteFile(path, []byte(replaced), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// printed is what stands in a golden file, without its headings.
func printed(golden string) string {
	_, output, _ := strings.Cut(golden, "--- stdout\n")
	stdout, stderr, both := strings.Cut(output, "--- stderr\n")
	if both {
		return stdout + stderr
	}
	return stdout
}
