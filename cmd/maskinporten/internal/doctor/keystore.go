package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// opened is what the keystore holds.
type opened struct {
	where   string // path or variable
	content *keystore.Content
	key     *keystore.Key // certificate
}

type keystoreDetails struct {
	From         string `json:"from"`
	Rights       string `json:"rights,omitempty"`
	Keys         int    `json:"keys"`
	Certificates int    `json:"certificates"`
}

// keystore opens it, whatever is in it and whenever that is valid: the clock is
// not yet known to be right.
func (x *examination) keystore(context.Context) Step {
	step := Step{ID: "keystore", Status: OK}
	details := &keystoreDetails{}
	step.Details = details
	fail := func(summary, remedy string) Step {
		step.Status, step.exit, step.Summary, step.Remedy = Failed, exitLocal, summary, remedy
		return step
	}
	source, content, err := openConfigured()
	if source == "" {
		return skippedFor("keystore", "config")
	}
	details.From = source
	_, hasPassword := os.LookupEnv("MASKINPORTEN_KEYSTORE_PASSWORD")
	passwordFile := os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD_FILE")
	switch {
	case err == nil:
	case errors.Is(err, keystore.ErrPasswordFile):
		return fail(clean(err), "Give a file that this user may read, with the password on its only line.")
	case errors.Is(err, fs.ErrNotExist):
		return fail(fmt.Sprintf("%s: there is no such file (%s)", source, clean(err)), "Give the path of the virksomhetssertifikat's .p12 file, as this process sees it: in a container, look at what is mounted.")
	case errors.Is(err, fs.ErrPermission):
		return fail(fmt.Sprintf("%s: this user may not read it (%s)", source, clean(err)), "Let the user that the program runs as read the file, and nobody else.")
	case errors.Is(err, keystore.ErrWrongPassword) && !hasPassword && passwordFile == "":
		return fail(source+" does not open without a password", "Set MASKINPORTEN_KEYSTORE_PASSWORD or MASKINPORTEN_KEYSTORE_PASSWORD_FILE, or give --password-file.")
	case errors.Is(err, keystore.ErrWrongPassword):
		remedy := "Look for a line break, a space or quotation marks that came along with the password, and whether it belongs to this file: each of the issuer's files may have its own."
		if password := os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD"); strings.Trim(password, `"'`) != password {
			remedy = "Take away the quotation marks around the password: docker's --env-file keeps them."
		}
		origin := passwordFile
		if origin == "" {
			origin = "MASKINPORTEN_KEYSTORE_PASSWORD"
		}
		return fail(fmt.Sprintf("%s: the password in %s is wrong", source, origin), remedy)
	case errors.Is(err, keystore.ErrNotKeystore) && strings.HasPrefix(source, "MASKINPORTEN_") && x.configured.keystore != nil:
		// The library knows what each variable holds, and what is missing of that.
		return fail(source+": "+clean(x.configured.keystore), "Set it to the whole content anew, or give the path of a file with it in MASKINPORTEN_KEYSTORE_PATH.")
	case errors.Is(err, keystore.ErrNotKeystore), errors.Is(err, keystore.ErrUnsupportedEncryption):
		return fail(source+": "+clean(err), "See `maskinporten inspect` for what the file is, and `maskinporten convert` for what can be made of it.")
	default:
		return fail(source+": "+clean(err), "Export the file anew, the private key included.")
	}
	x.opened = opened{where: source, content: content}
	details.Keys, details.Certificates = len(content.Keys()), len(content.Certificates)
	step.Summary = fmt.Sprintf("%s opens: %s, %s", source, count(details.Keys, "key"), count(details.Certificates, "certificate"))
	x.rights(&step, details)
	return step
}

// rights points out files that anybody on this machine can read.
func (x *examination) rights(step *Step, details *keystoreDetails) {
	if runtime.GOOS == "windows" {
		return // what os.FileMode says there is not who may read
	}
	var files []string
	if path := os.Getenv("MASKINPORTEN_KEYSTORE_PATH"); path != "" {
		files = keystore.KeyFiles(path)
	}
	for _, path := range append(files, os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD_FILE")) {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		if details.Rights == "" {
			details.Rights = fmt.Sprintf("%04o", info.Mode().Perm())
		}
		if info.Mode().Perm()&0o004 != 0 && step.Status == OK {
			step.Status = Warning
			step.Summary += fmt.Sprintf("; anybody on this machine may read %s (%04o)", path, info.Mode().Perm())
			step.Remedy = fmt.Sprintf("Let only the program's user read it: `chmod 600 %s`; in Kubernetes, `defaultMode: 0400` on the volume.", path)
		}
	}
}

// openConfigured opens what the variables name, by the same code as
// ConfigFromEnv; source is a path or a variable.
func openConfigured() (source string, content *keystore.Content, err error) {
	password := os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD")
	passwordFile := os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD_FILE")
	if path := os.Getenv("MASKINPORTEN_KEYSTORE_PATH"); path != "" {
		content, err = keystore.OpenFiles(path, password, passwordFile)
		return shownPath(path), content, err
	}
	for _, source := range []string{"MASKINPORTEN_KEYSTORE_BASE64", "MASKINPORTEN_CLIENT_PEM", "MASKINPORTEN_CLIENT_JWK"} {
		if value := os.Getenv(source); value != "" {
			content, err = keystore.OpenContent([]byte(value), password, passwordFile)
			return source, content, err
		}
	}
	return "", nil, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// shownPath is a path fit to be printed.
func shownPath(path string) string {
	if keystore.Shown(path) {
		return redact.Clean(path, 300)
	}
	return redact.Hidden
}
