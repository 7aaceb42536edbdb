package benchmarks

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets all faults be suffered at once, whatever the number of
// processors: those who suffer them wait, most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "32")
	os.Exit(m.Run())
}
