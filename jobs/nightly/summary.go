package nightly

import (
	"github.com/shoal-data/shoal/jobs/audiences"
	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/value"
	"github.com/shoal-data/shoal/models"
)

// How a run ended.
const (
	StatusPublished = "published"
	StatusNoop      = "noop"
	StatusFailed    = "failed"
	StatusExported  = "exported"
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

	// PseudonymKey is the fingerprint of the key that ids are replaced by; empty when
	// they are not.
	PseudonymKey string `json:"pseudonym_key_fingerprint,omitempty"`

	Input    Input             `json:"input"`
	Segments []SegmentSummary  `json:"segments,omitempty"`
	Targets  []predict.Summary `json:"targets,omitempty"`
	Value    *value.Summary    `json:"value,omitempty"`
	Gates    []gates.Verdict   `json:"gates,omitempty"`
	Tables   map[string]int64  `json:"tables,omitempty"` // rows by table

	Audiences []audiences.Result `json:"audiences,omitempty"`

	Warnings []models.Warning `json:"warnings,omitempty"`
	Stages   []Stage          `json:"stages,omitempty"`

	Seconds         float64 `json:"seconds"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
	SpilledBytes    int64   `json:"spilled_bytes"` // written to temporary files to keep to limits.memory
	Held            *Held   `json:"held,omitempty"`
}

// Held is what a run held, from which the plan of the next one says what that
// will take.
type Held struct {
	// Packed, in memory or in a temporary file: the events as they arrived, the same in
	// order, and the feature tables of all dates.
	ArrivedBytes int64 `json:"arrived_bytes"`
	OrderedBytes int64 `json:"ordered_bytes"`
	TableBytes   int64 `json:"table_bytes"`
	// OtherBytes is the most that anything else took at once: dictionaries, models,
	// what is read and written. It was sampled, and is without what the collector had
	// yet to collect.
	OtherBytes  int64 `json:"other_bytes"`
	BudgetBytes int64 `json:"budget_bytes"` // limits.memory as it was; 0 when the machine's memory was unknown
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
	Erased           int64            `json:"rows_erased,omitempty"`
	Duplicates       int64            `json:"duplicates_removed"`
	Events           int64            `json:"events"`
	Customers        int64            `json:"customers"`
	First            string           `json:"first_event,omitempty"`
	Last             string           `json:"last_event,omitempty"`
	Currency         string           `json:"currency,omitempty"`
	Converted        map[string]int64 `json:"amounts_converted,omitempty"` // by the currency they came in
	Identity         *Identity        `json:"identity,omitempty"`
	Roles            map[string]int64 `json:"events_by_role,omitempty"`
}

// Identity is what the identity tables did.
type Identity struct {
	Rows            int64 `json:"rows"`             // of the tables
	RowsIgnored     int64 `json:"rows_ignored"`     // of these, without alias, customer or kind
	Aliases         int64 `json:"aliases"`          // distinct, of kinds that sources use
	AliasesMet      int64 `json:"aliases_met"`      // of these, the ids of events
	CustomersMerged int64 `json:"customers_merged"` // customers whose events had several ids
	RowsRekeyed     int64 `json:"rows_rekeyed"`     // events whose id stood for another
}

// SegmentSummary is one segment, for people.
type SegmentSummary struct {
	Segmentation string  `json:"segmentation"`
	ID           int     `json:"id"`
	Name         string  `json:"name"`
	Customers    int     `json:"customers"`
	Share        float64 `json:"share"`
	RevenueShare float64 `json:"revenue_share"`
	Suppressed   bool    `json:"suppressed,omitempty"` // it has fewer customers than numbers may be about
}

// A Stage is what one step cost.
type Stage struct {
	Name       string  `json:"name"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
}
