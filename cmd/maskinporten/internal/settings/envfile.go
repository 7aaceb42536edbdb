package settings

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
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
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > maxEnvFile {
		return nil, nil, fmt.Errorf("%s: %d bytes are too many for a file of variables", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
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
			hint := ""
			if strings.HasPrefix(name, "export ") {
				hint = ": leave out export"
			}
			return nil, nil, fmt.Errorf("%s, line %d: not NAME=value%s", path, n, hint)
		}
		if !forClients(name) {
			continue
		}
		if !assigned {
			if inherited, ok := os.LookupEnv(name); ok {
				variables[name] = inherited
			}
			continue
		}
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			notes = append(notes, fmt.Sprintf("%s, line %d: %s begins and ends with quotation marks, which are part of its value in an env file: leave them out", path, n, name))
		} else if strings.TrimSpace(value) != value {
			notes = append(notes, fmt.Sprintf("%s, line %d: %s begins or ends with a space, which is part of its value in an env file", path, n, name))
		}
		if _, twice := variables[name]; twice {
			notes = append(notes, fmt.Sprintf("%s, line %d: %s is set twice; the last one counts", path, n, name))
		}
		variables[name] = value
	}
	return variables, notes, lines.Err()
}

// forClients reports whether a variable concerns a client of Maskinporten.
func forClients(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
		return true
	}
	return strings.HasPrefix(name, "MASKINPORTEN_")
}
