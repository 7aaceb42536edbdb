// Faults has the library meet what goes wrong around it, in this revision and
// in an older one at the same time, and prints what each made of it.
//
//	go run ./faults -old f4988f2
//
// The cases are the tests of this directory. They use only what both revisions
// export; before_test.go and after_test.go hold what has moved in between.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

var old = flag.String("old", "f4988f2", "the revision to compare with")

// row is what one revision made of one fault.
type row struct{ Fault, Result string }

func main() {
	flag.Parse()
	log.SetFlags(0)
	tree, err := os.MkdirTemp("", "faults")
	check(err)
	defer os.RemoveAll(tree)
	here := output(".", "git", "rev-parse", "--show-toplevel")
	output(here, "git", "worktree", "add", "--detach", tree, *old)
	defer output(here, "git", "worktree", "remove", "--force", tree)
	for _, dir := range []string{"faults", "line"} {
		check(os.CopyFS(filepath.Join(tree, "benchmarks", dir), os.DirFS(filepath.Join(here, "benchmarks", dir))))
	}

	// Built one after the other, so that no compiler is at work beside a fault.
	output(filepath.Join(here, "benchmarks"), "go", "test", "-c", "-o", filepath.Join(tree, "after.test"), "./faults")
	output(filepath.Join(tree, "benchmarks"), "go", "test", "-c", "-tags", "before", "-o", filepath.Join(tree, "before.test"), "./faults")
	var before, after []row
	var both sync.WaitGroup
	both.Go(func() { before = suffer(tree, "before.test") })
	both.Go(func() { after = suffer(tree, "after.test") })
	both.Wait()

	results := make(map[string]string)
	for _, r := range before {
		results[r.Fault] = r.Result
	}
	fmt.Printf("| fault | %s | now |\n|---|---|---|\n", *old)
	for _, r := range after {
		fmt.Printf("| %s | %s | %s |\n", r.Fault, results[r.Fault], r.Result)
	}
}

// suffer runs the cases. What they fail by is in their results; the old
// revision is meant to fail.
func suffer(dir, binary string) (rows []row) {
	file := filepath.Join(dir, binary+".json")
	cmd := exec.Command(filepath.Join(dir, binary), "-test.run", "^TestFaults$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), rowsFile+"="+file)
	out, _ := cmd.CombinedOutput()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &rows)
	}
	if err != nil {
		log.Fatalf("%s: %v\n%s", binary, err, out)
	}
	return rows
}

// rowsFile names the variable that names the file for results.
const rowsFile = "FAULTS_ROWS"

func output(dir, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		log.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
