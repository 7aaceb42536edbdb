package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// customers is what `delegations` is asked for.
type customers struct {
	file, resume string
	parallel     int
}

func (t *tool) delegationsCommand() *cobra.Command {
	var c customers
	cmd := &cobra.Command{
		Use:   "delegations [ORG…]",
		Short: "Find out which customers have delegated the scope",
		Long: `delegations asks for a token on behalf of each customer, and prints a line for each as it comes, and a summary last: delegated,
not delegated, or why it is not known. The customers are arguments, or the first word of each line of a file.

With -o json each line is an object. Output that was interrupted is gone on with by --resume: those that stand there with an
answer are not asked for again.

The exit status is 0 when each customer was answered for, whatever the answer.`,
		Example: `  maskinporten delegations --scope skatteetaten:inntekt 974760673 313367002
  maskinporten delegations -f customers.txt -o json > result.jsonl
  maskinporten delegations -f customers.txt -o json --resume result.jsonl >> result.jsonl`,
		RunE: func(cmd *cobra.Command, orgs []string) error { return t.delegations(cmd.Context(), orgs, c) },
	}
	t.clientFlags(cmd)
	cmd.Flags().StringVarP(&c.file, "file", "f", "", "`FILE` of customers, one a line; - for standard input")
	cmd.Flags().StringVar(&c.resume, "resume", "", "`FILE` with the output of before")
	cmd.Flags().IntVar(&c.parallel, "parallel", 8, "`NUMBER` of customers to ask for side by side, 32 at most")
	return cmd
}

// answered is what is known of a customer.
type answered struct {
	ConsumerOrg string `json:"consumer_org"`
	Scope       string `json:"scope"`
	Result      string `json:"result"` // as below
	Code        string `json:"code,omitempty"`
	Error       string `json:"error,omitempty"`
}

const (
	delegated    = "delegated"
	notDelegated = "not-delegated"
	notGranted   = "not-granted" // the API's owner has not given the customer access
	failed       = "error"
)

// summary is the last line.
type summary struct {
	Summary struct {
		Delegated    int `json:"delegated"`
		NotDelegated int `json:"not_delegated"`
		NotGranted   int `json:"not_granted"`
		Errors       int `json:"errors"`
		NotAsked     int `json:"not_asked"`
	} `json:"summary"`
}

func (s *summary) count(result string) {
	switch result {
	case delegated:
		s.Summary.Delegated++
	case notDelegated:
		s.Summary.NotDelegated++
	case notGranted:
		s.Summary.NotGranted++
	case failed:
		s.Summary.Errors++
	}
}

func (t *tool) delegations(ctx context.Context, orgs []string, c customers) error {
	if c.parallel < 1 || c.parallel > 32 {
		return usageError{errors.New("--parallel is 1 to 32")}
	}
	if c.file != "" {
		listed, err := readCustomers(c.file)
		if err != nil {
			return err
		}
		orgs = append(orgs, listed...)
	}
	if len(orgs) == 0 {
		return usageError{errors.New("no customer is named: give organisation numbers, or --file")}
	}
	before, err := readAnswers(c.resume)
	if err != nil {
		return err
	}
	client, settings, err := t.client(ctx)
	if err != nil {
		return err
	}
	scopes := settings.AllScopes()
	if len(scopes) == 0 {
		return errors.New("no scope is configured: give --scope, or set MASKINPORTEN_SCOPES")
	}
	if cutOff(c.resume) {
		t.console.Print("")
	}
	run := &delegationRun{tool: t, client: client, resource: settings.Resource, total: len(orgs) * len(scopes)}
	return run.all(ctx, orgs, scopes, before, c.parallel)
}

// delegationRun asks for all customers.
type delegationRun struct {
	*tool
	client   *maskinporten.Client
	resource string
	total    int
	abort    func()

	mu      sync.Mutex
	done    int
	summary summary
	status  int   // of the process
	stopped error // a refusal that would meet every customer
}

func (r *delegationRun) all(ctx context.Context, orgs, scopes []string, before map[answeredKey]string, parallel int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r.abort = stop
	slots := make(chan struct{}, parallel)
	var workers sync.WaitGroup
	seen := make(map[answeredKey]bool)
	for _, org := range orgs {
		number, err := maskinporten.ParseOrgNumber(org)
		for _, scope := range scopes {
			key := answeredKey{number, scope}
			switch {
			case err != nil:
				r.report(answered{ConsumerOrg: redact.Clean(org, 40), Scope: scope, Result: failed, Error: clean(err)}, exitLocal)
				continue
			case seen[key]:
				r.skip("")
				continue
			case before[key] != "":
				r.skip(before[key])
				continue
			}
			seen[key] = true
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				r.notAsked()
				continue
			}
			workers.Go(func() {
				defer func() { <-slots }()
				r.ask(ctx, stop, key)
			})
		}
	}
	workers.Wait()
	return r.end(ctx)
}

// ask gets a token on behalf of one customer.
func (r *delegationRun) ask(ctx context.Context, stop func(), key answeredKey) {
	asked, cancel := context.WithTimeout(ctx, attempts*r.timeout)
	defer cancel()
	_, err := r.client.Token(asked, maskinporten.Request{Scope: key.scope, ConsumerOrg: key.org, Resource: r.resource})
	a := answered{ConsumerOrg: key.org, Scope: key.scope, Result: delegated}
	var refusal *maskinporten.Error
	if errors.As(err, &refusal) {
		a.Code = refusal.MPCode
	}
	switch {
	case err == nil:
		r.report(a, exitDone)
	case ctx.Err() != nil:
		r.notAsked()
	case errors.Is(err, maskinporten.ErrNotDelegated):
		a.Result = notDelegated
		r.report(a, exitDone)
	case a.Code == "MP-250":
		a.Result = notGranted
		r.report(a, exitDone)
	case refusal != nil && ofClient(refusal):
		r.stop(err)
		stop()
	default:
		a.Result, a.Error = failed, clean(err)
		r.report(a, statusOf(err))
	}
}

