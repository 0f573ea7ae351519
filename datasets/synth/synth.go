package synth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
	"github.com/shoal-data/shoal/datasets/synth/internal/partition"
)

// Params says what history to make. Start from DefaultParams.
type Params struct {
	Seed uint64 // any value; another seed is another population

	// Exactly one of Customers and TargetEvents is positive. TargetEvents
	// sets the number of customers from a pilot of the first ones, and is met to
	// within a few per cent.
	Customers    int   // 0 to 999,999,999
	TargetEvents int64 // ≥ 0

	// The history covers the whole UTC days [Start, End); midnights.
	Start, End time.Time

	ActivityScale  float64 // factor on visits and messages, not on orders: 0 to 20
	DuplicateShare float64 // of all rows, exact repeats of another row: 0 to 0.5
	LateShare      float64 // of rows, arriving in the partition of 1 to 3 days later: 0 to 0.5
	AnonymousShare float64 // of rows, without a customer: 0 to 0.9

	IntegerIDs     bool   // customer_id int64 rather than string
	DecimalAmounts bool   // amount decimal(18,4) rather than double
	Currency       string // ISO 4217 code, three capitals
	Compression    string // "zstd" or "snappy"

	Workers int // goroutines, ≥ 1; the result does not depend on it
}

// DefaultParams makes the sample that `make run` uses: 20,000 customers over
// eighteen months.
func DefaultParams() Params {
	return Params{
		Seed:           1,
		Customers:      20_000,
		Start:          time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		End:            time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC),
		ActivityScale:  1,
		DuplicateShare: 0.002,
		LateShare:      0.01,
		AnonymousShare: 0.03,
		Currency:       "EUR",
		Compression:    "zstd",
		Workers:        runtime.GOMAXPROCS(0),
	}
}

const (
	maxCustomers = 999_999_999
	maxDays      = 20 * 366
	maxWorkers   = 1024
)

func (p Params) settings() behaviour.Settings {
	return behaviour.Settings{
		Seed: p.Seed, Start: p.Start, End: p.End, ActivityScale: p.ActivityScale,
		DuplicateShare: p.DuplicateShare, LateShare: p.LateShare, AnonymousShare: p.AnonymousShare,
	}
}

// Validate reports every fault of p, joined.
func (p Params) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("synth: "+format, args...)) }
	if p.Customers < 0 || p.Customers > maxCustomers {
		fault("Customers (%d) must be 0 to %d", p.Customers, maxCustomers)
	}
	if p.TargetEvents < 0 {
		fault("TargetEvents (%d) must be >= 0", p.TargetEvents)
	}
	if (p.Customers > 0) == (p.TargetEvents > 0) {
		fault("exactly one of Customers (%d) and TargetEvents (%d) must be > 0", p.Customers, p.TargetEvents)
	}
	for _, d := range []struct {
		name string
		t    time.Time
	}{{"Start", p.Start}, {"End", p.End}} {
		if !d.t.Equal(d.t.UTC().Truncate(24 * time.Hour)) {
			fault("%s (%s) must be midnight UTC", d.name, d.t.Format(time.RFC3339Nano))
		}
		if y := d.t.UTC().Year(); y < 1900 || y > 2200 {
			fault("%s (%s) must be in the years 1900 to 2200", d.name, d.t.Format(time.DateOnly))
		}
	}
	if days := p.End.Sub(p.Start) / (24 * time.Hour); !p.End.After(p.Start) || days > maxDays {
		fault("End (%s) must be 1 to %d days after Start (%s)", p.End.Format(time.DateOnly), maxDays, p.Start.Format(time.DateOnly))
	}
	for _, s := range []struct {
		name    string
		v, most float64
	}{
		{"ActivityScale", p.ActivityScale, 20},
		{"DuplicateShare", p.DuplicateShare, 0.5},
		{"LateShare", p.LateShare, 0.5},
		{"AnonymousShare", p.AnonymousShare, 0.9},
	} {
		if !(s.v >= 0 && s.v <= s.most) {
			fault("%s (%g) must be 0 to %g", s.name, s.v, s.most)
		}
	}
	if len(p.Currency) != 3 || p.Currency[0] < 'A' || p.Currency[0] > 'Z' || p.Currency[1] < 'A' || p.Currency[1] > 'Z' ||
		p.Currency[2] < 'A' || p.Currency[2] > 'Z' {
		fault("Currency (%q) must be three capital letters", p.Currency)
	}
	if p.Compression != "zstd" && p.Compression != "snappy" {
		fault("Compression (%q) must be zstd or snappy", p.Compression)
	}
	if p.Workers < 1 || p.Workers > maxWorkers {
		fault("Workers (%d) must be 1 to %d", p.Workers, maxWorkers)
	}
	return errors.Join(faults...)
}

