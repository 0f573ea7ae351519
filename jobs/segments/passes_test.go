package segments

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models"
)

// elsewhere is a table that is not in memory: it is read in batches of uneven sizes,
// whose memory is overwritten as soon as the next is asked for. It fails at a pass.
type elsewhere struct {
	passes.Held
	size  int
	fail  int // number of the pass that fails, 0 for none
	reads *int
}

var errDisk = errors.New("the disk is gone")

func (e elsewhere) Batches(ctx context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) {
		*e.reads++
		m, w := e.Matrix, len(e.Matrix.Names)
		batch := models.Matrix{Names: m.Names}
		for lo, turn := 0, 0; lo < m.Rows(); turn++ {
			hi := min(m.Rows(), lo+e.size+turn%3)
			batch.Data = append(batch.Data[:0], m.Data[lo*w:hi*w]...)
			if *e.reads == e.fail && lo > 0 {
				yield(models.Matrix{}, errDisk)
				return
			}
			if !yield(batch, nil) {
				return
			}
			for i := range batch.Data {
				batch.Data[i] = math.NaN()
			}
			lo = hi
		}
	}
}

// said is everything that a division says, to be compared.
func said(t *testing.T, s *Segmentation, warnings []models.Warning) string {
	t.Helper()
	text, err := s.state.encode()
	if err != nil {
		t.Fatal(err)
	}
	told := *s
	told.state = nil
	out := fmt.Sprintf("%s %v", text, warnings)
	for v, i := reflect.ValueOf(told), 0; i < v.NumField(); i++ {
		out += fmt.Sprintf("\n%s: %x %+v", v.Type().Field(i).Name, v.Field(i), v.Field(i))
	}
	if s.Map != nil {
		out += fmt.Sprintf("\n%x", *s.Map)
	}
	return out
}

// Customers larger than memory are divided to the same bytes as in memory, whatever the
// batches and the workers, with the number chosen or given, with and without a run
// before, inactive customers and columns that say the same; and what was kept is given
// back.
func TestLargerThanMemory(t *testing.T) {
	h := newHerd(11)
	idle := make([]float64, len(h.kinds))
	for i := range idle {
		if i%9 == 4 {
			idle[i] = 400
		}
	}
	twice := func(m models.Matrix) models.Matrix { // and a column of gaps
		x := models.NewMatrix(append(append([]string{}, m.Names...), "purchase_days_365d", "coupons_per_order"), m.Rows())
		for i := range m.Rows() {
			row := x.Row(i)
			copy(row, m.Row(i))
			row[4], row[5] = 12*row[0], float64(i%5)
			if i%7 == 0 {
				row[5] = math.NaN()
			}
		}
		return x
	}
	nights := []models.Matrix{twice(h.night(true)), twice(h.night(false))}
	for _, k := range []config.AutoInt{{Auto: true}, {N: 5}} {
		p := params()
		p.K = k
		var prior *Prior
		for night, x := range nights {
			p.Date, p.Workers = date(night+1), 2
			s, warnings, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: idle, Prior: prior})
			if err != nil {
				t.Fatal(err)
			}
			want := said(t, s, warnings)
			for _, c := range []struct {
				size, workers int
				memory        int64
			}{{1, 3, 0}, {700, 1, 1 << 30}, {5000, 2, 20_000}} {
				p.Workers = c.workers
				budget, reads := spool.NewBudget(c.memory), 0
				in := spool.New(budget, t.TempDir())
				got, warnings, err := Divide(t.Context(), p, Input{X: elsewhere{passes.Held{Matrix: x}, c.size, 0, &reads}, Idle: idle, Prior: prior, Spool: in})
				if err != nil {
					t.Fatal(err)
				}
				if got := said(t, got, warnings); got != want {
					t.Errorf("k %v, night %d, %+v: other bytes:\n%.1500s\n%.1500s", k, night, c, got, want)
				}
				if reads < 4 || in.Total() == 0 || (budget.Spilled() > 0) != (c.memory < 1<<30) || budget.Used() != 0 {
					t.Errorf("k %v, night %d, %+v: %d passes, %d bytes kept, %d of them on disk, %d still there", k, night, c, reads, in.Total(), budget.Spilled(), budget.Used())
				}
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			}
			prior = after(t, s, nil)
		}
	}
}

// A disk that fails is no night without segments: the run ends, wherever it happens.
func TestUnreadable(t *testing.T) {
	x := newHerd(3).night(true)
	first, _ := divide(t, params(), x, nil)
	for _, prior := range []*Prior{nil, after(t, first, nil)} {
		passesMade := 0
		for fail := 1; ; fail++ {
			reads := 0
			s, _, err := Divide(t.Context(), params(), Input{X: elsewhere{passes.Held{Matrix: x}, 500, fail, &reads}, Idle: make([]float64, x.Rows()), Prior: prior})
			if reads < fail {
				passesMade = reads
				break
			}
			if !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "segments: ") {
				t.Errorf("pass %d fails: %v, %v", fail, s, err)
			}
		}
		if passesMade < 4 {
			t.Errorf("only %d passes over the features", passesMade)
		}
	}
	closed := spool.New(spool.NewBudget(0), "/nowhere/at/all")
	reads := 0
	if _, _, err := Divide(t.Context(), params(), Input{X: elsewhere{passes.Held{Matrix: x}, 500, 0, &reads}, Idle: make([]float64, x.Rows()), Spool: closed}); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("no room on disk: %v", err)
	}
}
