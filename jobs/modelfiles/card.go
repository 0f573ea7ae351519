package modelfiles

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/value"
	"github.com/shoal-data/shoal/models"
)

// A Run is what every card says of the run.
type Run struct {
	ID        string `json:"run_id"`
	Date      string `json:"date"`
	Version   string `json:"version"` // of the program
	Customers int64  `json:"customers"`
	Events    int64  `json:"events"`
	First     string `json:"first_event"`
	Last      string `json:"last_event"`
}

// A Card says what a model is, what it was learnt from, how good it is and what to
// beware of: <name>.card.json, and the same in words, <name>.card.md.
type Card struct {
	Name    string   `json:"name"`
	Model   string   `json:"model"`
	About   string   `json:"about"` // what is predicted, in words
	Run     Run      `json:"run"`
	Windows []Window `json:"windows"`
	// Features are the columns that the model reads, the first to matter first where
	// that is known.
	Features []string `json:"features"`
	Metrics  []Metric `json:"metrics"`
	Caveats  []string `json:"caveats"`
	Files    []string `json:"files"` // and what they are
}

// A Window is a span of time that the model was learnt from or tested on.
type Window struct {
	Split     string `json:"split"`    // train, test or score
	Snapshot  string `json:"snapshot"` // customers are described at the end of this day
	Days      int    `json:"days"`     // of outcome, after the gap
	Gap       int    `json:"gap_days"`
	Customers int    `json:"customers"`
	Positives int    `json:"positives"` // -1 where that has no meaning
}

// A Metric is a number about the model, or one that it is compared with.
type Metric struct {
	Model    string   `json:"model"`
	Name     string   `json:"metric"`
	Snapshot string   `json:"snapshot"`
	Value    *float64 `json:"value"` // null where not defined
	Low      *float64 `json:"low,omitempty"`
	High     *float64 `json:"high,omitempty"`
}

// add adds the card's two files.
func (c Card) add(name string, add func(name string, data []byte)) error {
	data, err := marshal(c)
	if err != nil {
		return fmt.Errorf("card of %s: %w", name, err)
	}
	add(name+".card.json", data)
	add(name+".card.md", []byte(c.Markdown()))
	return nil
}

func numbers(all []outputs.Metric, keep func(m outputs.Metric) bool) []Metric {
	out := []Metric{}
	finite := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	for _, m := range all {
		if !keep(m) {
			continue
		}
		n := Metric{Model: m.Model, Name: m.Name, Snapshot: m.Snapshot, Value: finite(m.Value)}
		if m.HasInterval {
			n.Low, n.High = finite(m.Low), finite(m.High)
		}
		out = append(out, n)
	}
	return out
}

func caveats(warnings []models.Warning, more ...string) []string {
	out := []string{}
	for _, w := range warnings {
		out = append(out, w.Message)
	}
	return append(out, more...)
}

func targetCard(run Run, a *predict.Answer) Card {
	f := a.Fitted
	c := Card{
		Name: a.Name, Model: f.Name, Run: run, Features: f.Columns,
		About: "The probability of " + a.Outcome() + ".",
		Metrics: numbers(a.Metrics, func(m outputs.Metric) bool {
			return m.Split == "test" && (m.Champion || m.Model == predict.Recency || m.Name == "log_loss_gain_on_recency")
		}),
		Caveats: caveats(a.Warnings,
			"Its figures are those of the same method, learnt from the dates before the test alone, on the date of the test; what scores has learnt from that date, too. Behaviour that moves after it is not in these figures.",
			"It says what is likely, not what a message or a discount would change."),
		Files: []string{
			a.Name + ".json: the model with its preparation and calibration, restored exactly by this program",
			a.Name + ".onnx: from raw features to the calibrated probability, in double precision",
		},
	}
	if l := a.Summary.Learnt; l != "" {
		c.Caveats = append(c.Caveats, "It was learnt in the run of "+l+", whose card has its figures.")
	}
	if f.Trees != nil {
		c.Features = byImportance(f.Trees.Names, f.Trees.Importance())
		c.Files = append(c.Files, a.Name+".lightgbm.txt: the trees before calibration, for LightGBM")
	}
	for _, l := range a.Audit {
		w := Window{Split: l.Split, Snapshot: l.Snapshot, Days: a.Horizon, Gap: a.Gap, Customers: l.Eligible, Positives: l.Positives}
		if l.Split == "score" {
			w.Positives = -1
		}
		c.Windows = append(c.Windows, w)
	}
	if s := season(c.Windows, run.Date); s != "" {
		c.Caveats = append(c.Caveats, s)
	}
	return c
}