// Summary is what Generate wrote.
type Summary struct {
	Customers int    // rows of the truth table
	Rows      int64  // rows of the events, repeats included
	Purchases int64  // order_completed rows, repeats included
	Returns   int64  // order_returned rows, repeats included
	Repeats   int64  // rows that repeat another
	Late      int64  // rows in a later partition than their day's
	Anonymous int64  // rows without customer
	Files     int    // of the events
	Bytes     int64  // of the events' files
	Truth     string // path of the truth table
	Events    string // pattern that matches the events' files
}

// customersPerBlock is the unit of work; blocksPerRound of them are told, then
// written, so that what waits between the two is bounded.
const (
	customersPerBlock = 512
	blocksPerRound    = 96
)

// ErrNotEmpty is wrapped by Generate when its directory holds something already.
var ErrNotEmpty = errors.New("exists and is not empty")

// Generate writes the history of p and its truth below dir. The directory
// appears complete or not at all: everything is made beside it and renamed at
// the end, and removed on failure or cancellation. A dir that exists must be
// empty. progress, when not nil, is called from one goroutine with the customer-windows
// done and their total. Nothing is synced to disk: a power loss may undo it.
//
// Memory is that of at most a row group of each of 28 days and the work in hand:
// about 300 MB for 2,000,000 customers with two workers, and no more for more.
func Generate(ctx context.Context, p Params, dir string, progress func(done, total int64)) (sum Summary, err error) {
	if err := p.Validate(); err != nil {
		return Summary{}, err
	}
	if err := checkFree(dir); err != nil {
		return Summary{}, err
	}
	if p.TargetEvents > 0 {
		p.Customers = customersFor(p)
	}
	dir = filepath.Clean(dir)
	made, err := makeParents(filepath.Dir(dir))
	if err != nil {
		return Summary{}, err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp-*")
	if err != nil {
		removeEmpty(made)
		return Summary{}, fmt.Errorf("synth: %w", err)
	}
	defer func() {
		if err != nil {
			sum = Summary{}
			_ = os.RemoveAll(temp) // the first error is the one to report
			removeEmpty(made)
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return Summary{}, fmt.Errorf("synth: %w", err)
	}
	w := newWriter(p, temp)
	if err := w.run(ctx, progress); err != nil {
		return Summary{}, err
	}
	if err := writeTruth(ctx, w.params, w.plan, filepath.Join(temp, truthPath)); err != nil {
		return Summary{}, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return Summary{}, fmt.Errorf("synth: %w", err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return Summary{}, fmt.Errorf("synth: %w", err)
	}
	t := w.tally
	return Summary{
		Customers: p.Customers, Rows: t.Rows, Purchases: t.Purchases, Returns: t.Returns,
		Repeats: t.Duplicates, Late: t.Late, Anonymous: t.Anonymous,
		Files: w.files, Bytes: w.bytes,
		Truth:  filepath.Join(dir, truthPath),
		Events: filepath.Join(dir, eventsPattern),
	}, nil
}

var (
	truthPath     = filepath.Join("truth", "truth.parquet")
	eventsPattern = filepath.Join("events", "ds=*", "*.parquet")
)

// checkFree refuses a dir that Generate would overwrite.
func checkFree(dir string) error {
	if dir == "" {
		return errors.New("synth: no directory given")
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("synth: %w; give a directory that does not exist yet", err)
	case len(entries) > 0:
		return fmt.Errorf("synth: %s %w; give another directory, or remove it first", dir, ErrNotEmpty)
	}
	return nil
}

// makeParents makes dir and what lies above it; made lists the directories
// that had to be made, deepest first.
func makeParents(dir string) (made []string, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		removeEmpty(made)
		return nil, fmt.Errorf("synth: %w", err)
	}
	return made, nil
}

// removeEmpty takes back directories that a failed run made; one that has been
// filled by somebody else since stays.
func removeEmpty(made []string) {
	for _, d := range made {
		_ = os.Remove(d)
	}
}

// pilotCustomers is how many customers' whole histories are told, and not
// written, to learn how many rows a customer has.
const pilotCustomers = 4000

func customersFor(p Params) int {
	plan := behaviour.NewPlan(p.settings())
	counts := make([]behaviour.Tally, plan.Windows())
	each(p.Workers, len(counts), func(_, i int) {
		var b behaviour.Block
		t := behaviour.NewTeller(plan, plan.Window(i), &b)
		for n := uint32(1); n <= pilotCustomers; n++ {
			t.Tell(n)
			if n%64 == 0 || n == pilotCustomers {
				counts[i].Add(b.Tally)
				b.Reset()
			}
		}
	})
	var all behaviour.Tally
	for _, c := range counts {
		all.Add(c)
	}
	want := float64(p.TargetEvents) * pilotCustomers / float64(max(all.Rows, 1))
	return int(max(1, min(maxCustomers, math.Round(want))))
}

// each calls do(worker, i) for i in [0, n) from workers goroutines.
func each(workers, n int, do func(worker, i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(w, i)
			}
		})
	}
	wg.Wait()
}

