package features

import (
	"math"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// breadth: how widely the customer buys and looks.
func breadth(p Params) Family {
	ws := p.windows()
	const bought = "role = 'purchase'"
	f := Family{
		Name: "breadth", Meaning: "How widely the customer buys and looks: distinct products, categories and channels, and concentration.",
		Reads: []datasets.Field{datasets.Amount, datasets.ProductID, datasets.Category, datasets.Channel},
		From: `(SELECT *,
  count(*) OVER (PARTITION BY customer_id, role, product_id) AS product_lines,
  count(*) OVER (PARTITION BY customer_id, role, category) AS category_lines,
  sum(amount) OVER (PARTITION BY customer_id, role, category) AS category_amount
 FROM history)`,
	}
	for _, w := range ws {
		f.Columns = append(f.Columns,
			Column{"products_" + w.suffix, "products", "[0, ∞)", "never", "Distinct products purchased " + w.words + ".", "count(DISTINCT product_id)" + w.filter(bought)},
			Column{"categories_" + w.suffix, "categories", "[0, ∞)", "never", "Distinct categories purchased " + w.words + ".", "count(DISTINCT category)" + w.filter(bought)},
		)
	}
	f.Columns = append(f.Columns,
		Column{"products_viewed_lifetime", "products", "[0, ∞)", "never", "Distinct products viewed ever.", "count(DISTINCT product_id) FILTER (WHERE role = 'view')"},
		Column{"channels_lifetime", "channels", "[0, ∞)", "never", "Distinct channels of any event ever.", "count(DISTINCT channel)"},
		Column{"product_repeat_share", "share", "[0, 1)", "no purchase with a product", "Share of purchase lines that repeat a product bought before.",
			"1 - count(DISTINCT product_id) FILTER (WHERE role = 'purchase') / nullif(count(product_id) FILTER (WHERE role = 'purchase'), 0)"},
		Column{"favourite_product_share", "share", "(0, 1]", "no purchase with a product", "Share of purchase lines in the product bought most often.",
			"max(product_lines) FILTER (WHERE role = 'purchase' AND product_id IS NOT NULL) / count(product_id) FILTER (WHERE role = 'purchase')"},
		Column{"favourite_category_share", "share", "(0, 1]", "no purchase with a category", "Share of purchase lines in the category bought most often.",
			"max(category_lines) FILTER (WHERE role = 'purchase' AND category IS NOT NULL) / count(category) FILTER (WHERE role = 'purchase')"},
		Column{"category_entropy", "bits", "[0, ∞)", "no purchase with a category", "Shannon entropy of the categories of purchase lines: 0 is one category only.",
			"CASE WHEN count(category) FILTER (WHERE role = 'purchase') > 0 THEN entropy(category) FILTER (WHERE role = 'purchase' AND category IS NOT NULL) END"},
		// Σ s² over the categories is the sum over the lines of amount × s of their category.
		Column{"category_spend_concentration", "index", "(0, ∞)", "spend in categories is not positive", "Concentration of spend over categories, Σ p² of their shares: 1 is one category only; above 1 only where amounts are negative.",
			"CASE WHEN sum(amount) FILTER (WHERE role = 'purchase' AND category IS NOT NULL) > 0 THEN sum(amount::DOUBLE * category_amount::DOUBLE) FILTER (WHERE role = 'purchase' AND category IS NOT NULL) / pow((sum(amount) FILTER (WHERE role = 'purchase' AND category IS NOT NULL))::DOUBLE, 2) END"},
	)
	f.New = func(Values) Fill {
		var products, categories, viewed, channels tally
		var spent []datasets.Money // by category
		return func(h *timeline.History, out []float64) {
			clear(out)
			purchases := h.Positions(datasets.Purchase)
			products.reset()
			for _, c := range categories.values {
				spent[c] = 0
			}
			categories.reset()
			// From the newest back: a value counts in every window that holds its
			// latest purchase.
			for _, i := range slices.Backward(purchases) {
				age := h.AsOf.Today - h.Day[i]
				if c := code(h.Product, i); c != 0 && products.add(c) {
					for k := len(ws) - 1; k >= 0 && ws[k].holds(age); k-- {
						out[2*k]++
					}
				}
				if c := code(h.Category, i); c != 0 {
					if categories.add(c) {
						for k := len(ws) - 1; k >= 0 && ws[k].holds(age); k-- {
							out[2*k+1]++
						}
					}
					for int(c) >= len(spent) {
						spent = append(spent, 0)
					}
					spent[c] += valueAt(h.Amount, i)
				}
			}
			rest := out[2*len(ws):]
			viewed.reset()
			for _, i := range h.Positions(datasets.View) {
				if c := code(h.Product, i); c != 0 {
					viewed.add(c)
				}
			}
			channels.reset()
			for _, c := range h.Channel {
				if c != 0 {
					channels.add(c)
				}
			}
			rest[0] = float64(len(viewed.values))
			rest[1] = float64(len(channels.values))
			rest[2] = 1 - share(len(products.values), products.total)
			rest[3] = share(int(products.most()), products.total)
			rest[4], rest[5], rest[6] = math.NaN(), math.NaN(), math.NaN()
			if categories.total > 0 {
				rest[4] = float64(categories.most()) / float64(categories.total)
				rest[5] = categories.entropy()
				var total datasets.Money
				var squares float64
				for _, c := range categories.values { // in ascending order, which entropy left them in
					total += spent[c]
					squares += spent[c].Float() * spent[c].Float()
				}
				if total > 0 {
					rest[6] = squares / (total.Float() * total.Float())
				}
			}
		}
	}
	return f
}

// A tally counts dictionary codes. It is reset in time proportional to what it
// held, however large the dictionary.
type tally struct {
	count  []int32  // by code
	values []uint32 // codes with a count
	total  int
}

func (t *tally) reset() {
	for _, v := range t.values {
		t.count[v] = 0
	}
	t.values = t.values[:0]
	t.total = 0
}

// add counts a code and reports whether it is the first of its kind.
func (t *tally) add(code uint32) bool {
	for int(code) >= len(t.count) {
		t.count = append(t.count, 0)
	}
	t.total++
	t.count[code]++
	if t.count[code] == 1 {
		t.values = append(t.values, code)
		return true
	}
	return false
}

func (t *tally) most() int32 {
	var m int32
	for _, v := range t.values {
		m = max(m, t.count[v])
	}
	return m
}

// entropy is −Σ p·log₂ p. Codes are summed in ascending order, so that the
// result does not depend on the order of events.
func (t *tally) entropy() float64 {
	slices.Sort(t.values)
	var h float64
	for _, v := range t.values {
		p := float64(t.count[v]) / float64(t.total)
		h -= p * math.Log2(p)
	}
	return max(h, 0)
}
