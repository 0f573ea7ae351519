package synth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
	"github.com/shoal-data/shoal/datasets/synth/internal/partition"
)

// A Customer is one row of the truth table: who a customer really is.
type Customer struct {
	ID           string    // as in the events; decimal digits with Params.IntegerIDs
	Segment      string    // planted segment
	SegmentIndex int       // its place in SegmentNames
	Acquired     time.Time // first day alive
	Churned      time.Time // first day no longer alive; zero when alive at the end of the history
	PurchaseRate float64   // λ: orders a day alive, season aside, > 0
	ChurnHazard  float64   // μ: e^−μ is the probability to survive a day's end, > 0
	MeanSpend    float64   // expected amount of one order after discount, before returns
	VisitRate    float64   // β: visits without order a day alive, season aside, ≥ 0
	OpenRate     float64   // messages opened a day alive, weekly rhythm aside, ≥ 0
}

// customer is the truth row of customer number n.
func customer(p Params, plan *behaviour.Plan, n uint32) Customer {
	t := plan.Traits(n)
	c := Customer{
		ID:           string(partition.AppendID(nil, n)),
		Segment:      t.Profile.Name,
		SegmentIndex: t.Segment,
		Acquired:     plan.Start.AddDate(0, 0, t.Acquired),
		PurchaseRate: t.Orders,
		ChurnHazard:  t.Hazard,
		MeanSpend:    t.MeanSpend(),
		VisitRate:    t.Visits,
		OpenRate:     plan.OpenRate(&t),
	}
	if p.IntegerIDs {
		c.ID = strconv.FormatUint(uint64(n), 10)
	}
	if t.Churned < plan.Days {
		c.Churned = plan.Start.AddDate(0, 0, t.Churned)
	}
	return c
}

// SegmentNames lists the planted segments by segment index.
func SegmentNames() []string {
	names := make([]string, len(behaviour.Segments))
	for i := range behaviour.Segments {
		names[i] = behaviour.Segments[i].Name
	}
	return names
}

// Season is s_g(day): the factor on the order rate of a planted segment on a
// day, month × weekday, ≥ 0, with mean one over the months of a common year
// and mean one over a week. segment indexes SegmentNames and panics outside it.
func Season(segment int, day time.Time) float64 {
	day = day.UTC()
	return behaviour.Profiles[segment].OrderSeason(day.Month(), day.Weekday())
}

// An EventType is a name that event_type takes, and the role it plays.
// Types of role Other are left unmapped by Config.
type EventType = behaviour.EventType

// EventTypes lists every event type that Generate writes.
func EventTypes() []EventType { return behaviour.EventTypes() }

// truthRow is a row of the truth table; ID is string or int64.
type truthRow[ID string | int64] struct {
	CustomerID   ID      `parquet:"customer_id"`
	Segment      string  `parquet:"segment,dict"`
	SegmentIndex int32   `parquet:"segment_index"`
	Acquired     int32   `parquet:"acquired,date"`
	Churned      *int32  `parquet:"churned,date"`
	PurchaseRate float64 `parquet:"purchase_rate"`
	ChurnHazard  float64 `parquet:"churn_hazard"`
	MeanSpend    float64 `parquet:"mean_spend"`
	VisitRate    float64 `parquet:"visit_rate"`
	OpenRate     float64 `parquet:"open_rate"`
}

func writeTruth(ctx context.Context, p Params, plan *behaviour.Plan, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("synth: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("synth: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("synth: %w", e)
		}
	}()
	if p.IntegerIDs {
		return writeTruthRows(ctx, p, plan, f, func(n uint32) int64 { return int64(n) })
	}
	return writeTruthRows(ctx, p, plan, f, func(n uint32) string { return string(partition.AppendID(nil, n)) })
}

