package value

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models/gammagamma"
	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/repeat"
)

// Powers of the deviances that forecasts are judged by: trees learn purchases with
// one near the Poisson's 1.
const (
	poisson      = 1
	nearPoisson  = 1.1
	compound     = 1.5 // a Poisson number of gamma amounts
	significance = 1.96
)

// A choice is what the holdout decided.
type choice struct {
	kind string
	// Trees to multiply purchases and spend by, nil for none.
	purchases, spend *ratio
}

// A trial is a window of the past: what was expected of its buyers and what came.
type trial struct {
	table         *features.Table
	buyers        *buyers
	bought, spent []float64
	grouped       *repeat.Grouped
	means         []float64 // value of a purchase, nil without amounts
	weeks         float64
	snapshot      string
}

func newTrial(ctx context.Context, in Input, t *features.Table) (*trial, error) {
	if t == nil {
		return nil, nil
	}
	b, err := buyersOf(t)
	if err != nil || len(b.rows) == 0 {
		return nil, err
	}
	w := &trial{table: t, buyers: b, weeks: float64(in.Days) / daysPerWeek, snapshot: t.AsOf.String(), grouped: repeat.Group(b.histories)}
	if w.bought, err = b.of(t, HoldoutColumn); err != nil {
		return nil, err
	}
	if w.spent, err = b.of(t, SpendColumn); err != nil {
		return nil, err
	}
	p := gammagamma.DefaultParams()
	p.Workers = in.Workers
	spending, _, err := gammagamma.Fit(ctx, p, b.spends)
	if err == nil {
		w.means, err = spending.Predict(nil, b.spends)
	} else if errors.Is(err, gammagamma.ErrTooFewCustomers) {
		err = nil
	}
	return w, err
}

// expect is a kind of model, fitted at the window's beginning, and what it expects of
// it. nil when there are too few repeaters.
func (w *trial) expect(ctx context.Context, in Input, kind string) (repeat.Model, []float64, error) {
	m, _, err := fitBuying(ctx, kind, w.grouped, in.Workers)
	if errors.Is(err, repeat.ErrTooFewRepeaters) {
		return nil, nil, nil // too early a date to learn from
	} else if err != nil {
		return nil, nil, err
	}
	f, err := m.Model.Predict(nil, w.buyers.histories, w.weeks)
	return m.Model, expected(f), err
}

// waits are the ends of each buyer's interval of the next purchase.
func (w *trial) waits(m repeat.Model) (wait [2][]float64, err error) {
	for i, share := range [2]float64{early, late} {
		if wait[i], err = m.Next(nil, w.buyers.histories, share); err != nil {
			return wait, err
		}
	}
	return wait, nil
}

func expected(f []repeat.Forecast) []float64 {
	v := make([]float64, len(f))
	for i := range f {
		v[i] = f[i].Expected
	}
	return v
}

func product(a, b []float64) []float64 {
	v := make([]float64, len(a))
	for i := range a {
		v[i] = a[i] * b[i]
	}
	return v
}

func total(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum
}

// deviances are the customers' unit deviances of a power in [1, 2); amounts below 0
// count as 0, and forecasts as no less than a millionth.
func deviances(power float64, actual, forecast []float64) []float64 {
	d := make([]float64, len(actual))
	for i, y := range actual {
		y, mean := max(y, 0), max(forecast[i], least)
		switch {
		case power == poisson && y == 0:
			d[i] = 2 * mean
		case power == poisson:
			d[i] = 2 * (y*math.Log(y/mean) - y + mean)
		default:
			a, b := 1-power, 2-power
			d[i] = 2 * (math.Pow(y, b)/(a*b) - y*math.Pow(mean, a)/a + math.Pow(mean, b)/b)
		}
	}
	return d
}

// squares are the customers' squared errors.
func squares(actual, forecast []float64) []float64 {
	d := make([]float64, len(actual))
	for i, y := range actual {
		d[i] = (y - forecast[i]) * (y - forecast[i])
	}
	return d
}

