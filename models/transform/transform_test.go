package transform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
)

// sample has one column of each kind: symmetric, heavy-tailed from 0 (log1p),
// heavy-tailed with refunds (asinh), 20 % missing, constant, almost constant.
func sample(n int, seed uint64) models.Matrix {
	r := rand.New(rand.NewPCG(seed, 1))
	x := models.NewMatrix([]string{"age", "revenue", "net", "gap", "country", "rare"}, n)
	for i := range n {
		row := x.Row(i)
		row[0] = 40 + 12*r.NormFloat64()
		row[1] = math.Floor(math.Exp(2 + 2*r.NormFloat64()))
		row[2] = math.Exp(2*r.NormFloat64()) - 1.5
		row[3] = 30 * r.ExpFloat64()
		if r.IntN(5) == 0 {
			row[3] = math.NaN()
		}
		row[4] = 44
		if r.IntN(400) == 0 {
			row[5] = 1
		}
	}
	return x
}

func fit(t *testing.T, p Params, x models.Matrix) (*Model, []models.Warning) {
	t.Helper()
	m, w, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	return m, w
}

func save(t *testing.T, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFitChoosesAndReports(t *testing.T) {
	x := sample(5000, 7)
	m, warnings := fit(t, DefaultParams(), x)
	if want := []string{"age", "revenue", "net", "gap"}; !slices.Equal(m.Names(), want) {
		t.Fatalf("kept %v, want %v", m.Names(), want)
	}
	var shapes []Shape
	for _, c := range m.Columns()[:4] {
		shapes = append(shapes, c.Shape)
	}
	if want := []Shape{Identity, Log1p, Asinh, Identity}; !slices.Equal(shapes, want) {
		t.Errorf("shapes %v, want %v", shapes, want)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0].Message, "country") || !strings.Contains(warnings[1].Message, "rare") {
		t.Errorf("warnings %v, want one for country and one for rare", warnings)
	}
	z, err := m.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	for j, name := range z.Names {
		var sum, ss float64
		for _, v := range z.Column(nil, j) {
			sum += v
			ss += v * v
		}
		n := float64(z.Rows())
		if math.Abs(sum/n) > 1e-12 || math.Abs(ss/n-1) > 1e-12 {
			t.Errorf("%s: mean %g, mean square %g; want 0 and 1", name, sum/n, ss/n)
		}
	}
	// A missing gap is the median, not the mean and not 0.
	gap := m.Columns()[3]
	if math.Abs(gap.Missing-.2) > .02 || math.Abs(gap.Fill-30*math.Ln2) > 1.5 {
		t.Errorf("gap: missing %v, fill %v; want about .2 and 30·ln 2", gap.Missing, gap.Fill)
	}
	if want := "gap: missing ("; !strings.HasPrefix(gap.String(), want) || !strings.Contains(m.Columns()[1].String(), "log1p") {
		t.Errorf("descriptions: %q, %q", gap, m.Columns()[1])
	}
}

// Every fitted number against numpy, scipy and scikit-learn's StandardScaler.
func TestAgainstPython(t *testing.T) {
	x := sample(3000, 11)
	cols := make([][]*float64, x.Cols())
	for j := range cols {
		for _, v := range x.Column(nil, j) {
			p := &v
			if math.IsNaN(v) {
				p = nil
			}
			cols[j] = append(cols[j], p)
		}
	}
	var want []struct {
		Low, High, Median, Skew, Mean, SD float64
		Z                                 []float64
	}
	pyoracle.Run(t, `
import json, sys, numpy as np, scipy.stats
from sklearn.preprocessing import StandardScaler
out = []
for name, col in zip(["identity", "log1p", "arcsinh", "identity"], json.load(sys.stdin)):
    c = np.array(col, dtype=float)
    o = c[~np.isnan(c)]
    lo, hi, med = np.quantile(o, .005), np.quantile(o, .995), np.median(o)
    v = np.clip(np.where(np.isnan(c), med, c), lo, hi)
    v = {"identity": lambda a: a, "log1p": np.log1p, "arcsinh": np.arcsinh}[name](v)
    s = StandardScaler().fit(v.reshape(-1, 1))
    out.append(dict(Low=lo, High=hi, Median=med, Skew=scipy.stats.skew(o), Mean=s.mean_[0], SD=s.scale_[0],
                    Z=list(s.transform(v.reshape(-1, 1)).ravel())))
json.dump(out, sys.stdout)
`, cols, &want)
	m, _ := fit(t, DefaultParams(), x)
	z, err := m.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= 1e-10*max(1, math.Abs(want))) {
			t.Errorf("%s = %.15g, want %.15g", what, got, want)
		}
	}
	for j, w := range want {
		c := m.Columns()[j]
		near(c.Name+" low", c.Low, w.Low)
		near(c.Name+" high", c.High, w.High)
		near(c.Name+" median", c.Fill, w.Median)
		near(c.Name+" skew", c.Skew, w.Skew)
		near(c.Name+" mean", c.Mean, w.Mean)
		near(c.Name+" sd", c.SD, w.SD)
		for i := range x.Rows() {
			near(fmt.Sprintf("%s z[%d]", c.Name, i), z.Row(i)[j], w.Z[i])
		}
	}
}

