package outlook

import (
	"cmp"
	"fmt"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
)

// Memory is what the largest things that a run holds take, beside its budget.
// Dictionaries of ids and texts, pages being read and written, models and what
// the collector has not collected come on top: they hang on the data, and only
// a run tells what they take.
type Memory struct {
	BudgetBytes   int64  `json:"budget_bytes"`    // limits.memory; 0 when the machine's memory is unknown
	Budget        string `json:"budget"`          // as configured
	BytesPerEvent int64  `json:"bytes_per_event"` // of the columns that are mapped
	EventBytes    int64  `json:"event_bytes"`     // at most, of the likely events or of all rows
	// TableBytes is at most what the feature tables take, the run's own and those
	// of past dates; 0 when the number of customers is not known.
	TableBytes int64 `json:"table_bytes"`
	// LikelyPeakBytes scales the peak of the last run by events; 0 without one.
	LikelyPeakBytes int64  `json:"likely_peak_bytes"`
	Fits            bool   `json:"fits"` // the likely peak, or else the events, within the budget
	Note            string `json:"note"`
}

// bytesPerEvent is what an event takes in memory before it is packed. A column
// that a source maps is there for all of that source's events.
func bytesPerEvent(mapped func(datasets.Field) bool) int64 {
	n := int64(4 + 8 + 1 + 4) // customer, time, role, type
	for _, f := range []datasets.Field{datasets.Amount, datasets.Quantity, datasets.Rating, datasets.SessionID, datasets.EventID} {
		if mapped(f) {
			n += 8
		}
	}
	for _, f := range []datasets.Field{datasets.Currency, datasets.ProductID, datasets.Category, datasets.Channel, datasets.CampaignID} {
		if mapped(f) {
			n += 4
		}
	}
	return n
}

// atMost is the most that n events of so many bytes take: packed blocks take
// less, by how much hangs on the data; the last of each bucket and worker is open
// and not packed. A test measures it.
func atMost(n, bytesEach int64, workers int) int64 {
	const openBlock, bookkeeping = 1024, 4096
	logs := int64(workers) * timeline.NumBuckets
	return bytesEach*(n+min(n, logs*openBlock)) + logs*bookkeeping
}

// memory estimates what the run holds.
func (r *Report) memory(c *config.Config) {
	m := &r.Memory
	m.Budget = c.Limits.Memory.String()
	if total, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)(); err == nil {
		m.BudgetBytes = c.Limits.Memory.Of(int64(total))
	}
	share := 1.0 // of the rows that become events
	if r.Input.LikelyEvents > 0 {
		share = float64(r.Input.LikelyEvents) / float64(r.Input.MostEvents)
	}
	rows, bytes := int64(0), int64(0)
	for i, s := range r.Sources {
		one := bytesPerEvent(func(f datasets.Field) bool {
			return c.Sources[i].Columns[f] != "" || f == datasets.Currency && c.Sources[i].Currency != ""
		})
		n := s.Rows - s.RowsSkipped
		rows += n
		bytes += n * one
	}
	if rows > 0 {
		m.BytesPerEvent = bytes / rows
		m.EventBytes = atMost(int64(share*float64(rows)), m.BytesPerEvent, r.Workers)
	}
	if n := r.Input.LikelyCustomers; n > 0 {
		// Eight bytes a number and a bit that says whether there is one.
		row := int64(r.Columns) * 65 / 8
		m.TableBytes = row * (n + int64(r.pastDates())*min(n, int64(c.Limits.SampleRows)))
	}
	if l := r.Last; l != nil && l.Events > 0 {
		m.LikelyPeakBytes = int64(float64(l.PeakMemoryBytes) * max(1, float64(r.Input.LikelyEvents)/float64(l.Events)))
	}
	m.Fits = m.BudgetBytes == 0 || cmp.Or(m.LikelyPeakBytes, m.EventBytes) <= m.BudgetBytes
	switch {
	case m.BudgetBytes == 0:
		m.Note = "the machine's memory is unknown, so limits.memory would not be applied"
	case r.Last == nil && m.Fits:
		m.Note = "the events fit limits.memory, whatever they hold; what else the run takes is known after a first one"
	case r.Last == nil:
		m.Note = "the events may take more than limits.memory: the run would try to keep to it, and say so if it could not"
	case m.Fits:
		m.Note = fmt.Sprintf("within limits.memory, going by the run of %s", r.Last.Date)
	default:
		m.Note = fmt.Sprintf("more than limits.memory, going by the run of %s: give it more, or fewer windows, snapshots or sample_rows", r.Last.Date)
	}
}
