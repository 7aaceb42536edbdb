package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	step = flag.Duration("step", 6*time.Second, "how long each part of the script lasts")
	data = flag.String("data", "", "where to write Prometheus' answers, for plot.py")
)

type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr, LegendFormat string }
	}
}

// Prometheus scrapes the program while it goes through its script, and then has
// an answer for each query of the dashboard. The store is away for a part of it.
func TestDashboardHasData(t *testing.T) {
	for _, program := range []string{"prometheus", "redis-server"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s on this machine: apt-get install prometheus redis-server", program)
		}
	}
	redisAddr, listen, prometheus := freeAddr(t), freeAddr(t), freeAddr(t)
	_, redisPort, _ := net.SplitHostPort(redisAddr)
	redis := start(t, "redis-server", "--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: production, static_configs: [{targets: [%q]}]}]
`, absolute(t, "../../otelmaskinporten/dashboards/alerts.yml"), listen), 0o600))
	start(t, "prometheus", "--config.file="+config, "--web.listen-address="+prometheus, "--storage.tsdb.path="+t.TempDir(), "--log.level=error")
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + prometheus + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond)

	began := time.Now()
	time.AfterFunc(5**step, func() { redis.Process.Kill() })
	go func() {
		time.Sleep(*step / 2)
		for _, path := range []string{"/livez", "/readyz"} {
			resp, err := http.Get("http://" + listen + path)
			if err == nil {
				resp.Body.Close()
			}
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %v", path, err)
			}
		}
	}()
	var log bytes.Buffer
	require.NoError(t, runLogged(t, &log, listen, redisAddr))
	require.NotContains(t, log.String(), "25922947409", "no person in the log")
	require.Contains(t, log.String(), "trace_id")

	raw, err := os.ReadFile("../../otelmaskinporten/dashboards/maskinporten.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(raw, &d))
	answers := make(map[string]json.RawMessage)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expr := strings.NewReplacer("$__rate_interval", "6s", "$job", ".+").Replace(target.Expr)
			answer := query(t, prometheus, expr, began)
			require.NotEqual(t, "[]", string(answer), "%s: %s", panel.Title, expr)
			answers[panel.Title+"\n"+target.LegendFormat] = answer
		}
	}
	require.NotEqual(t, "[]", string(query(t, prometheus, `ALERTS{alertname="MaskinportenCertificateExpiresIn60Days",alertstate="firing"}`, began)))
	if *data != "" {
		out, err := json.Marshal(answers)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*data, out, 0o600))
	}
}

// runLogged runs the program, with its log in a buffer.
func runLogged(t *testing.T, log *bytes.Buffer, listen, redisAddr string) error {
	t.Helper()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = write
	copied := make(chan struct{})
	go func() { io.Copy(log, read); close(copied) }()
	defer func() { os.Stdout = stdout; write.Close(); <-copied }()
	return run(context.Background(), listen, redisAddr, *step)
}

// query returns the series that Prometheus has for expr.
func query(t *testing.T, prometheus, expr string, began time.Time) json.RawMessage {
	t.Helper()
	resp, err := http.Get("http://" + prometheus + "/api/v1/query_range?" + url.Values{
		"query": {expr},
		"start": {fmt.Sprint(began.Unix())},
		"end":   {fmt.Sprint(time.Now().Unix())},
		"step":  {"1"},
	}.Encode())
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result json.RawMessage }
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Equal(t, "success", answer.Status, answer.Error)
	return answer.Data.Result
}

func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}