// The bytes of the fit depend neither on the workers nor on the rows' order.
func TestByteIdentical(t *testing.T) {
	x := sample(4000, 3)
	p := DefaultParams()
	p.Workers = 1
	m, _ := fit(t, p, x)
	want := save(t, m)
	perm := rand.New(rand.NewPCG(5, 5)).Perm(x.Rows())
	y := models.NewMatrix(x.Names, x.Rows())
	for i, from := range perm {
		copy(y.Row(i), x.Row(from))
	}
	for _, workers := range []int{1, 2, 5} {
		p.Workers = workers
		for what, in := range map[string]models.Matrix{"as given": x, "shuffled": y} {
			m, _ := fit(t, p, in)
			if got := save(t, m); !bytes.Equal(got, want) {
				t.Errorf("%d workers, rows %s: other bytes\n%s\n%s", workers, what, got, want)
			}
		}
	}
	loaded, err := Load(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if got := save(t, loaded); !bytes.Equal(got, want) {
		t.Errorf("load and save changed the bytes:\n%s\n%s", got, want)
	}
	a, _ := m.Apply(models.Matrix{}, x)
	b, _ := loaded.Apply(models.Matrix{}, x)
	if !slices.Equal(a.Data, b.Data) {
		t.Error("a loaded model transforms differently")
	}
}

// Batch ≡ row by row, columns in any order, strangers ignored, memory reused.
func TestApplyByName(t *testing.T) {
	x := sample(300, 9)
	m, _ := fit(t, DefaultParams(), x)
	want, err := m.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	order := []int{3, 5, 0, 2, 4, 1}
	names := make([]string, 0, 7)
	for _, j := range order {
		names = append(names, x.Names[j])
	}
	names = append(names, "stranger")
	buf := models.NewMatrix(m.Names(), 1)
	for i := range x.Rows() {
		row := models.NewMatrix(names, 1)
		for k, j := range order {
			row.Data[k] = x.Row(i)[j]
		}
		row.Data[6] = math.Inf(1) // not a column of the model: never looked at
		got, err := m.Apply(buf, row)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Data, want.Row(i)) {
			t.Fatalf("row %d alone is %v, in the batch %v", i, got.Data, want.Row(i))
		}
		if &got.Data[0] != &buf.Data[0] {
			t.Fatal("Apply did not reuse dst")
		}
	}
	_, err = m.Apply(models.Matrix{}, models.NewMatrix([]string{"age", "net", "country", "rare"}, 2))
	if err == nil || !strings.Contains(err.Error(), "revenue, gap") {
		t.Errorf("missing columns: %v, want an error that names revenue and gap", err)
	}
	bad := models.NewMatrix(x.Names, 3)
	bad.Data[2*6+1] = math.Inf(-1)
	_, err = m.Apply(models.Matrix{}, bad)
	if err == nil || !strings.Contains(err.Error(), "row 2, column 1 (revenue)") {
		t.Errorf("infinite value: %v, want its row and column", err)
	}
}

// Inverse undoes Apply inside the clipping range, for every shape.
func TestInverse(t *testing.T) {
	x := sample(2000, 21)
	m, _ := fit(t, DefaultParams(), x)
	z, _ := m.Apply(models.Matrix{}, x)
	back, err := m.Inverse(models.Matrix{}, z)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i := range x.Rows() {
		for o, j := range []int{0, 1, 2, 3} {
			c, v := m.Columns()[j], x.Row(i)[j]
			if math.IsNaN(v) {
				v = c.Fill
			}
			v = min(max(v, c.Low), c.High)
			if got := back.Row(i)[o]; math.Abs(got-v) > 1e-9*max(1, math.Abs(v)) {
				t.Fatalf("row %d %s: %v came back as %v", i, c.Name, v, got)
			}
			checked++
		}
	}
	if checked != 8000 {
		t.Fatalf("checked %d values", checked)
	}
	if _, err := m.Inverse(models.Matrix{}, models.NewMatrix([]string{"age"}, 1)); err == nil {
		t.Error("Inverse took centres of other columns")
	}
}

