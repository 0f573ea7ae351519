package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// A listener keeps what is sent to it.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	sent map[string][]string // bodies by method and path
	auth map[string]string
	code int
}

func listen(t *testing.T) *listener {
	l := &listener{sent: map[string][]string{}, auth: map[string]string{}, code: http.StatusOK}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		data, _ := io.ReadAll(body)
		l.mu.Lock()
		defer l.mu.Unlock()
		key := r.Method + " " + r.URL.Path
		l.sent[key] = append(l.sent[key], string(data))
		l.auth[key] = r.Header.Get("Authorization")
		w.WriteHeader(l.code)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) got(key string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[key]
}

type row struct {
	Customer string  `parquet:"customer_id"`
	Time     int64   `parquet:"event_time,timestamp(microsecond)"`
	Type     string  `parquet:"event_type"`
	Amount   float64 `parquet:"amount"`
}

const date = "2024-06-30"

// job is a small one, its last event so many days before the date.
func job(t *testing.T, stale int, extra string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	end := time.Date(2024, 6, 30, 12, 0, 0, 0, time.UTC)
	var rows []row
	for i := range 2400 {
		rows = append(rows, row{fmt.Sprintf("c%03d", i*7%90), end.AddDate(0, 0, -stale-i%120).Add(time.Duration(i%3600) * time.Second).UnixMicro(), "order", float64(5 + i%17)})
	}
	if err := parquet.WriteFile(filepath.Join(dir, "a.parquet"), rows); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("test", fmt.Appendf(nil, "sources: [{path: %q, columns: {customer_id: customer_id, event_time: event_time, event_type: event_type, amount: amount}, roles: {purchase: [order]}}]\nout: %q\ntargets: []\nsegmentations: []\n%s",
		dir+"/*.parquet", filepath.Join(dir, "out"), extra), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func run(t *testing.T, ctx context.Context, c *config.Config, env map[string]string) (*nightly.Summary, string, error) {
	t.Helper()
	for k, v := range env { // the trace exporter reads the process's own
		t.Setenv(k, v)
	}
	var log bytes.Buffer
	crew := New(ctx, func(k string) string { return env[k] }, "1.2.3", zerolog.New(&log))
	s, err := crew.Run(ctx, nightly.Options{Config: c, Date: date, FS: storage.Local(), Version: "1.2.3", Log: zerolog.Nop(), Now: time.Now})
	crew.Close()
	return s, log.String(), err
}

// metric is the value of a metric in text; "" when it is not there.
func metric(text, name string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			return strings.TrimSpace(rest[strings.LastIndex(rest, " ")+1:])
		}
	}
	return ""
}

// The textfile has what the night was like; a failure keeps the time of the last success.
func TestMetricsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "metrics", "shoal.prom")
	read := func() string {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	c := job(t, 0, fmt.Sprintf("monitoring: {metrics_file: %q, job: shop}\n", file))
	s, log, err := run(t, t.Context(), c, nil)
	if err != nil || log != "" {
		t.Fatalf("%v %s", err, log)
	}
	text := read()
	success := metric(text, lastSuccess)
	if metric(text, "shoal_last_run_success") != "1" || success == "" || metric(text, "shoal_input_customers") != fmt.Sprint(s.Input.Customers) ||
		!strings.Contains(text, `shoal_gate_status{gate="freshness",job_name="shop"} 0`) || !strings.Contains(text, `shoal_table_rows{job_name="shop",table="customer_scores"} 90`) ||
		!strings.Contains(text, `shoal_step_duration_seconds{job_name="shop",step="read"}`) {
		t.Errorf("%s", text)
	}
	stale := job(t, 9, "")
	stale.Monitoring = c.Monitoring
	s, log, err = run(t, t.Context(), stale, nil)
	text = read()
	if nightly.ExitCode(err) != nightly.ExitBadData || log != "" || metric(text, "shoal_last_run_success") != "0" || metric(text, "shoal_last_run_exit_code") != "65" ||
		metric(text, lastSuccess) != success || !strings.Contains(text, `shoal_gate_status{gate="freshness",job_name="shop"} 2`) {
		t.Errorf("%v %s %+v\n%s", err, log, s.Gates, text)
	}
}