// season is what to beware of when no date a year before, give or take a month, tells
// of the season ahead; "" when one does, or there is nothing to go by.
func season(windows []Window, date string) string {
	scored, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return ""
	}
	low, high := 1.0, 0.0
	for _, w := range windows {
		at, err := time.Parse(time.DateOnly, w.Snapshot)
		if err != nil || w.Split == "score" || w.Customers == 0 || w.Positives < 0 {
			continue
		}
		const month, year = 30, 364
		if days := scored.Sub(at).Hours() / 24; math.Abs(days-year) <= month {
			return ""
		}
		rate := float64(w.Positives) / float64(w.Customers)
		low, high = min(low, rate), max(high, rate)
	}
	if low > high {
		return ""
	}
	return fmt.Sprintf("None of its dates lies a year before %s, so outcomes of the season ahead have not been seen. On the dates it learnt from and was tested on, %.1f%% to %.1f%% of the customers had the outcome: the level of its probabilities may be off by as much, their order less so.",
		date, 100*low, 100*high)
}

func byImportance(names []string, gain []float64) []string {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case gain[a] > gain[b]:
			return -1
		case gain[a] < gain[b]:
			return 1
		}
		return 0
	})
	out := make([]string, len(names))
	for k, i := range order {
		out[k] = names[i]
	}
	return out
}

func valueCard(run Run, f *value.Forecast) Card {
	s := f.Summary
	c := Card{
		Name: "value", Model: s.Model, Run: run,
		About:    fmt.Sprintf("Days with a purchase, and spend less refunds, that a customer who has bought brings in the next %d days; whether the customer is still one; when the next purchase comes.", s.HorizonDays),
		Features: []string{"purchase days, days since the first and the last purchase, mean spend of repeat days less the share refunded"},
		Metrics:  numbers(f.Metrics, func(m outputs.Metric) bool { return !strings.HasPrefix(m.Name, "decile") }),
		Caveats: caveats(f.Warnings,
			"The forecast is a mean: of most customers it is above what the median one does, which is nothing.",
			"It knows no season: a window with a holiday brings more, and one without less."),
		Files: []string{"value.json: all of it, restored exactly by this program"},
	}
	if s.ValueModel != "" {
		c.Model += "; value: " + s.ValueModel
	}
	score := Window{Split: "score", Snapshot: run.Date, Days: s.HorizonDays, Customers: s.Customers, Positives: -1}
	for _, m := range f.Metrics {
		if m.Split == "test" {
			c.Windows = append(c.Windows, Window{Split: "test", Snapshot: m.Snapshot, Days: s.HoldoutDays, Customers: m.Rows, Positives: -1})
			break
		}
	}
	c.Windows = append(c.Windows, score)
	if t := f.Models.PurchaseTrees; t != nil {
		c.Features = append(c.Features, byImportance(t.Names, t.Importance())...)
		c.Files = append(c.Files, "value-purchases.onnx, value-purchases.lightgbm.txt: what expected purchases are multiplied by")
	}
	if t := f.Models.SpendTrees; t != nil {
		if f.Models.PurchaseTrees == nil {
			c.Features = append(c.Features, byImportance(t.Names, t.Importance())...)
		}
		c.Files = append(c.Files, "value-spend.onnx, value-spend.lightgbm.txt: what expected spend is multiplied by")
	}
	return c
}

// shown is how many features the card in words names.
const shown = 20

// Markdown is the card in words.
func (c Card) Markdown() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# %s\n\n%s\n\nModel: %s. Run %s of %s, Shoal %s: %d customers, %d events from %s to %s.\n", c.Name, c.About, c.Model, c.Run.ID, c.Run.Date, c.Run.Version, c.Run.Customers, c.Run.Events, c.Run.First, c.Run.Last)
	p("\n## Windows\n\n| | described at the end of | outcome, days | customers | positives |\n|---|---|---|---|---|\n")
	for _, w := range c.Windows {
		positives := "–"
		if w.Positives >= 0 {
			positives = strconv.Itoa(w.Positives)
		}
		days := strconv.Itoa(w.Days)
		if w.Gap > 0 {
			days += fmt.Sprintf(", after a gap of %d", w.Gap)
		}
		p("| %s | %s | %s | %d | %s |\n", w.Split, w.Snapshot, days, w.Customers, positives)
	}
	p("\n## Metrics\n\n| model | at | metric | value | 95%% interval |\n|---|---|---|---|---|\n")
	for _, m := range c.Metrics {
		number := func(v *float64) string {
			if v == nil {
				return "–"
			}
			return strconv.FormatFloat(*v, 'g', 5, 64)
		}
		interval := ""
		if m.Low != nil && m.High != nil {
			interval = number(m.Low) + " to " + number(m.High)
		}
		p("| %s | %s | %s | %s | %s |\n", m.Model, m.Snapshot, m.Name, number(m.Value), interval)
	}
	p("\n## Features\n\n")
	for _, f := range c.Features[:min(shown, len(c.Features))] {
		p("- %s\n", f)
	}
	if more := len(c.Features) - shown; more > 0 {
		p("- and %d more\n", more)
	}
	p("\n## Caveats\n\n")
	for _, s := range c.Caveats {
		p("- %s\n", s)
	}
	p("\n## Files\n\n")
	for _, s := range c.Files {
		p("- %s\n", s)
	}
	return b.String()
}
