package benchmarks

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// results is where tests leave what they measured, for the report program.
var results = flag.String("results", "", "directory to write what was measured to")

// report logs a table, its first row the head, and leaves it for the report
// program as a section of that name.
func report(t testing.TB, section string, rows [][]string) {
	t.Helper()
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	t.Logf("%s\n%s", section, b.String())
	if *results == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*results, section+".md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "**not met**"
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// count is n with thousands set apart.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