func TestPushgateway(t *testing.T) {
	l := listen(t)
	env := map[string]string{"SHOAL_PUSHGATEWAY_USER": "me", "SHOAL_PUSHGATEWAY_PASSWORD": "hidden"}
	c := job(t, 0, "monitoring: {pushgateway: "+l.URL+"}\n")
	if _, log, err := run(t, t.Context(), c, env); err != nil || log != "" {
		t.Fatalf("%v %s", err, log)
	}
	// Added, not replaced: what this night does not know stands.
	key := "POST /metrics/job/shoal"
	if got := l.got(key); len(got) != 1 || !strings.Contains(got[0], lastSuccess) || !strings.HasPrefix(l.auth[key], "Basic ") {
		t.Errorf("%v", l.sent)
	}
	stale := job(t, 9, "monitoring: {pushgateway: "+l.URL+"}\n")
	if _, _, err := run(t, t.Context(), stale, env); nightly.ExitCode(err) != nightly.ExitBadData {
		t.Fatal(err)
	}
	if got := l.got(key); len(got) != 2 || strings.Contains(got[1], lastSuccess) || !strings.Contains(got[1], "shoal_last_run_success") {
		t.Errorf("%d pushes", len(got))
	}
}

// An event at the start and one at the end, of one run, by http and into a file.
func TestLineage(t *testing.T) {
	l := listen(t)
	file := filepath.Join(t.TempDir(), "events.jsonl")
	for _, w := range []struct {
		name   string
		env    map[string]string
		events func() []string
	}{
		{"http", map[string]string{"OPENLINEAGE_URL": l.URL + "/", "OPENLINEAGE_API_KEY": "hidden", "OPENLINEAGE_NAMESPACE": "shop"}, func() []string { return l.got("POST /api/v1/lineage") }},
		{"file", map[string]string{"OPENLINEAGE__TRANSPORT__TYPE": "file", "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": file}, func() []string {
			data, _ := os.ReadFile(file)
			return strings.Split(strings.TrimSpace(string(data)), "\n")
		}},
	} {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for i, night := range []struct {
			ctx   context.Context
			stale int
			last  string
		}{{t.Context(), 0, "COMPLETE"}, {t.Context(), 9, "FAIL"}, {ended, 0, "ABORT"}} {
			_, log, _ := run(t, night.ctx, job(t, night.stale, ""), w.env)
			got := w.events()
			if log != "" || len(got) != 2*i+2 {
				t.Fatalf("%s: %d events, %s", w.name, len(got), log)
			}
			var start, end event
			for k, to := range []*event{&start, &end} {
				if strings.Contains(got[2*i+k], "hidden") {
					t.Errorf("%s: the key is in the event", w.name)
				}
				if err := json.Unmarshal([]byte(got[2*i+k]), to); err != nil {
					t.Fatal(err)
				}
			}
			if start.Type != "START" || end.Type != night.last || start.Run.ID != end.Run.ID || len(start.Run.ID) != 36 || start.Job.Name != "shoal" || start.Job.Namespace == "" ||
				len(start.Inputs) != 1 || start.Schema == "" || start.Producer == "" || start.Time > end.Time {
				t.Errorf("%s: %+v, %+v", w.name, start, end)
			}
			if failed := end.Run.Facets["errorMessage"] != nil; failed != (night.last != "COMPLETE") || (len(end.Outputs) > 10) != (night.last == "COMPLETE") {
				t.Errorf("%s: %+v", w.name, end)
			}
			if night.stale > 0 && !strings.Contains(got[2*i+1], "gate freshness") {
				t.Errorf("%s", got[2*i+1])
			}
		}
	}
	if l.auth["POST /api/v1/lineage"] != "Bearer hidden" {
		t.Errorf("%q", l.auth)
	}
	if _, _, err := run(t, t.Context(), job(t, 0, ""), map[string]string{"OPENLINEAGE_URL": l.URL, "OPENLINEAGE_DISABLED": "true"}); err != nil || len(l.got("POST /api/v1/lineage")) != 6 {
		t.Errorf("%v, %d events", err, len(l.got("POST /api/v1/lineage")))
	}
}