// margin is the mean of a's losses less b's, in its standard errors: customers are
// paired, so what is hard for both does not count.
func margin(a, b []float64) float64 {
	n := float64(len(a))
	mean, squares := 0.0, 0.0
	for i := range a {
		mean += (a[i] - b[i]) / n
	}
	for i := range a {
		squares += (a[i] - b[i] - mean) * (a[i] - b[i] - mean)
	}
	if mean == 0 || n < 2 {
		return 0
	}
	return mean / math.Sqrt(squares/(n-1)/n)
}

// A verdict is a forecast's margins over another, of squared error and deviance.
type verdict struct{ squared, deviance float64 }

func compare(power float64, actual, forecast, other []float64) verdict {
	return verdict{
		margin(squares(actual, forecast), squares(actual, other)),
		margin(deviances(power, actual, forecast), deviances(power, actual, other)),
	}
}

// inBoth says that a forecast is better in both by more than chance.
func (v verdict) inBoth() bool { return v.squared < -significance && v.deviance < -significance }

// uncontradicted says that its squared error is lower by more than chance and its
// deviance not so higher.
func (v verdict) uncontradicted() bool { return v.squared < -significance && v.deviance < significance }

// holdout compares what each model expected with what happened, beside naive
// forecasts, and chooses.
func (f *Forecast) holdout(ctx context.Context, in Input) (choice, error) {
	c := choice{kind: Kinds()[0]}
	now, err := newTrial(ctx, in, in.Past)
	if err != nil || now == nil {
		return c, err
	}
	var model repeat.Model // the chosen one
	low := 0.0
	byKind := map[string][]float64{}
	for _, kind := range Kinds() {
		m, e, err := now.expect(ctx, in, kind)
		if err != nil {
			return c, err
		}
		if m == nil {
			return c, nil // there is simply no holdout
		}
		byKind[kind] = e
		d := total(squares(now.bought, byKind[kind]))
		if kind == Kinds()[0] || d < low && compare(poisson, now.bought, byKind[kind], byKind[Kinds()[0]]).inBoth() {
			c.kind, model, low = kind, m, d
		}
	}
	names := Kinds()
	purchases, spends := byKind, map[string][]float64{}
	if now.means != nil {
		for kind, e := range byKind {
			spends[kind+" × gammagamma"] = product(e, now.means)
		}
	}
	best := struct{ purchases, spend string }{c.kind, c.kind + " × gammagamma"}
	// The ratio on the holdout is what the run's own forecast is corrected by.
	onPurchases := &ratio{nearPoisson, byKind[c.kind], now.bought, now.buyers.rows}
	onSpend := &ratio{compound, spends[best.spend], now.spent, now.buyers.rows}
	before, err := newTrial(ctx, in, in.Before)
	if err != nil {
		return c, err
	}
	if before != nil {
		m, e, err := before.expect(ctx, in, c.kind)
		if err != nil {
			return c, err
		}
		if m != nil {
			earlier := &ratio{nearPoisson, e, before.bought, before.buyers.rows}
			by, err := now.corrected(ctx, in, before, earlier)
			if err != nil {
				return c, err
			}
			if by != nil {
				name := c.kind + " × trees"
				purchases[name], names = product(byKind[c.kind], by), append(names, name)
				if onPurchases.teaches() && compare(poisson, now.bought, purchases[name], byKind[c.kind]).uncontradicted() {
					best.purchases, c.purchases = name, onPurchases
				}
			}
			if now.means != nil && before.means != nil {
				earlier := &ratio{compound, product(e, before.means), before.spent, before.buyers.rows}
				by, err := now.corrected(ctx, in, before, earlier)
				if err != nil {
					return c, err
				}
				if by != nil {
					plain, name := best.spend, best.spend+" × trees"
					spends[name] = product(spends[plain], by)
					if onSpend.teaches() && compare(compound, now.spent, spends[name], spends[plain]).uncontradicted() {
						best.spend, c.spend = name, onSpend
					}
				}
			}
		}
	}
	if c.purchases != nil && c.spend == nil && now.means != nil {
		// What is published then: corrected purchases at the model's value of each.
		best.spend = best.purchases + " × gammagamma"
		spends[best.spend] = product(purchases[best.purchases], now.means)
	}
	wait, err := now.waits(model)
	if err != nil {
		return c, err
	}
	return c, f.report(in, now, names, purchases, spends, best.purchases, best.spend, wait)
}

