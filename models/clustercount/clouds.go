package clustercount

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/kmeans"
)

// clouds are simulated samples without clusters that data are compared with.
type clouds struct {
	gaussian, marginal []models.Matrix
	continuous         bool // no value of a column is frequent
}

// frequent is the share of rows that may agree in a column that is continuous.
const frequent = 0.05

// simulate draws clouds like x: Gaussian ones with its covariances (the null of
// Liu, Hayes, Nobel and Marron, J. Am. Stat. Assoc. 103, 2008), and ones whose
// columns have x's own values, bound together by a Gaussian copula with the
// correlations of x's normal scores. The first are not fooled by correlated
// columns, the second nor by columns of a few values, many zeros or a long tail.
func simulate(p Params, x models.Matrix) *clouds {
	c := &clouds{continuous: true}
	r := rand.New(rand.NewPCG(p.Fit.Seed, 0xc10d))
	mean, root := moments(x)
	scores := normalScores(x)
	zero, copula := moments(scores)
	sorted := make([][]float64, x.Cols())
	for j := range sorted {
		sorted[j] = x.Column(nil, j)
		slices.Sort(sorted[j])
		run := 0
		for i, v := range sorted[j] {
			if i > 0 && v != sorted[j][i-1] {
				run = 0
			}
			if run++; float64(run) > frequent*float64(x.Rows()) {
				c.continuous = false
			}
		}
	}
	for range p.Nulls {
		c.gaussian = append(c.gaussian, draw(r, x, mean, root))
		g := draw(r, x, zero, copula)
		column := make([]float64, g.Rows())
		for j, values := range sorted {
			for rank, i := range order(g.Column(column, j)) {
				g.Row(i)[j] = values[rank]
			}
		}
		c.marginal = append(c.marginal, g)
	}
	return c
}

// moments are the means of the columns and the lower triangular root of their
// covariances, by Cholesky's method; a column that others determine adds nothing.
func moments(x models.Matrix) (mean []float64, root *mat.TriDense) {
	n, d := x.Rows(), x.Cols()
	mean = make([]float64, d)
	for i := range n {
		for j, v := range x.Row(i) {
			mean[j] += v
		}
	}
	for j := range mean {
		mean[j] /= float64(n)
	}
	cov := make([]float64, d*d)
	for i := range n {
		row := x.Row(i)
		for a := range d {
			da := row[a] - mean[a]
			for b := range a + 1 {
				cov[a*d+b] += float64(da * (row[b] - mean[b]))
			}
		}
	}
	root = mat.NewTriDense(d, mat.Lower, nil)
	for a := range d {
		for b := range a + 1 {
			s := cov[a*d+b] / float64(n)
			for m := range b {
				s -= float64(root.At(a, m) * root.At(b, m))
			}
			switch {
			case a == b && s > 1e-12*cov[a*d+a]/float64(n):
				root.SetTri(a, b, math.Sqrt(s))
			case a != b && root.At(b, b) > 0:
				root.SetTri(a, b, s/root.At(b, b))
			}
		}
	}
	return mean, root
}

func draw(r *rand.Rand, like models.Matrix, mean []float64, root *mat.TriDense) models.Matrix {
	g := models.NewMatrix(like.Names, like.Rows())
	e := make([]float64, len(mean))
	for i := range g.Rows() {
		for j := range e {
			e[j] = r.NormFloat64()
		}
		row := g.Row(i)
		for a := range row {
			s := mean[a]
			for b := range a + 1 {
				s += float64(root.At(a, b) * e[b])
			}
			row[a] = s
		}
	}
	return g
}

// normalScores replaces every value by the normal quantile of its rank; equal
// values share the middle of their ranks.
func normalScores(x models.Matrix) models.Matrix {
	n := x.Rows()
	out := models.NewMatrix(x.Names, n)
	column := make([]float64, n)
	for j := range x.Cols() {
		x.Column(column, j)
		rows := order(column)
		for from := 0; from < n; {
			to := from + 1
			for to < n && column[rows[to]] == column[rows[from]] {
				to++
			}
			q := float64(from+to) / 2 / float64(n)
			for _, i := range rows[from:to] {
				out.Row(i)[j] = math.Sqrt2 * math.Erfinv(2*q-1)
			}
			from = to
		}
	}
	return out
}

// order are the rows by ascending value, equal ones as they come.
func order(column []float64) []int {
	rows := make([]int, len(column))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		switch {
		case column[a] < column[b]:
			return -1
		case column[a] > column[b]:
			return 1
		}
		return 0
	})
	return rows
}

// compare says how much tighter the candidate's clusters are than the clouds'.
func (c *clouds) compare(ctx context.Context, p Params, k *Candidate) error {
	var err error
	if k.Gaussian, err = excess(ctx, p, k, c.gaussian); err != nil {
		return err
	}
	k.Marginal, err = excess(ctx, p, k, c.marginal)
	return err
}

func excess(ctx context.Context, p Params, k *Candidate, clouds []models.Matrix) (Excess, error) {
	fit := p.Fit
	fit.K, fit.Restarts = k.K, 2
	var logs []float64
	e := Excess{}
	for _, g := range clouds {
		model, result, _, err := kmeans.Fit(ctx, fit, g)
		if err != nil {
			if ctx.Err() != nil {
				return untested, err
			}
			continue // a cloud of fewer distinct rows than clusters
		}
		logs = append(logs, math.Log(result.Inertia))
		e.Gap = max(e.Gap, gap(g, result.Labels, model.Centres()))
	}
	if len(logs) < 2 || k.Inertia <= 0 {
		return untested, nil
	}
	var mean, squares float64
	for _, l := range logs {
		mean += l / float64(len(logs))
	}
	for _, l := range logs {
		squares += float64((l - mean) * (l - mean))
	}
	sd := math.Sqrt(squares / float64(len(logs)-1))
	e.Tighter = mean - math.Log(k.Inertia)
	e.Score = e.Tighter / max(sd, 1e-9)
	return e, nil
}

// gap is the least √n·dip of the rows of any two clusters along the line of
// their centres: where two clusters are halves of one, there is one mode.
func gap(x models.Matrix, labels []int, centres models.Matrix) float64 {
	k := centres.Rows()
	least := math.Inf(1)
	rows := make([][]int, k)
	for i, l := range labels {
		rows[l] = append(rows[l], i)
	}
	var along []float64
	for a := range k {
		for b := range a {
			along = along[:0]
			for _, side := range [][]int{rows[a], rows[b]} {
				for _, i := range side {
					s := 0.0
					for j, v := range x.Row(i) {
						s += float64(v * (centres.Row(b)[j] - centres.Row(a)[j]))
					}
					along = append(along, s)
				}
			}
			least = min(least, math.Sqrt(float64(len(along)))*dip(along))
		}
	}
	return least
}