// A writer takes a plan to files, one window after the other: customers are
// told in blocks, and the blocks' rows go to the day's file in the order of the
// blocks, whichever goroutine told or writes them.
type writer struct {
	params   Params
	plan     *behaviour.Plan
	dir      string
	blocks   [blocksPerRound]behaviour.Block
	encoders []*partition.Encoder
	open     map[int]*partition.File // by day
	pool     partition.Pool
	tally    behaviour.Tally
	files    int
	bytes    int64
}

func newWriter(p Params, dir string) *writer {
	plan := behaviour.NewPlan(p.settings())
	w := &writer{params: p, plan: plan, dir: dir, open: make(map[int]*partition.File)}
	layout := partition.Layout{Start: plan.Start, IntegerIDs: p.IntegerIDs, DecimalAmounts: p.DecimalAmounts, Currency: p.Currency}
	for range p.Workers {
		var codec compress.Codec = &zstd.Codec{Level: zstd.SpeedFastest}
		if p.Compression == "snappy" {
			codec = &snappy.Codec{}
		}
		w.encoders = append(w.encoders, partition.NewEncoder(layout, codec))
	}
	return w
}

func (w *writer) run(ctx context.Context, progress func(done, total int64)) error {
	defer w.abandon()
	total := int64(w.plan.Windows()) * int64(w.params.Customers)
	for i := range w.plan.Windows() {
		win := w.plan.Window(i)
		for first := 0; first < w.params.Customers; first += customersPerBlock * blocksPerRound {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("synth: %w", context.Cause(ctx))
			}
			if err := w.round(win, first); err != nil {
				return err
			}
			if progress != nil {
				told := min(first+customersPerBlock*blocksPerRound, w.params.Customers)
				progress(int64(i)*int64(w.params.Customers)+int64(told), total)
			}
		}
		if err := w.closeDays(win); err != nil {
			return err
		}
	}
	return nil
}

// round tells and writes the customers from first on, as many as fit.
func (w *writer) round(win *behaviour.Window, first int) error {
	customers := min(customersPerBlock*blocksPerRound, w.params.Customers-first)
	blocks := w.blocks[:(customers+customersPerBlock-1)/customersPerBlock]
	each(w.params.Workers, len(blocks), func(_, b int) {
		blocks[b].Reset()
		t := behaviour.NewTeller(w.plan, win, &blocks[b])
		from := first + b*customersPerBlock
		for n := from; n < min(from+customersPerBlock, first+customers); n++ {
			t.Tell(uint32(n + 1))
		}
	})
	for b := range blocks {
		w.tally.Add(blocks[b].Tally)
	}
	last := min(win.First+behaviour.WindowDays+behaviour.AheadDays, w.plan.Days)
	for day := win.First; day < last; day++ {
		if w.open[day] == nil {
			w.open[day] = w.file(day)
		}
	}
	return w.onDays(win.First, last, func(e *partition.Encoder, f *partition.File, i int) error {
		for b := range blocks {
			if err := f.Add(e, blocks[b].Days[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// onDays runs do on the open files of the days [from, to), i counting from 0,
// and returns the error of the earliest day.
func (w *writer) onDays(from, to int, do func(e *partition.Encoder, f *partition.File, i int) error) error {
	errs := make([]error, to-from)
	each(w.params.Workers, len(errs), func(worker, i int) {
		errs[i] = do(w.encoders[worker], w.open[from+i], i)
	})
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("synth: %w", err)
		}
	}
	return nil
}

// file is a new file for a day's partition.
func (w *writer) file(day int) *partition.File {
	ds := w.plan.Start.AddDate(0, 0, day).Format(time.DateOnly)
	return partition.NewFile(filepath.Join(w.dir, "events", "ds="+ds, "part-0.parquet"), &w.pool)
}

// closeDays ends the files of a window whose customers have all been told.
func (w *writer) closeDays(win *behaviour.Window) error {
	if err := w.onDays(win.First, win.End, func(e *partition.Encoder, f *partition.File, _ int) error { return f.Finish(e) }); err != nil {
		return err
	}
	for day := win.First; day < win.End; day++ {
		if size := w.open[day].Size(); size > 0 {
			w.files++
			w.bytes += size
		}
		delete(w.open, day)
	}
	return nil
}

// abandon closes what a failed run left open.
func (w *writer) abandon() {
	for _, f := range w.open {
		f.Abandon()
	}
}