// corrected is what trees that learnt r in the window before multiply this one's by.
func (w *trial) corrected(ctx context.Context, in Input, before *trial, r *ratio) ([]float64, error) {
	m, err := r.fit(ctx, in, before.table)
	if err != nil || m == nil {
		return nil, err
	}
	return multiples(ctx, m, w.table, w.buyers.rows, in.Workers)
}

// report puts every forecast's figures into the metrics.
func (f *Forecast) report(in Input, w *trial, kinds []string, purchases, spends map[string][]float64, bestPurchases, bestSpend string, wait [2][]float64) error {
	n := len(w.buyers.rows)
	previous, err := w.buyers.of(w.table, previousColumn)
	if err != nil {
		return err
	}
	paid, err := w.buyers.of(w.table, paidColumn)
	if err != nil {
		return err
	}
	add := func(model, name string, v float64) {
		f.Metrics = append(f.Metrics, outputs.Metric{Target: "value", Model: model, Split: "test", Snapshot: w.snapshot, Name: name, Value: v, Rows: n, Positives: -1,
			Champion: model == bestPurchases || model == bestSpend})
	}
	figures := func(model, of string, power float64, actual, forecast []float64) (mae, rmse float64, err error) {
		r, err := metrics.NewRegression(actual, forecast)
		if err != nil {
			return 0, 0, err
		}
		mae, _ = r.MAE()
		rmse, _ = r.RMSE()
		add(model, "mae_"+of, mae)
		add(model, "rmse_"+of, rmse)
		add(model, "deviance_"+of, total(deviances(power, actual, forecast))/float64(n))
		for _, figure := range []struct {
			name string
			of   func() (float64, bool)
		}{
			{"spearman", r.Spearman}, {"total_ratio", r.TotalRatio}, {"top_decile_share", func() (float64, bool) { return r.Captured(.1) }},
		} {
			v, ok := figure.of()
			if !ok {
				v = math.NaN()
			}
			add(model, figure.name+"_"+of, v)
		}
		if model == bestPurchases && of == "purchases" || model == bestSpend && of == "value" {
			for i, b := range r.Calibration(10) {
				add(model, fmt.Sprintf("decile_%02d_expected_%s", i+1, of), b.Predicted)
				add(model, fmt.Sprintf("decile_%02d_actual_%s", i+1, of), b.Actual)
			}
		}
		return mae, rmse, nil
	}
	again := make([]float64, n)
	for i, y := range w.bought {
		if y > 0 {
			again[i] = 1
		}
	}
	auc := func(model string, score []float64) error {
		b, err := metrics.NewBinary(again, score)
		if err != nil {
			return err
		}
		v, ok := b.AUC()
		if !ok {
			v = math.NaN()
		}
		add(model, "auc_buys_again", v)
		return nil
	}
	// Naive forecasts: nobody buys; each at the own rate since the first purchase;
	// the last window again; everyone what all did in it on average.
	naive := map[string][2][]float64{}
	rate := make([]float64, n)
	for k := range n {
		if t := w.buyers.histories.T[k]; t > 0 {
			rate[k] = w.buyers.histories.X[k] / t * w.weeks
		}
	}
	mean := slices.Repeat([]float64{total(previous) / float64(n)}, n)
	worth := slices.Repeat([]float64{total(paid) / float64(n)}, n)
	naive["none"] = [2][]float64{make([]float64, n), make([]float64, n)}
	naive["own_rate"] = [2][]float64{rate, nil}
	naive["repeat_last"] = [2][]float64{previous, paid}
	naive["mean"] = [2][]float64{mean, worth}

	model := struct{ mae, rmse float64 }{}
	for _, kind := range kinds {
		mae, rmse, err := figures(kind, "purchases", poisson, w.bought, purchases[kind])
		if err != nil {
			return err
		}
		if err := auc(kind, purchases[kind]); err != nil {
			return err
		}
		if kind == bestPurchases {
			model.mae, model.rmse = mae, rmse
		}
	}
	low := struct{ mae, rmse float64 }{math.Inf(1), math.Inf(1)}
	for _, name := range [...]string{"own_rate", "repeat_last", "mean", "none"} {
		mae, rmse, err := figures(name, "purchases", poisson, w.bought, naive[name][0])
		if err != nil {
			return err
		}
		if err := auc(name, naive[name][0]); err != nil {
			return err
		}
		low.mae, low.rmse = min(low.mae, mae), min(low.rmse, rmse)
	}
	recency := make([]float64, n)
	for k := range n {
		recency[k] = w.buyers.histories.TX[k] - w.buyers.histories.T[k]
	}
	if err := auc("recency", recency); err != nil {
		return err
	}
	for _, name := range sorted(spends) {
		if _, _, err := figures(name, "value", compound, w.spent, spends[name]); err != nil {
			return err
		}
	}
	if len(spends) > 0 {
		for _, name := range [...]string{"repeat_last", "mean", "none"} {
			if _, _, err := figures(name, "value", compound, w.spent, naive[name][1]); err != nil {
				return err
			}
		}
	}
	add(bestPurchases, "total_purchases_expected", total(purchases[bestPurchases]))
	add("actual", "total_purchases", total(w.bought))
	add("actual", "total_value", total(w.spent))
	if err := f.coverage(w, wait, add, bestPurchases); err != nil {
		return err
	}
	if model.mae >= low.mae || model.rmse >= low.rmse {
		f.warn("baseline_wins", "on the holdout of %d days the best naive forecast of purchases is not beaten in every way: mean error %.3f against %.3f, root mean square %.3f against %.3f; the total was %.0f expected, %.0f actual. A mean error is least for forecasts of the median, which for most customers is no purchase at all",
			in.Days, model.mae, low.mae, model.rmse, low.rmse, total(purchases[bestPurchases]), total(w.bought))
	}
	f.Summary.HoldoutDays = in.Days
	f.Summary.HoldoutMAE = outputs.Figure{Model: &model.mae, Baseline: &low.mae}
	f.Summary.HoldoutRMSE = outputs.Figure{Model: &model.rmse, Baseline: &low.rmse}
	return nil
}

// coverage measures the interval of the next purchase on the customers whose
// interval ends within the window and who bought in it: the share who did so inside.
func (f *Forecast) coverage(w *trial, wait [2][]float64, add func(model, name string, v float64), model string) error {
	next, err := w.buyers.of(w.table, waitColumn)
	if err != nil {
		return err
	}
	var closed, inside float64
	for k := range next {
		if wait[1][k] > w.weeks {
			continue
		}
		if !(next[k] > 0) {
			continue // does not buy within the window; whether ever is not known
		}
		closed++
		if at := next[k] / daysPerWeek; at > wait[0][k]-1./daysPerWeek && at <= math.Ceil(wait[1][k]*daysPerWeek)/daysPerWeek {
			inside++
		}
	}
	if closed == 0 {
		return nil
	}
	add(model, "next_purchase_within_interval", inside/closed)
	add(model, "next_purchase_closed_intervals", closed)
	return nil
}
