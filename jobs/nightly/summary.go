package nightly

import (
	"github.com/shoal-data/shoal/models"
)

// How a run ended.
const (
	StatusPublished = "published"
	StatusNoop      = "noop"
	StatusFailed    = "failed"
)

// A Summary is what a run says of itself: the last line on stdout, the closing
// page on a terminal, and part of the manifest.
type Summary struct {
	Status   string `json:"status"`
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error,omitempty"`
	Date     string `json:"date"`
	AsOf     string `json:"as_of,omitempty"` // the instant, RFC 3339 UTC
	RunID    string `json:"run_id,omitempty"`
	Out      string `json:"out"`
	Manifest string `json:"manifest,omitempty"`
	Version  string `json:"version"`

	Input    Input            `json:"input"`
	Segments []SegmentSummary `json:"segments,omitempty"`
	Targets  []TargetSummary  `json:"targets,omitempty"`
	Value    *ValueSummary    `json:"value,omitempty"`
	Tables   map[string]int64 `json:"tables,omitempty"` // rows by table

	Warnings []models.Warning `json:"warnings,omitempty"`
	Stages   []Stage          `json:"stages,omitempty"`

	Seconds         float64 `json:"seconds"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
}

// Input is what came in.
type Input struct {
	Files            int              `json:"files"`
	RowsRead         int64            `json:"rows_read"`    // rows of all files
	RowsSkipped      int64            `json:"rows_skipped"` // of rows_after, those in row groups that were not read
	RowsAfter        int64            `json:"rows_after"`   // of these, after the as-of date
	RowsRejected     int64            `json:"rows_rejected"`
	RejectedByReason map[string]int64 `json:"rejected_by_reason,omitempty"`
	Withheld         int64            `json:"rows_without_consent,omitempty"`
	Duplicates       int64            `json:"duplicates_removed"`
	Events           int64            `json:"events"`
	Customers        int64            `json:"customers"`
	First            string           `json:"first_event,omitempty"`
	Last             string           `json:"last_event,omitempty"`
	Currency         string           `json:"currency,omitempty"`
	Roles            map[string]int64 `json:"events_by_role,omitempty"`
}

// SegmentSummary is one segment, for people.
type SegmentSummary struct {
	Segmentation string  `json:"segmentation"`
	ID           int     `json:"id"`
	Name         string  `json:"name"`
	Customers    int     `json:"customers"`
	Share        float64 `json:"share"`
	RevenueShare float64 `json:"revenue_share"`
}

// TargetSummary is one target's model beside its baseline, out of time.
type TargetSummary struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Role    string `json:"role"`
	Gap     int    `json:"gap_days"`
	Horizon int    `json:"horizon_days"`
	// Eligible customers were active within so many days; 0 is at any time.
	ActiveWithin int    `json:"active_within_days"`
	Skipped      string `json:"skipped,omitempty"` // why there is no model
	TestDate     string `json:"test_date,omitempty"`
	TestRows     int    `json:"test_rows,omitempty"`
	Positives    int    `json:"test_positives,omitempty"`
	Champion     string `json:"champion,omitempty"`
	AUC          Figure `json:"auc"`
	LogLoss      Figure `json:"log_loss"`
	ECE          Figure `json:"ece"`
	Scored       int    `json:"scored_customers"`
}

// A Figure is the logistic model's number beside the recency rule's; nil where
// a number is not defined.
type Figure struct {
	Model    *float64 `json:"model"`
	Baseline *float64 `json:"baseline"`
}

// ValueSummary is the purchase and value model.
type ValueSummary struct {
	Skipped       string   `json:"skipped,omitempty"`
	HorizonDays   int      `json:"horizon_days,omitempty"`
	Customers     int      `json:"customers,omitempty"`
	LogLikelihood *float64 `json:"bgnbd_log_likelihood,omitempty"`
	SpendLogLik   *float64 `json:"gammagamma_log_likelihood,omitempty"`
	HoldoutDays   int      `json:"holdout_days,omitempty"`
	HoldoutMAE    Figure   `json:"holdout_mae_purchases"`
	Expected      float64  `json:"expected_purchases"`
	ExpectedValue float64  `json:"expected_value"`
}

// A Stage is what one step cost.
type Stage struct {
	Name       string  `json:"name"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func figure(v float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &v
}
