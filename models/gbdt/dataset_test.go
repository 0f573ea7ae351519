package gbdt_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/metrics"
)

func dataset(t *testing.T, p gbdt.Params, x models.Matrix) *gbdt.Dataset {
	t.Helper()
	d, err := gbdt.NewDataset(t.Context(), p, x.Names, x.Rows(), func(values []float64, j int) error {
		x.Column(values, j)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// every lists the rows of n for which keep is true.
func every(n int, keep func(i int) bool) []uint32 {
	var rows []uint32
	for i := range n {
		if keep(i) {
			rows = append(rows, uint32(i))
		}
	}
	return rows
}

// A fit on a dataset's rows is the fit on a matrix of these rows, bit for bit,
// where the bins are the same: on all rows, and on some when both have all values.
func TestFitRowsIsFitSample(t *testing.T) {
	x, y := simulate(4000, 5)
	for i := range x.Rows() { // few values, each in every part
		row := x.Row(i)
		row[1], row[2], row[5] = math.Round(row[1]/50), math.Round(row[2]), math.Round(row[5])
		row[1] = min(row[1], 3) // NaN stays
		row[5] = max(-2, min(row[5], 2))
	}
	some := every(4000, func(i int) bool { return i%4 != 3 })
	rest := every(4000, func(i int) bool { return i%4 == 3 })
	gather := func(rows []uint32) gbdt.Sample {
		s := gbdt.Sample{X: models.Matrix{Names: x.Names}}
		for _, i := range rows {
			s.X.Data, s.Y = append(s.X.Data, x.Row(int(i))...), append(s.Y, y[i])
		}
		return s
	}
	for _, fraction := range []float64{1, .6} {
		for _, workers := range []int{1, 3} {
			p := small()
			p.Workers, p.Patience, p.Trees, p.ColumnFraction = workers, 5, 40, fraction
			p.Categorical = nil // whose bins go by how often they are seen
			d := dataset(t, p, x)
			want, _, err := gbdt.FitSample(t.Context(), p, gather(some), gather(rest))
			if err != nil {
				t.Fatal(err)
			}
			labels := slices.Clone(y)
			got, _, err := gbdt.FitRows(t.Context(), p, d, labels, some, rest)
			if err != nil {
				t.Fatal(err)
			}
			// Validation losses are summed in other chunks.
			for i, v := range got.Validation {
				if math.Abs(v-want.Validation[i]) > 1e-12 {
					t.Fatalf("tree %d: loss %v on the validation rows, want %v", i, v, want.Validation[i])
				}
			}
			got.Validation = want.Validation
			if len(got.Trees) < 3 || save(t, got) != save(t, want) {
				t.Errorf("%d workers, %v of the columns: the models differ", workers, fraction)
			}
			scores, err := d.Scores(t.Context(), got, rest, workers)
			if err != nil {
				t.Fatal(err)
			}
			direct, err := got.Scores(nil, gather(rest).X)
			if err != nil || !slices.Equal(scores, direct) {
				t.Errorf("scores by bins are not the scores by values: %v", err)
			}
			// What a row's label is does not matter when the row is not looked at.
			for _, i := range rest {
				labels[i] = math.NaN()
			}
			p.Trees = len(got.Trees)
			again, _, err := gbdt.FitRows(t.Context(), p, d, labels, some, nil)
			if err != nil {
				t.Fatal(err)
			}
			again.Validation = want.Validation
			if save(t, again) != save(t, want) {
				t.Error("rows that are not learnt from change the model")
			}
			p.RowFraction, p.Categorical = .5, []string{"channel"}
			d = dataset(t, p, x)
			half, _, err := gbdt.FitRows(t.Context(), p, d, labels, some, nil)
			if err != nil || save(t, half) == save(t, got) {
				t.Errorf("half of the rows give the same model: %v", err)
			}
			scores, err = d.Scores(t.Context(), half, rest, workers)
			if err != nil {
				t.Fatal(err)
			}
			if direct, err := half.Scores(nil, gather(rest).X); err != nil || !slices.Equal(scores, direct) {
				t.Errorf("scores by bins of categories are not the scores by values: %v", err)
			}
			used := got.Used()
			if slices.Contains(used.Names, "noise") != slices.ContainsFunc(got.Trees, func(t gbdt.Tree) bool { return slices.Contains(t.Column, 5) }) {
				t.Errorf("used columns are %v", used.Names)
			}
		}
	}
}

// A fit on selected columns is the fit on a dataset of these columns.
func TestSelect(t *testing.T) {
	x, y := simulate(2000, 9)
	names := []string{"channel", "recency", "visits"}
	some := models.Matrix{Names: names}
	for i := range x.Rows() {
		for _, name := range names {
			some.Data = append(some.Data, x.Row(i)[slices.Index(x.Names, name)])
		}
	}
	p := small()
	all := every(2000, func(int) bool { return true })
	selected, err := dataset(t, p, x).Select(t.Context(), p, names)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := gbdt.FitRows(t.Context(), p, selected, y, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := gbdt.FitRows(t.Context(), p, dataset(t, p, some), y, all, nil)
	if err != nil || save(t, got) != save(t, want) {
		t.Errorf("a fit on selected columns differs: %v", err)
	}
	if _, err := dataset(t, p, x).Select(t.Context(), p, []string{"spending"}); err == nil || !strings.Contains(err.Error(), "no column spending") {
		t.Errorf("an unknown column: %v", err)
	}
}

func TestUsed(t *testing.T) {
	x, y := simulate(1000, 6)
	p := small()
	p.Trees, p.Leaves = 2, 3
	m := fit(t, p, x, y)
	used := m.Used()
	if len(used.Names) >= len(m.Names) || len(used.Names) == 0 {
		t.Fatalf("two trees of two splits use %v", used.Names)
	}
	some := models.Matrix{Names: used.Names}
	for i := range x.Rows() {
		for _, name := range used.Names {
			some.Data = append(some.Data, x.Row(i)[slices.Index(x.Names, name)])
		}
	}
	if got, want := predict(t, used, some), predict(t, m, x); !slices.Equal(got, want) {
		t.Error("the model on the columns it uses predicts otherwise")
	}
}

// AUC by bins is the AUC of the column, the better way round.
func TestDatasetAUC(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	const n = 3000
	x := models.NewMatrix([]string{"rising", "falling", "noise", "often_missing", "constant", "leak"}, n)
	y := make([]float64, n)
	for i := range n {
		y[i] = float64(r.IntN(2))
		row := x.Row(i)
		row[0] = math.Round(10*(r.NormFloat64()+y[i])) / 10
		row[1] = math.Round(10*(r.NormFloat64()-2*y[i])) / 10
		row[2] = math.Round(r.NormFloat64())
		row[3] = math.NaN()
		if r.Float64() < .2+.6*y[i] {
			row[3] = 5
		}
		row[5] = y[i]
	}
	d := dataset(t, gbdt.DefaultParams(), x)
	rows := every(n, func(i int) bool { return i%3 > 0 })
	got, err := d.AUC(t.Context(), y, rows, 2)
	if err != nil {
		t.Fatal(err)
	}
	for j, name := range x.Names {
		var scores, labels []float64
		for _, i := range rows {
			v := x.Row(int(i))[j]
			if math.IsNaN(v) {
				v = -1
			}
			scores, labels = append(scores, v), append(labels, y[i])
		}
		b, err := metrics.NewBinary(labels, scores)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := b.AUC()
		if want = max(want, 1-want); name == "constant" {
			want = math.NaN()
		}
		if math.Abs(got[j]-want) > 1e-12 || math.IsNaN(got[j]) != math.IsNaN(want) {
			t.Errorf("%s: AUC %v, want %v", name, got[j], want)
		}
	}
}

func TestDatasetRefusals(t *testing.T) {
	x, y := simulate(300, 7)
	p := small()
	d := dataset(t, p, x)
	all := every(300, func(int) bool { return true })
	refuse := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	_, err := gbdt.NewDataset(t.Context(), p, x.Names, 0, nil)
	refuse("empty input", err)
	broken := errors.New("the disk is gone")
	_, err = gbdt.NewDataset(t.Context(), p, x.Names, 300, func([]float64, int) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("a failing column: %v", err)
	}
	_, err = gbdt.NewDataset(t.Context(), p, x.Names, 300, func(v []float64, j int) error {
		v[3] = math.Inf(1)
		return nil
	})
	refuse("row 3, column", err)
	_, _, err = gbdt.FitRows(t.Context(), p, d, y, nil, nil)
	refuse("empty input", err)
	_, _, err = gbdt.FitRows(t.Context(), p, d, y, []uint32{2, 1}, nil)
	refuse("rows must rise", err)
	_, _, err = gbdt.FitRows(t.Context(), p, d, y, all, []uint32{300})
	refuse("validation: row 300", err)
	_, _, err = gbdt.FitRows(t.Context(), p, d, y[:9], all, nil)
	refuse("9 labels for 300 rows", err)
	_, _, err = gbdt.FitRows(t.Context(), p, d, make([]float64, 300), all, nil)
	if !errors.Is(err, gbdt.ErrOneClass) {
		t.Errorf("one class: %v", err)
	}
	y[17] = math.NaN()
	_, _, err = gbdt.FitRows(t.Context(), p, d, y, all, nil)
	refuse("row 17: label NaN", err)
	other := fit(t, gbdt.DefaultParams(), models.Matrix{Names: []string{"a"}, Data: x.Data[:300]}, make300())
	if _, err := d.Scores(t.Context(), other, all, 1); err == nil {
		t.Error("scored by a model of another dataset")
	}
}

func make300() []float64 {
	y := make([]float64, 300)
	for i := range y {
		y[i] = float64(i % 2)
	}
	return y
}

// The bins of the first rows are theirs: what is learnt from them does not depend on
// the others, which are scored as their values are all the same.
func TestBinsOfTheFirstRows(t *testing.T) {
	const first, rows = 3000, 4000
	x, y := simulate(rows, 5)
	other := models.Matrix{Names: x.Names, Data: slices.Clone(x.Data)}
	for i := first; i < rows; i++ {
		for j := range other.Row(i) {
			if v := &other.Row(i)[j]; j != 4 && i%3 > 0 {
				*v = *v*3 + 1
			} else if i%3 == 0 {
				*v = math.NaN() // also where the first rows have none
			}
		}
	}
	p := small()
	p.Categorical, p.Workers = nil, 2
	made := func(x models.Matrix, cut int) *gbdt.Dataset {
		d, err := gbdt.NewDatasetCut(t.Context(), p, x.Names, x.Rows(), cut, func(values []float64, j int) error {
			x.Column(values, j)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	learn := every(rows, func(i int) bool { return i < first })
	rest := every(rows, func(i int) bool { return i >= first })
	var saved []string
	for _, c := range []struct {
		x   models.Matrix
		cut int
	}{{x, first}, {other, first}, {other, rows}} {
		d := made(c.x, c.cut)
		m, _, err := gbdt.FitRows(t.Context(), p, d, y, learn, nil)
		if err != nil {
			t.Fatal(err)
		}
		saved = append(saved, save(t, m))
		got, err := d.Scores(t.Context(), m, rest, 2)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Scores(nil, models.Matrix{Names: x.Names, Data: c.x.Data[first*x.Cols():]})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("cut %d: the scores of the others are not those of their values: %v", c.cut, err)
		}
	}
	if saved[0] != saved[1] {
		t.Error("the other rows change what is learnt")
	}
	if saved[1] == saved[2] {
		t.Error("bins of all rows are no others: the test shows nothing")
	}
	for _, cut := range []int{0, rows + 1} {
		if _, err := gbdt.NewDatasetCut(t.Context(), p, x.Names, rows, cut, nil); err == nil {
			t.Errorf("bins of %d rows of %d", cut, rows)
		}
	}
}