func TestConstantImputation(t *testing.T) {
	x := models.NewMatrix([]string{"v"}, 5)
	copy(x.Data, []float64{10, 20, 30, 40, math.NaN()})
	p := DefaultParams()
	p.Impute, p.Constant, p.LowQuantile, p.HighQuantile = ImputeConstant, -1, 0, 1
	m, _ := fit(t, p, x)
	z, _ := m.Apply(models.Matrix{}, x)
	// −1 stays −1 though the observed minimum is 10: mean 19.8, Σ(v−m)² = 1040.8.
	if want := (-1 - 19.8) / math.Sqrt(1040.8/5); math.Abs(z.Data[4]-want) > 1e-12 {
		t.Errorf("the missing row's z is %v, want %v", z.Data[4], want)
	}
}

func TestRefusals(t *testing.T) {
	ok := sample(50, 1)
	nan := models.NewMatrix([]string{"a", "b"}, 3)
	nan.Data[5] = math.Inf(1)
	flat := models.NewMatrix([]string{"a"}, 3)
	for _, c := range []struct {
		name string
		x    models.Matrix
		want string
	}{
		{"no rows", models.NewMatrix([]string{"a"}, 0), "empty input: 0 rows × 1 columns"},
		{"no columns", models.Matrix{}, "empty input"},
		{"ragged", models.Matrix{Names: []string{"a", "b"}, Data: []float64{1, 2, 3}}, "do not fill rows"},
		{"infinite", nan, "row 2, column 1 (b) is +Inf"},
		{"nothing varies", flat, "none of the 1 columns varies"},
		{"repeated name", models.NewMatrix([]string{"a", "a"}, 2), `"a" occurs twice`},
		{"all missing", models.Matrix{Names: []string{"a"}, Data: []float64{math.NaN()}}, "all 1 values are missing"},
		{"range overflows", models.Matrix{Names: []string{"a"}, Data: []float64{-1e308, 1e308, 0}}, "too wide"},
	} {
		_, _, err := Fit(t.Context(), DefaultParams(), c.x)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	err := Params{}.Validate()
	for _, field := range []string{"Impute", "HighQuantile", "SkewLimit", "MaxSameShare", "Workers (0) must be >= 1"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Validate of zero Params: %v, want %s named", err, field)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Fit(ctx, DefaultParams(), ok); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, s := range []string{``, `{}`, `{"version":1,"columns":[]}`, `{"version":9}`} {
		if _, err := Load(strings.NewReader(s)); err == nil {
			t.Errorf("Load(%q) succeeded", s)
		}
	}
}

// Whatever the data, the output is finite and each kept column keeps its order.
func TestFiniteAndMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		x := models.NewMatrix([]string{"v"}, n)
		gen := rapid.OneOf(rapid.Float64Range(-1e150, 1e150), rapid.Float64Range(-3, 3), rapid.Just(math.NaN()), rapid.Just(0.))
		for i := range x.Data {
			x.Data[i] = gen.Draw(t, "v")
		}
		m, _, err := Fit(context.Background(), DefaultParams(), x)
		if err != nil {
			return // constant or all missing: refused above
		}
		z, err := m.Apply(models.Matrix{}, x)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range x.Data {
			if math.IsNaN(z.Data[i]) || math.IsInf(z.Data[i], 0) {
				t.Fatalf("z(%v) = %v with %v", a, z.Data[i], m.Columns()[0])
			}
			for k, b := range x.Data {
				if a < b && z.Data[i] > z.Data[k] {
					t.Fatalf("%v < %v but z %v > %v", a, b, z.Data[i], z.Data[k])
				}
			}
		}
	})
}

