package settings

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// maxEnvFile bounds an env file, which may hold a keystore in base64.
const maxEnvFile = 4 << 20

// readEnvFile reads variables as `docker run --env-file` does: NAME=value, one
// a line, lines that begin with # left out, and everything after the first =
// taken as it is, quotation marks too. A NAME alone means the variable of this
// process. Only variables named MASKINPORTEN_…, the proxy variables and
// SSL_CERT_FILE are kept.
//
// Notes say what is probably not meant, such as quotation marks.
func readEnvFile(path string) (variables map[string]string, notes []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the file of variables: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxEnvFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("the file of variables: %w", err)
	}
	if len(data) > maxEnvFile {
		return nil, nil, fmt.Errorf("%s: over %d bytes are too many for a file of variables", path, maxEnvFile)
	}
	data = p12.DecodeText(data) // Windows writes UTF-16
	variables = make(map[string]string)
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxEnvFile)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, assigned := strings.Cut(line, "=")
		if strings.ContainsAny(name, " \t") || name == "" {
			// The line is not quoted: it may be a secret that was broken in two.
			return nil, nil, fmt.Errorf("%s, line %d: not NAME=value%s", path, n, lineHint(name, assigned))
		}
		if !forClients(name) {
			if forClients(strings.Trim(name, `"'`)) {
				notes = append(notes, fmt.Sprintf("%s, line %d: the name of the variable has quotation marks, with which nothing reads it: leave them out", path, n))
			}
			continue
		}
		if !assigned {
			if inherited, ok := os.LookupEnv(name); ok {
				variables[name] = inherited
			}
			continue
		}
		if odd := oddity(value); odd != "" {
			notes = append(notes, fmt.Sprintf("%s, line %d: %s %s", path, n, name, odd))
		}
		if _, twice := variables[name]; twice {
			notes = append(notes, fmt.Sprintf("%s, line %d: %s is set twice; the last one counts", path, n, name))
		}
		variables[name] = value
	}
	return variables, notes, lines.Err()
}

// lineHint says what to mend in a line that is not NAME=value.
func lineHint(name string, assigned bool) string {
	switch {
	case strings.HasPrefix(name, "export "):
		return ": leave out export"
	case assigned && forClients(strings.TrimSpace(name)):
		return ": leave out the space before ="
	case !assigned:
		return ": a value does not go on over several lines; for PEM write \\n in place of each line break"
	}
	return ""
}

// oddity says what in a value is probably not meant; empty if nothing is. Shells
// and other readers of such files take quotation marks and comments away.
func oddity(value string) string {
	trimmed := strings.TrimSpace(value)
	before, _, comment := strings.Cut(trimmed, " #")
	switch {
	case inQuotationMarks(trimmed), comment && inQuotationMarks(strings.TrimSpace(before)):
		return "begins and ends with quotation marks, which are part of its value in an env file: leave them out"
	case trimmed != "" && strings.ContainsAny(trimmed[:1], `"'`):
		return "begins with a quotation mark, which is part of its value in an env file, and a value ends with its line"
	case comment:
		return "has a # in it, which begins no comment there, but is part of its value in an env file"
	case trimmed != value:
		return "begins or ends with a space, which is part of its value in an env file"
	}
	return ""
}

// quotedInEnvironment points out what docker's --env-file left standing in
// variables that the library does not check.
func quotedInEnvironment() (notes []string) {
	for _, name := range []string{SelfService, "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if inQuotationMarks(os.Getenv(name)) {
			notes = append(notes, name+" has quotation marks around its value, as files for docker's --env-file often have, which keeps them: take them away")
		}
	}
	return notes
}

func inQuotationMarks(s string) bool {
	return len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0]
}

// forClients reports whether a variable concerns a client of Maskinporten.
func forClients(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
		return true
	}
	return strings.HasPrefix(name, "MASKINPORTEN_")
}
