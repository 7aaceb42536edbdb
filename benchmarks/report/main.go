// Report runs the benchmarks and the tests of this module and writes what they
// measured, beside the targets, to RESULTS.md, with a plot in expiry.svg.
//
//	go run ./report              all, in about half an hour
//	go run ./report -passes 1    a quick look
//
// Each pass runs every benchmark, so that a machine that is busy for a
// while is busy for all peers; the tables hold medians over the passes.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

var (
	passes    = flag.Int("passes", 10, "how often each benchmark is run")
	soak      = flag.Duration("soak", time.Minute, "how long the soak lasts")
	customers = flag.Int("customers", 20_000, "how many customers the supplier has")
	out       = flag.String("o", ".", "directory for RESULTS.md and expiry.svg")
)

// suites are the benchmarks that share a length, and how often each is run in
// a pass.
var suites = []struct{ pattern, length, count string }{
	{"^(BenchmarkHit|BenchmarkRoundTrip)$", "100ms", "3"},
	{"^BenchmarkHotKey$", "200ms", "1"},
	{"^BenchmarkMint$", "500ms", "1"},
	{"^BenchmarkCold$", "10x", "1"},
	{"^BenchmarkExpiry$", "1x", "1"},
}

func main() {
	log.SetFlags(log.Ltime)
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	machine := describe()

	log.Printf("tests")
	if _, err := goTest("-count=1", "-v", "-timeout=20m", "-soak="+soak.String(), fmt.Sprintf("-customers=%d", *customers), "-results="+dir); err != nil {
		return err
	}
	m := make(measured)
	for pass := range *passes {
		for _, s := range suites {
			log.Printf("pass %d of %d: %s", pass+1, *passes, s.pattern)
			output, err := goTest("-run=^$", "-bench="+s.pattern, "-benchtime="+s.length, "-count="+s.count, "-benchmem", "-timeout=20m")
			if err != nil {
				return err
			}
			if err := m.read(output); err != nil {
				return err
			}
		}
	}
	if err := plotExpiry(dir, filepath.Join(*out, "expiry.svg")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*out, "RESULTS.md"), []byte(render(m, dir, machine)), 0o644)
}

// goTest runs the tests of the module, and shows what they say when they fail.
func goTest(args ...string) ([]byte, error) {
	cmd := exec.Command("go", append(append([]string{"test"}, args...), ".")...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(cmd.Args[1:], " "), err, output)
	}
	return output, nil
}

// describe is where and when it was measured.
func describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "- Date: %s\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "- Machine: %s, %d processors, %s/%s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fields := bytes.Fields(load)
		if len(fields) > 2 {
			fmt.Fprintf(&b, "; load average before the start %s, %s, %s", fields[0], fields[1], fields[2])
			if load, err := strconv.ParseFloat(string(fields[0]), 64); err == nil && load > 1 {
				b.WriteString(": it had other work to do at the same time")
			}
		}
	}
	fmt.Fprintf(&b, "\n- Go: %s\n", runtime.Version())
	fmt.Fprintf(&b, "- Command: `go run ./report -passes %d -soak %s -customers %d`\n", *passes, *soak, *customers)
	return b.String()
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
