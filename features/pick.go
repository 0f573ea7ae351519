package features

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// Pick returns the families with the named columns and no others, in catalogue
// order; families without any are left out.
func Pick(fs []Family, columns []string) ([]Family, error) {
	var picked []Family
	known := map[string]bool{}
	for _, f := range fs {
		var places []int
		for i, c := range f.Columns {
			known[c.Name] = true
			if slices.Contains(columns, c.Name) {
				places = append(places, i)
			}
		}
		if len(places) > 0 {
			picked = append(picked, f.pick(places))
		}
	}
	var unknown []string
	for _, c := range columns {
		if !known[c] {
			unknown = append(unknown, fmt.Sprintf("%q", c))
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("features: no chosen family has a column %s (shoal features lists them)", strings.Join(unknown, " or "))
	}
	return picked, nil
}

// pick is the family with the columns at the places only.
func (f Family) pick(places []int) Family {
	width, whole := len(f.Columns), f.New
	columns := make([]Column, len(places))
	for i, at := range places {
		columns[i] = f.Columns[at]
	}
	f.Columns = columns
	f.New = func(values Values) Fill {
		fill, row := whole(values), make([]float64, width)
		return func(h *timeline.History, out []float64) {
			nulls(row)
			fill(h, row)
			for i, at := range places {
				out[i] = row[at]
			}
		}
	}
	if totals, ok := TotalsOf([]Family{f}); ok {
		f.Reads = []datasets.Field{}
		for _, t := range totals {
			if t.Of != datasets.CustomerID && !slices.Contains(f.Reads, t.Of) {
				f.Reads = append(f.Reads, t.Of)
			}
		}
	}
	return f
}

// TotalsOf are the totals that the families' columns are; ok is false when one of
// them is none.
func TotalsOf(fs []Family) (totals []timeline.Total, ok bool) {
	for _, f := range fs {
		for _, c := range f.Columns {
			t, ok := f.Totals[c.Name]
			if !ok {
				return nil, false
			}
			totals = append(totals, t)
		}
	}
	return totals, true
}

// StreamTotals is Stream for families whose columns are all totals: it writes the
// batches that Stream would write of the same rows, in the same order.
func StreamTotals(ctx context.Context, totals *timeline.Totals, families []Family, s Snapshot, id datasets.IDType, workers int, write func(b Batch) error, done func(bucket int)) (timeline.Census, error) {
	var money []bool // by column: it is a sum of money and not a count
	all, ok := TotalsOf(families)
	if !ok || len(s.Labels) > 0 {
		return timeline.Census{}, errors.New("features: a column or a label is no total")
	}
	for _, t := range all {
		money = append(money, t.Of != datasets.CustomerID)
	}
	builders, turn := heldBuilders(id, nil, families, []Snapshot{s}, workers, write, done)
	return totals.Each(ctx, workers, func(w, bucket int, sum *timeline.Sum) error {
		b := builders[w]
		if err := b.enter(bucket); err != nil {
			return err
		}
		if s.Keep != nil && !s.Keep(sum.Hash) {
			return nil
		}
		row, err := b.add(0, sum.ID)
		if err != nil {
			return err
		}
		for k, v := range sum.Totals {
			if row[k] = float64(v); money[k] {
				row[k] = datasets.Money(v).Float()
			}
		}
		return b.flushFull(0)
	}, turn)
}