// ofClient reports whether a refusal is about the client, its key, its scopes
// or the clock, and would meet every customer.
func ofClient(e *maskinporten.Error) bool {
	switch e.MPCode {
	case "MP-100", "MP-110", "MP-120", "MP-121", "MP-122", "MP-123", "MP-124", "MP-130", "MP-200", "MP-201":
		return true
	}
	return e.Code == "invalid_client" || errors.Is(e, maskinporten.ErrClock)
}

func (r *delegationRun) report(a answered, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.console.Progress("")
	if r.console.JSON {
		r.console.Line(a)
	} else {
		line := a.ConsumerOrg + "  " + a.Scope + "  " + a.Result
		if a.Error != "" {
			line += ": " + a.Error
		}
		r.console.Print("%s", line)
	}
	r.summary.count(a.Result)
	r.status = max(r.status, status)
	r.progress()
	if r.console.Failed() != nil {
		r.abort() // nobody would learn of the others
	}
}

func (r *delegationRun) skip(result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.count(result)
	r.progress()
}

func (r *delegationRun) notAsked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.Summary.NotAsked++
}

func (r *delegationRun) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.Summary.NotAsked++
	if r.stopped == nil {
		r.stopped = err
	}
}

// progress is called with the lock.
func (r *delegationRun) progress() {
	r.done++
	r.console.Progress("%d of %d …", r.done, r.total)
}

func (r *delegationRun) end(ctx context.Context) error {
	r.console.Progress("")
	s := r.summary.Summary
	if r.console.JSON {
		if err := r.console.Line(r.summary); err != nil {
			return err
		}
	} else {
		line := fmt.Sprintf("%d delegated, %d not delegated, %d not granted, %d not known", s.Delegated, s.NotDelegated, s.NotGranted, s.Errors)
		if s.NotAsked > 0 {
			line += fmt.Sprintf(", %d not asked for", s.NotAsked)
		}
		r.console.Print("%s", line)
	}
	switch {
	case r.stopped != nil:
		return r.stopped
	case ctx.Err() != nil:
		return errors.New("interrupted: go on with --resume")
	case r.status != exitDone:
		return exitError(r.status)
	}
	return nil
}

// readCustomers is the first word of each line, as spreadsheets write them, too.
func readCustomers(path string) (orgs []string, err error) {
	data, err := readBounded(path, maxCustomers)
	if err != nil {
		return nil, err
	}
	for line := range strings.FieldsFuncSeq(string(p12.DecodeText(data)), func(r rune) bool { return r == '\n' || r == '\r' }) {
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		first := strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' || r == '\t' })
		if len(first) == 0 {
			continue
		}
		org := strings.Trim(strings.TrimSpace(first[0]), `"`)
		if word, _, more := strings.Cut(org, " "); more && isOrgNumber(word) { // others have spaces within
			org = word
		}
		orgs = append(orgs, org)
	}
	if len(orgs) > 0 && !slices.ContainsFunc(orgs, looksLikeCustomer) {
		// What stands in it is not shown: it may be a key.
		return nil, fmt.Errorf("%s is no list of customers: no line begins with an organisation number", path)
	}
	return orgs, nil
}

func isOrgNumber(s string) bool {
	_, err := maskinporten.ParseOrgNumber(s)
	return err == nil
}

// looksLikeCustomer reports whether org is a number, if perhaps not a right one.
func looksLikeCustomer(org string) bool {
	return org != "" && !strings.ContainsFunc(org, func(r rune) bool { return !strings.ContainsRune("0123456789 .:", r) })
}

// cutOff reports whether output goes on in the file of before, whose last line
// was cut off: what follows is a line of its own.
func cutOff(path string) bool {
	before, err := os.Stat(path)
	if path == "" || err != nil {
		return false
	}
	if out, err := os.Stdout.Stat(); err != nil || !os.SameFile(before, out) || before.Size() == 0 {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	last := make([]byte, 1)
	_, err = file.ReadAt(last, before.Size()-1)
	return err == nil && last[0] != '\n'
}

// maxCustomers bounds a list of customers and the output of a run.
const maxCustomers = 64 << 20

// answeredKey is a customer and a scope.
type answeredKey struct{ org, scope string }

// readAnswers are those of an earlier run, text or JSON; a line that was cut off
// counts as none, and what was not known is asked for again.
func readAnswers(path string) (map[answeredKey]string, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readBounded(path, maxCustomers)
	if err != nil {
		return nil, err
	}
	before := make(map[answeredKey]string)
	lines := bufio.NewScanner(bytes.NewReader(p12.DecodeText(data)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a answered
		if fields := strings.Fields(lines.Text()); len(fields) == 3 {
			a = answered{ConsumerOrg: fields[0], Scope: fields[1], Result: fields[2]}
		} else if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue
		}
		if a.Result == delegated || a.Result == notDelegated || a.Result == notGranted {
			before[answeredKey{a.ConsumerOrg, a.Scope}] = a.Result
		}
	}
	return before, lines.Err()
}