// names lists the span names of an OTLP request: field 5 of spans (2) of scopes (2) of
// resources (1).
func names(data []byte, path ...protowire.Number) []string {
	var found []string
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return found
		}
		data = data[n:]
		size := protowire.ConsumeFieldValue(number, kind, data)
		if size < 0 {
			return found
		}
		if number == path[0] && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data)
			if len(path) == 1 {
				found = append(found, string(value))
			} else {
				found = append(found, names(value, path[1:]...)...)
			}
		}
		data = data[size:]
	}
	return found
}

func TestTraces(t *testing.T) {
	l := listen(t)
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	_, log, err := run(t, t.Context(), job(t, 0, ""), map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": l.URL, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hidden", "OTEL_SERVICE_NAME": "nights", "TRACEPARENT": "00-" + parent + "-00f067aa0ba902b7-01"})
	if err != nil || log != "" {
		t.Fatalf("%v %s", err, log)
	}
	all := strings.Join(l.got("POST /v1/traces"), "")
	spans := strings.Join(names([]byte(all), 1, 2, 2, 5), ",")
	for _, want := range []string{"shoal run", "plan", "read", "features", "gates", "publish"} {
		if !strings.Contains(","+spans+",", ","+want+",") {
			t.Errorf("no span %s in %s", want, spans)
		}
	}
	if ids := names([]byte(all), 1, 2, 2, 1); len(ids) < 8 || fmt.Sprintf("%x", ids[0]) != parent {
		t.Errorf("trace ids %x", ids)
	}
	if strings.Contains(all, "hidden") || !strings.Contains(all, "nights") {
		t.Error("the header is in the trace, or the service's name is not")
	}
}

// Who does not listen, or refuses, makes no night fail, and no secret reaches the log.
func TestNobodyListens(t *testing.T) {
	refuses := listen(t)
	refuses.code = http.StatusForbidden
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, url := range []string{refuses.URL, gone.URL} {
		c := job(t, 0, "monitoring: {metrics_file: /dev/null/shoal.prom, pushgateway: "+url+"}\n")
		s, log, err := run(t, t.Context(), c, map[string]string{
			"OPENLINEAGE_URL": strings.Replace(url, "http://", "http://user:hidden@", 1), "OPENLINEAGE_API_KEY": "hidden", "SHOAL_PUSHGATEWAY_USER": "me", "SHOAL_PUSHGATEWAY_PASSWORD": "hidden",
			"OTEL_EXPORTER_OTLP_ENDPOINT": strings.Replace(url, "http://", "http://user:hidden@", 1), "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hidden", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000"})
		if err != nil || s.Status != nightly.StatusPublished {
			t.Fatalf("%v", err)
		}
		for _, what := range []string{"telemetry.lineage", "telemetry.traces", "telemetry.metrics_file", "telemetry.pushgateway"} {
			if !strings.Contains(log, what) {
				t.Errorf("%s: no warning %s in %s", url, what, log)
			}
		}
		if strings.Contains(log, "hidden") {
			t.Errorf("a secret is in %s", log)
		}
	}
	for _, env := range []map[string]string{{"OPENLINEAGE_URL": "ftp://user:hidden@x"}, {"OPENLINEAGE__TRANSPORT__TYPE": "kafka"}, {"OPENLINEAGE__TRANSPORT__TYPE": "file"}} {
		if _, log, err := run(t, t.Context(), job(t, 0, ""), env); err != nil || !strings.Contains(log, "telemetry.lineage") || strings.Contains(log, "hidden") {
			t.Errorf("%v: %v %s", env, err, log)
		}
	}
}

func TestPlain(t *testing.T) {
	if got := plain(errors.New("as it is")); got != "as it is" {
		t.Error(got)
	}
}
