package segments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/segments/roll"
)

// A Past is an earlier run whose segments tonight's continue.
type Past struct {
	Date, RunID string

	fsys     storage.FS
	out      string
	manifest *publish.Manifest
	states   map[string]*State
}

// ErrUnusable is wrapped by errors that say that a run is damaged, incomplete or
// of another program: reading it again would find the same.
var ErrUnusable = errors.New("cannot be continued")

// Before lists the dates with a published run before a date, the latest first:
// the runs that one of the date can continue. That later dates may be published
// already makes no difference, so a date repeated continues what it continued.
func Before(p publish.Pointer, date string) []string {
	var dates []string
	for d := range p.Dates {
		if d < date {
			dates = append(dates, d)
		}
	}
	slices.Sort(dates)
	slices.Reverse(dates)
	return dates
}

// OpenPast reads the stored segmentations of the run that the pointer names for
// a date. An error that does not wrap ErrUnusable may be gone when it is tried
// again.
func OpenPast(ctx context.Context, fsys storage.FS, out string, p publish.Pointer, date string) (*Past, error) {
	past := &Past{Date: date, RunID: p.Dates[date].Run, fsys: fsys, out: out, states: map[string]*State{}}
	fail := func(err error) (*Past, error) { return nil, past.fault(ctx, err) }
	m, ok, err := publish.ReadCurrent(ctx, fsys, out, date)
	if err != nil {
		return fail(err)
	}
	if !ok {
		return fail(fmt.Errorf("%s: %w", date, fs.ErrNotExist))
	}
	past.manifest = m
	rows, err := past.Read(ctx, ModelsTable, "segmentation", "model")
	if err != nil {
		return fail(err)
	}
	for rec, err := range rows {
		if err != nil {
			return fail(err)
		}
		names, texts := rec.Column(0).(*array.String), rec.Column(1).(*array.String)
		for i := range int(rec.NumRows()) {
			s, err := decodeState([]byte(texts.Value(i)))
			if err != nil {
				return fail(err)
			}
			if s.Segmentation != names.Value(i) {
				return fail(fmt.Errorf("segments: the stored model of segmentation %q is that of %q", names.Value(i), s.Segmentation))
			}
			past.states[s.Segmentation] = s
		}
	}
	return past, nil
}

// fault says whose fault an error is: the run's, or that of the moment.
func (p *Past) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var system *fs.PathError
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing && (publish.Transient(err) || errors.As(err, &system)) {
		return err
	}
	return fmt.Errorf("run %s of %s %w: %w", p.RunID, p.Date, ErrUnusable, err)
}

// Has says whether one of the run's tables has a column of that type.
func (p *Past) Has(table, column string, kind arrow.DataType) bool {
	t := p.manifest.Table(table)
	if t == nil {
		return false
	}
	want, err := tables.Columns(arrow.NewSchema([]arrow.Field{{Name: column, Type: kind}}, nil))
	return err == nil && slices.ContainsFunc(t.Columns, func(have tables.Column) bool { return have.Name == column && have.Type == want[0].Type })
}

// Whole compares the files of one of the run's tables with its manifest, byte for byte.
// Its error wraps ErrUnusable when they differ.
func (p *Past) Whole(ctx context.Context, table string) error {
	if err := p.manifest.Lacks(table); err != nil {
		return p.fault(ctx, fmt.Errorf("segments: %w", err))
	}
	problems, err := publish.VerifyTable(ctx, p.fsys, publish.Clean(p.out), *p.manifest.Table(table), true)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%w: %s", publish.ErrDamaged, problems[0])
	}
	if err != nil {
		return p.fault(ctx, err)
	}
	return nil
}

// Read gives some columns of one of the run's tables.
func (p *Past) Read(ctx context.Context, table string, columns ...string) (iter.Seq2[arrow.Record, error], error) {
	if err := p.manifest.Lacks(table, columns...); err != nil {
		return nil, fmt.Errorf("segments: %w", err)
	}
	return func(yield func(arrow.Record, error) bool) {
		for rec, err := range p.manifest.Records(ctx, p.fsys, p.out, table, columns...) {
			if err != nil {
				err = fmt.Errorf("segments: %w", err)
			}
			if !yield(rec, err) {
				return
			}
		}
	}, nil
}

// A Prior is what the run before says of one segmentation.
type Prior struct {
	Date, RunID string
	State       *State
	Of          []int32     // by tonight's customers: the segment each was in, 0 for one who was in none
	Gone        map[int]int // by segment: customers who are no longer in the table
}

// Dormant are the stored segmentations that tonight has no use for. They are
// stored again, so that one that is configured again later goes on where it was.
func (p *Past) Dormant(configured []string) []*State {
	var dormant []*State
	for _, s := range p.states {
		if !slices.Contains(configured, s.Segmentation) {
			s.Column = "" // the run that stores it has no such column
			dormant = append(dormant, s)
		}
	}
	slices.SortFunc(dormant, func(a, b *State) int { return strings.Compare(a.Segmentation, b.Segmentation) })
	return dormant
}

// Prior reads in which segment everybody was. It is nil when there was no
// segmentation of the name. With an error that wraps ErrUnusable it has the
// stored model alone.
func (p *Past) Prior(ctx context.Context, name string, customers *roll.Roll) (*Prior, error) {
	state := p.states[name]
	if state == nil {
		return nil, nil
	}
	prior := &Prior{Date: p.Date, RunID: p.RunID, State: state, Of: make([]int32, customers.Len()), Gone: map[int]int{}}
	if state.Column == "" {
		return prior, nil
	}
	err := p.assigned(ctx, prior, customers)
	if err == nil {
		return prior, nil
	}
	if err = p.fault(ctx, err); !errors.Is(err, ErrUnusable) {
		return nil, err
	}
	clear(prior.Of)
	clear(prior.Gone)
	return prior, err
}

func (p *Past) assigned(ctx context.Context, prior *Prior, customers *roll.Roll) error {
	state := prior.State
	rows, err := p.Read(ctx, "customer_scores", "customer_id", state.Column)
	if err != nil {
		return err
	}
	for rec, err := range rows {
		if err != nil {
			return err
		}
		ids := rec.Column(0)
		if !arrow.TypeEqual(ids.DataType(), customers.Type()) {
			return fmt.Errorf("segments: its customer ids are %v, tonight's %v: no customer is in both", ids.DataType(), customers.Type())
		}
		segment, ok := rec.Column(1).(*array.Int32)
		if !ok {
			return fmt.Errorf("segments: its column %s is %v, expected int32", state.Column, rec.Column(1).DataType())
		}
		for i := range ids.Len() {
			if segment.IsNull(i) {
				continue
			}
			h, err := roll.Hash(ids, i)
			if err != nil {
				return err
			}
			id := segment.Value(i)
			if !slices.Contains(state.Living, int(id)) {
				return fmt.Errorf("segments: it has customers in segment %d of %s, which its stored model lacks", id, state.Segmentation)
			}
			if row, ok := customers.Find(h); ok {
				prior.Of[row] = id
			} else {
				prior.Gone[int(id)]++
			}
		}
	}
	return nil
}
