package outlook

import (
	"fmt"
	"maps"
	"slices"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// Memory is what a run would hold, and where. Events and feature tables are packed;
// a part of the budget is for them, and what does not fit it is spilled to a
// temporary file. How far values can be packed hangs on the data: before a first run
// it is reckoned from the mapped columns, to within a factor of two; afterwards
// what the last run took is the guide.
type Memory struct {
	BudgetBytes int64  `json:"budget_bytes"` // limits.memory; 0 when the machine's memory is unknown
	Budget      string `json:"budget"`       // as configured
	SpoolBytes  int64  `json:"spool_bytes"`  // of the budget, for events and feature tables

	ArrivedBytes int64 `json:"arrived_bytes"` // events as they are read, packed
	OrderedBytes int64 `json:"ordered_bytes"` // the same in order, which takes their place
	// TableBytes is what the feature tables take, the run's own and those of past
	// dates; 0 when the number of customers is not known.
	TableBytes int64 `json:"table_bytes"`
	SpillBytes int64 `json:"spill_bytes"` // of these, written to a temporary file

	// LikelyPeakBytes is how large the process grows, going by the last run; 0 without one.
	LikelyPeakBytes int64  `json:"likely_peak_bytes"`
	Fits            bool   `json:"fits"` // limits.memory, as far as is known
	Note            string `json:"note"`
}

// The bytes that a field of an event takes, packed, as it arrives and in order:
// between what generated histories and the public ones of jobs/examples take.
// Instants differ most: three bytes for days, six for microseconds.
var packedFields = map[datasets.Field][2]float64{
	datasets.CustomerID: {1.2, 0.1}, datasets.EventTime: {4.2, 4.4}, datasets.EventType: {0.9, 0.9}, // and the role
	datasets.Amount: {2, 2}, datasets.Quantity: {0.6, 0.6}, datasets.Rating: {0.4, 0.4},
	datasets.Currency: {0.2, 0}, datasets.ProductID: {1.4, 1.4}, datasets.Category: {0.7, 0.7},
	datasets.Channel: {0.4, 0.4}, datasets.CampaignID: {0.7, 0.7},
	datasets.SessionID: {8, 0.9}, datasets.EventID: {8, 0}, // hashes, and sessions numbered by customer
}

// bytesPerEvent reckons what an event with some mapped fields takes.
func bytesPerEvent(mapped func(datasets.Field) bool) (arrived, ordered float64) {
	for _, field := range slices.Sorted(maps.Keys(packedFields)) { // a sum depends on its order
		bytes := packedFields[field]
		always := field == datasets.CustomerID || field == datasets.EventTime || field == datasets.EventType
		if always || mapped(field) {
			arrived += bytes[0]
			ordered += bytes[1]
		}
	}
	return arrived, ordered
}

// spilled is how much of what a run holds is written to a temporary file, when so
// much of it may lie in memory: events go there as they arrive, once memory is
// full; in order they take the place of those that arrived; tables have what
// these leave.
func spilled(spool, arrived, ordered, tables int64) int64 {
	return max(0, arrived-spool) + max(0, ordered-spool) + max(0, tables-max(0, spool-ordered))
}

// memory estimates what the run holds.
func (r *Report) memory(c *config.Config) {
	m := &r.Memory
	m.Budget = c.Limits.Memory.String()
	if total, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)(); err == nil {
		m.BudgetBytes = c.Limits.Memory.Of(int64(total))
		m.SpoolBytes = nightly.SpoolBytes(m.BudgetBytes)
	}
	if l := r.Last; l != nil && l.held != nil && l.Events > 0 {
		r.scale(l)
	} else {
		r.reckon(c)
	}
	if m.BudgetBytes > 0 {
		m.SpillBytes = spilled(m.SpoolBytes, m.ArrivedBytes, m.OrderedBytes, m.TableBytes)
	}
	m.Fits = m.BudgetBytes == 0 || m.LikelyPeakBytes <= m.BudgetBytes
	switch {
	case m.BudgetBytes == 0:
		m.Note = "the machine's memory is unknown, so limits.memory would not be applied"
	case m.LikelyPeakBytes == 0:
		m.Note = "what else the run takes is known after a first one"
	case m.Fits:
		m.Note = fmt.Sprintf("within limits.memory, going by the run of %s", r.Last.Date)
	default:
		m.Note = fmt.Sprintf("more than limits.memory, going by the run of %s: give it more, or fewer windows, snapshots or sample_rows", r.Last.Date)
	}
}

// reckon goes by the columns that are mapped.
func (r *Report) reckon(c *config.Config) {
	share := 1.0 // of the rows that become events
	if r.Input.LikelyEvents > 0 {
		share = float64(r.Input.LikelyEvents) / float64(r.Input.MostEvents)
	}
	// Blocks that fill are open, half full on average, and not packed yet.
	open := float64(r.Workers) * timeline.NumBuckets * timeline.BlockRows / 2
	for i, s := range r.Sources {
		arrived, ordered := bytesPerEvent(func(f datasets.Field) bool {
			return c.Sources[i].Columns[f] != "" || f == datasets.Currency && c.Sources[i].Currency != ""
		})
		n := share * float64(s.Rows-s.RowsSkipped)
		r.Memory.ArrivedBytes += int64(max(0, n-open/float64(len(r.Sources))) * arrived)
		r.Memory.OrderedBytes += int64(n * ordered)
	}
}

// scale goes by what the last run held.
func (r *Report) scale(l *LastRun) {
	m, in := &r.Memory, r.Input
	events := float64(in.LikelyEvents) / float64(l.Events)
	m.ArrivedBytes = int64(events * float64(l.held.ArrivedBytes))
	m.OrderedBytes = int64(events * float64(l.held.OrderedBytes))
	m.TableBytes = int64(float64(l.held.TableBytes) * float64(in.LikelyCustomers) / float64(max(1, l.Customers)))
	// Beside its share of the budget a run needs the rest of what it holds. The
	// collector lets the process grow to about twice of that, where the budget has room.
	lay := min(max(m.ArrivedBytes, m.OrderedBytes+m.TableBytes), m.SpoolBytes)
	need := int64(float64(l.held.OtherBytes)*max(1, events)) + lay
	grown := int64(float64(l.PeakMemoryBytes) * max(1, events))
	if m.BudgetBytes > 0 {
		beyond := int64(0) // its budget, by which the last run grew
		if b := l.held.BudgetBytes; b > 0 {
			beyond = max(0, l.PeakMemoryBytes-b)
		}
		grown = min(grown, m.BudgetBytes+beyond)
	}
	m.LikelyPeakBytes = max(need, grown)
}