func writeTruthRows[ID string | int64](ctx context.Context, p Params, plan *behaviour.Plan, f io.Writer, id func(uint32) ID) error {
	w := parquet.NewGenericWriter[truthRow[ID]](f,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.CreatedBy("shoal-synth", "1.0.0", "1"),
		parquet.MaxRowsPerRowGroup(partition.GroupRows))
	rows := make([]truthRow[ID], 0, 4096)
	churned := make([]int32, cap(rows))
	for n := uint32(1); int(n) <= p.Customers; n++ {
		c := customer(p, plan, n)
		r := truthRow[ID]{
			CustomerID: id(n), Segment: c.Segment, SegmentIndex: int32(c.SegmentIndex), Acquired: epochDay(c.Acquired),
			PurchaseRate: c.PurchaseRate, ChurnHazard: c.ChurnHazard, MeanSpend: c.MeanSpend,
			VisitRate: c.VisitRate, OpenRate: c.OpenRate,
		}
		if !c.Churned.IsZero() {
			d := &churned[len(rows)]
			*d = epochDay(c.Churned)
			r.Churned = d
		}
		rows = append(rows, r)
		if len(rows) == cap(rows) || int(n) == p.Customers {
			if ctx.Err() != nil {
				return fmt.Errorf("synth: %w", context.Cause(ctx))
			}
			if _, err := w.Write(rows); err != nil {
				return fmt.Errorf("synth: truth: %w", err)
			}
			rows = rows[:0]
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("synth: truth: %w", err)
	}
	return nil
}

const daySeconds = 24 * 60 * 60

func epochDay(t time.Time) int32 { return int32(t.Unix() / daySeconds) }

func fromEpochDay(d int32) time.Time { return time.Unix(int64(d)*daySeconds, 0).UTC() }

// ReadTruth reads the truth table that Generate wrote, in the order of the
// customers' numbers.
func ReadTruth(path string) (customers []Customer, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("synth: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("synth: %w", err)
	}
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("synth: %s: %w", path, err)
	}
	leaf, ok := pf.Schema().Lookup("customer_id")
	if !ok {
		return nil, fmt.Errorf("synth: %s has no column customer_id: it is not a truth table", path)
	}
	if leaf.Node.Type().Kind() == parquet.Int64 {
		customers, err = readTruthRows(pf, func(id int64) string { return strconv.FormatInt(id, 10) })
	} else {
		customers, err = readTruthRows(pf, func(id string) string { return id })
	}
	if err != nil {
		return nil, fmt.Errorf("synth: %s: %w", path, err)
	}
	return customers, nil
}

func readTruthRows[ID string | int64](pf *parquet.File, text func(ID) string) ([]Customer, error) {
	want := parquet.SchemaOf(new(truthRow[ID]))
	for _, c := range want.Columns() {
		if _, ok := pf.Schema().Lookup(c...); !ok {
			return nil, fmt.Errorf("no column %s: it is not a truth table of this version", c[0])
		}
	}
	r := parquet.NewGenericReader[truthRow[ID]](pf)
	defer r.Close()
	customers := make([]Customer, 0, r.NumRows())
	rows := make([]truthRow[ID], 1024)
	for {
		n, err := r.Read(rows)
		for _, t := range rows[:n] {
			if int(t.SegmentIndex) < 0 || int(t.SegmentIndex) >= len(behaviour.Segments) {
				return nil, fmt.Errorf("row %d: segment_index (%d) must be 0 to %d", len(customers), t.SegmentIndex, len(behaviour.Segments)-1)
			}
			c := Customer{
				ID: text(t.CustomerID), Segment: t.Segment, SegmentIndex: int(t.SegmentIndex), Acquired: fromEpochDay(t.Acquired),
				PurchaseRate: t.PurchaseRate, ChurnHazard: t.ChurnHazard, MeanSpend: t.MeanSpend,
				VisitRate: t.VisitRate, OpenRate: t.OpenRate,
			}
			if t.Churned != nil {
				c.Churned = fromEpochDay(*t.Churned)
			}
			customers = append(customers, c)
		}
		if err == io.EOF {
			return customers, nil
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(customers), err)
		}
	}
}
