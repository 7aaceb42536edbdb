package main

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	library   = "github.com/maskinporten-go/maskinporten"
	toolPath  = library + "/cmd/maskinporten"
	published = "v0.0.1"
)

// Once there is a version, `go install …@version` does: nothing but the replace
// line in go.mod stands in its way. The modules are published here, to a proxy
// in a folder (https://go.dev/ref/mod#goproxy-protocol).
func TestInstallByVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds everything anew")
	}
	tracked, err := exec.Command("git", "ls-files", "../..").Output()
	if err != nil {
		t.Skipf("the files of the modules are not known without git: %v", err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	replaced := 0
	for line := range strings.Lines(string(goMod)) {
		if strings.HasPrefix(line, "replace ") {
			replaced++
			continue
		}
		kept = append(kept, strings.Replace(line, library+" v0.0.0", library+" "+published, 1))
	}
	if replaced != 1 {
		t.Errorf("%d replace lines in go.mod, want the one", replaced)
	}
	rootMod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var ofTool, ofLibrary []string
	for _, file := range strings.Fields(string(tracked)) {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		if name = filepath.ToSlash(name); strings.HasPrefix(name, "cmd/maskinporten/") {
			ofTool = append(ofTool, strings.TrimPrefix(name, "cmd/maskinporten/"))
		} else if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && module(root, name) == "." {
			ofLibrary = append(ofLibrary, name)
		}
	}
	for _, c := range []struct {
		reason, mod string
		ok          bool
	}{
		{"as it is", string(goMod), false},
		{"without the line", strings.Join(kept, ""), true},
	} {
		proxy := t.TempDir()
		publish(t, proxy, library, root, ofLibrary, string(rootMod))
		publish(t, proxy, toolPath, filepath.Join(root, "cmd", "maskinporten"), ofTool, c.mod)
		output, err := install(t, proxy)
		if c.ok && err != nil || !c.ok && !strings.Contains(output, "replace directives") {
			t.Errorf("%s: %v: %s", c.reason, err, output)
		}
	}
}

// module is the folder of the module that a file belongs to.
func module(root, name string) string {
	dir := filepath.Dir(name)
	for dir != "." {
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// publish puts a module into a proxy.
func publish(t *testing.T, proxy, path, root string, files []string, goMod string) {
	t.Helper()
	dir := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(dir, published+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	w := zip.NewWriter(archive)
	add := func(name string, content []byte) {
		entry, err := w.Create(path + "@" + published + "/" + name)
		if err == nil {
			_, err = entry.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range files {
		if name == "go.mod" || strings.Contains(name, "testdata/") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			continue // deleted, and not yet said so to git
		}
		add(name, content)
	}
	add("go.mod", []byte(goMod))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"list": published + "\n", published + ".info": `{"Version":"` + published + `"}`, published + ".mod": goMod,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// install is `go install` with that proxy, and what this machine has of other
// modules.
func install(t *testing.T, proxy string) (output string, err error) {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "install", "-trimpath", "-ldflags", "-s -w", toolPath+"@"+published)
	cmd.Dir = t.TempDir()
	bin := t.TempDir()
	cmd.Env = append(os.Environ(),
		"GOPROXY=file://"+proxy+",file://"+filepath.ToSlash(strings.TrimSpace(string(cache)))+"/cache/download",
		"GOMODCACHE="+t.TempDir(), "GOBIN="+bin, "GOSUMDB=off", "GOFLAGS=-modcacherw -buildvcs=false", "GOWORK=off")
	combined, err := cmd.CombinedOutput()
	if err == nil {
		_, err = os.Stat(filepath.Join(bin, filepath.Base(binary)))
	}
	return string(combined), err
}