func BenchmarkTransform(b *testing.B) {
	x := sample(100_000, 1)
	b.Run("op=fit/n=1e5/d=6", func(b *testing.B) {
		p := DefaultParams()
		for b.Loop() {
			if _, _, err := Fit(b.Context(), p, x); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*1e5/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("op=apply/n=1e5/d=6", func(b *testing.B) {
		m, _, err := Fit(b.Context(), DefaultParams(), x)
		if err != nil {
			b.Fatal(err)
		}
		var dst models.Matrix
		for b.Loop() {
			if dst, err = m.Apply(dst, x); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*1e5/b.Elapsed().Seconds(), "rows/s")
	})
}

// Replace is Apply, in the memory of its input.
func TestReplaceEqualsApply(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := models.Matrix{Names: []string{"a", "constant", "b", "c"}}
	for range 300 {
		x.Data = append(x.Data, r.NormFloat64(), 7, math.Exp(3*r.NormFloat64()), float64(r.IntN(4)))
	}
	p := DefaultParams()
	m, _, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Names) >= len(x.Names) {
		t.Fatalf("no column was dropped: %v", want.Names)
	}
	got, err := m.Replace(x)
	if err != nil || !slices.Equal(got.Data, want.Data) || !slices.Equal(got.Names, want.Names) {
		t.Errorf("Replace differs from Apply: %v", err)
	}
	if &got.Data[0] != &x.Data[0] {
		t.Error("the result is in other memory")
	}
}

// The few who have something of a sparse column are two deviations from the
// others, as if they were half of the rows, and not the more the fewer they are.
func TestSparseColumns(t *testing.T) {
	for _, users := range []int{30, 100, 400, 500} {
		x := models.NewMatrix([]string{"flag"}, 1000)
		for i := range users {
			x.Data[i] = 1
		}
		p := DefaultParams()
		apart := func() float64 {
			m, _, err := Fit(t.Context(), p, x)
			if err != nil {
				t.Fatal(err)
			}
			z, err := m.Apply(models.Matrix{}, x)
			if err != nil {
				t.Fatal(err)
			}
			return z.Data[0] - z.Data[999]
		}
		share := float64(users) / 1000
		if got, want := apart(), 1/math.Sqrt(share*(1-share)); math.Abs(got-want) > 1e-9 {
			t.Errorf("%d users: %v apart, want %v", users, got, want)
		}
		p.SparseShare = .5
		if got := apart(); math.Abs(got-2) > 1e-9 {
			t.Errorf("%d users: %v apart, want 2", users, got)
		}
	}
}

// A column of small values is brought into shape in a unit of its own: nearly as
// much as by a logarithm, and the same whatever unit the data came in.
func TestFitScale(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	n := 4000
	x := models.NewMatrix([]string{"rate", "thousandth"}, n)
	for i := range n {
		v := math.Exp(r.NormFloat64() - 4) // a median of .018
		x.Row(i)[0], x.Row(i)[1] = v, v/1000
	}
	p := DefaultParams()
	p.SkewLimit = 1
	plain, _, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	p.FitScale = true
	m, _, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	skews := func(m *Model) [2]float64 {
		z, err := m.Apply(models.Matrix{}, x)
		if err != nil {
			t.Fatal(err)
		}
		return [2]float64{skewness(z.Column(nil, 0)), skewness(z.Column(nil, 1))}
	}
	if s := skews(plain); s[0] < 1.5 || s[1] < 1.5 {
		t.Errorf("ln(1+v) alone leaves a skew of %v only: the test shows nothing", s)
	}
	if s := skews(m); math.Abs(s[0]) > .3 || math.Abs(s[0]-s[1]) > 1e-9 {
		t.Errorf("skews %v after shaping in a unit of their own", s)
	}
	z, err := m.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	back, err := m.Inverse(models.Matrix{}, z)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range back.Data {
		low, high := m.Columns()[i%2].Low, m.Columns()[i%2].High
		if want := min(max(x.Data[i], low), high); math.Abs(v-want) > 1e-9*want {
			t.Fatalf("value %v comes back as %v", want, v)
		}
	}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	again, err := Load(&b)
	if err != nil || !reflect.DeepEqual(again.Columns(), m.Columns()) {
		t.Errorf("saved and loaded: %v", err)
	}
}

// Weights stretch the columns that are kept, are stored with the model and leave the
// way back to original units as it was.
func TestWeighted(t *testing.T) {
	x := sample(300, 12)
	m, _ := fit(t, DefaultParams(), x)
	z, err := m.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	weights := []float64{2, .5, 1, 4}
	if len(weights) != len(m.Names()) {
		t.Fatalf("columns %v", m.Names())
	}
	weighted, err := m.Weighted(weights)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(bytes.NewReader(save(t, weighted)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range z.Data { // by powers of two, exactly
		if want := v * weights[i%4]; got.Data[i] != want {
			t.Fatalf("row %d, column %d is %v, want %v", i/4, i%4, got.Data[i], want)
		}
	}
	plain, err1 := m.Inverse(models.Matrix{}, z)
	back, err2 := loaded.Inverse(models.Matrix{}, got)
	if err1 != nil || err2 != nil || !slices.Equal(plain.Data, back.Data) {
		t.Errorf("weights change the way back (%v, %v)", err1, err2)
	}
	for _, c := range []struct {
		weights []float64
		want    string
	}{{weights[:3], "3 weights for 4 columns"}, {[]float64{1, 0, 1, 1}, "the weight 0 of column 1 (revenue)"}, {[]float64{1, 1, math.NaN(), 1}, "the weight NaN of column 2 (net)"}, {[]float64{1, 1, 1, math.Inf(1)}, "the weight +Inf of column 3 (gap)"}} {
		if _, err := m.Weighted(c.weights); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.weights, err, c.want)
		}
	}
}
