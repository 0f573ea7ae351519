package telemetry

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/jobs/nightly"
)

const lastSuccess = "shoal_last_success_timestamp_seconds"

// registry holds what a summary says. succeeded is when a night last did; 0 leaves it
// out.
func registry(s *nightly.Summary, labels prometheus.Labels, ended time.Time, succeeded float64) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	set := func(name, help string, v float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
		g.Set(v)
		reg.MustRegister(g)
	}
	vec := func(name, help string, by ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, by)
		reg.MustRegister(g)
		return g
	}
	success := 0.
	if s.ExitCode == nightly.ExitDone {
		success = 1
	}
	set("shoal_last_run_timestamp_seconds", "When the last night ended.", seconds(ended))
	set("shoal_last_run_success", "Whether it published, or had nothing to do.", success)
	set("shoal_last_run_exit_code", "Its exit code.", float64(s.ExitCode))
	set("shoal_last_run_duration_seconds", "How long it took.", s.Seconds)
	if succeeded > 0 {
		set(lastSuccess, "When a night last succeeded.", succeeded)
	}
	if date, err := time.Parse(time.DateOnly, s.Date); err == nil {
		set("shoal_last_run_date_seconds", "The date it was of, at midnight UTC.", seconds(date))
	}
	set("shoal_last_run_peak_memory_bytes", "The most memory it held.", float64(s.PeakMemoryBytes))
	set("shoal_last_run_spilled_bytes", "What it wrote to temporary files.", float64(s.SpilledBytes))
	set("shoal_warnings", "Warnings it gave.", float64(len(s.Warnings)))
	steps := vec("shoal_step_duration_seconds", "How long a step took.", "step")
	for _, stage := range s.Stages {
		steps.WithLabelValues(stage.Name).Set(stage.Seconds)
	}
	if i := s.Input; i.RowsRead > 0 {
		set("shoal_input_rows", "Rows of all files.", float64(i.RowsRead))
		set("shoal_input_rows_rejected", "Of these, rows that cannot be used.", float64(i.RowsRejected))
		set("shoal_input_events", "Events before the end of the date.", float64(i.Events))
		set("shoal_input_customers", "Customers with an event.", float64(i.Customers))
		set("shoal_input_duplicates", "Events left out as duplicates.", float64(i.Duplicates))
		reasons := vec("shoal_input_rows_rejected_by_reason", "Rows that cannot be used.", "reason")
		for reason, n := range i.RejectedByReason {
			reasons.WithLabelValues(reason).Set(float64(n))
		}
		if at, err := time.Parse(time.RFC3339Nano, i.Last); err == nil {
			set("shoal_input_newest_event_seconds", "The time of the newest event.", seconds(at))
		}
	}
	status := vec("shoal_gate_status", "The worst a gate found: 0 ok, 1 warn, 2 fail.", "gate")
	found := vec("shoal_gate_findings", "Things a gate found wrong.", "gate")
	for _, v := range s.Gates {
		status.WithLabelValues(v.Gate).Set(map[gates.Status]float64{gates.OK: 0, gates.Warn: 1, gates.Fail: 2}[v.Status])
		found.WithLabelValues(v.Gate).Set(float64(len(v.Findings) + v.Omitted))
	}
	auc := vec("shoal_target_auc", "AUC at the test snapshot: the best model's, and the recency rule's.", "target", "model")
	loss := vec("shoal_target_log_loss", "Log-loss there.", "target", "model")
	scored := vec("shoal_target_scored_customers", "Customers who got a score.", "target")
	for _, t := range s.Targets {
		scored.WithLabelValues(t.Name).Set(float64(t.Scored))
		for _, f := range []struct {
			to    *prometheus.GaugeVec
			model string
			v     *float64
		}{{auc, "best", t.AUC.Model}, {auc, "recency", t.AUC.Baseline}, {loss, "best", t.LogLoss.Model}, {loss, "recency", t.LogLoss.Baseline}} {
			if f.v != nil {
				f.to.WithLabelValues(t.Name, f.model).Set(*f.v)
			}
		}
	}
	rows := vec("shoal_table_rows", "Rows published.", "table")
	for table, n := range s.Tables {
		rows.WithLabelValues(table).Set(float64(n))
	}
	return reg
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// succeeded is when a night last succeeded, if this one is it.
func succeeded(s *nightly.Summary, ended time.Time) float64 {
	if s.ExitCode != nightly.ExitDone {
		return 0
	}
	return seconds(ended)
}

// writeMetrics writes the textfile collector's file, whole or not at all. What it said
// of the last success stands until there is another.
func writeMetrics(file string, s *nightly.Summary, c *config.Config, ended time.Time) error {
	ok := succeeded(s, ended)
	if ok == 0 {
		was, err := successIn(file)
		if err != nil {
			return err
		}
		ok = was
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return prometheus.WriteToTextfile(file, registry(s, prometheus.Labels{"job_name": c.Monitoring.Job}, ended, ok))
}

// successIn reads when a night last succeeded; 0 when the file does not say.
func successIn(file string) (float64, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		return 0, nil // it is not ours: it is written anew
	}
	for _, m := range families[lastSuccess].GetMetric() {
		return m.GetGauge().GetValue(), nil
	}
	return 0, nil
}

// push adds the metrics to a Pushgateway, which keeps those that this night lacks: the
// time of the last success.
func (c *Crew) push(ctx context.Context, s *nightly.Summary, cfg *config.Config, ended time.Time) error {
	p := push.New(cfg.Monitoring.Pushgateway, cfg.Monitoring.Job).Client(doer{c.client}).Gatherer(registry(s, nil, ended, succeeded(s, ended)))
	if user := c.lookup("SHOAL_PUSHGATEWAY_USER"); user != "" {
		p = p.BasicAuth(user, c.lookup("SHOAL_PUSHGATEWAY_PASSWORD"))
	}
	return p.AddContext(ctx)
}

type doer struct{ *http.Client }
