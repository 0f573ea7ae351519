package nightly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/modelfiles"
	"github.com/shoal-data/shoal/jobs/publish"
)

// With models.retrain weekly a night scores with the model of the night before, as
// it was published, until that is seven days old; and learns one when the
// configuration is another or the model cannot be read.
func TestModelsAreLearntWeekly(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers, p.AnonymousShare = 800, 0
	dir, c := generated(t, p)
	g := config.DefaultTarget("buys", config.KindPropensity)
	g.Horizon = config.AutoDays{Days: 30}
	c.Targets, c.Segmentations = []config.Target{g}, nil
	c.Models.Baselines, c.Models.MinPositives, c.Models.Retrain = false, 10, config.RetrainWeekly
	model := func(date string) (*publish.Manifest, *modelfiles.Target) {
		t.Helper()
		m, _, err := Published(t.Context(), storage.Local(), c.Out, date)
		if err != nil {
			t.Fatal(err)
		}
		data, err := publish.ReadModel(t.Context(), storage.Local(), c.Out, m, "buys.json")
		if err != nil {
			t.Fatal(err)
		}
		f, err := modelfiles.LoadTarget(data)
		if err != nil {
			t.Fatal(err)
		}
		return m, f
	}
	run := func(date, learnt string) *Summary {
		t.Helper()
		s, err := night(t, c, date, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Targets[0]
		if got.Skipped != "" || got.Learnt != learnt || got.Scored < 500 || got.AUC.Model == nil {
			t.Fatalf("%s: %+v; want it learnt in %q", date, got, learnt)
		}
		if _, f := model(date); learnt == "" && f.Learnt != date || learnt != "" && f.Learnt != learnt {
			t.Errorf("%s: the file says %s", date, f.Learnt)
		}
		return s
	}
	first := run("2025-03-31", "")
	second := run("2025-04-01", "2025-03-31")
	if a, b := first.Targets[0], second.Targets[0]; a.Champion != b.Champion || *a.AUC.Model != *b.AUC.Model || a.TestDate != b.TestDate {
		t.Errorf("the second night's figures are not those of the model that scores: %+v, %+v", a, b)
	}
	// What is published is what the first night's model says of the second's features.
	_, f := model("2025-03-31")
	m, _ := model("2025-04-01")
	scores, err := f.Model.Scores(nil, numbers(t, c.Out, m, "features", f.Model.Columns))
	if err != nil {
		t.Fatal(err)
	}
	probability, err := f.Model.Calibrated(nil, scores)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, v := range numbers(t, c.Out, m, "customer_scores", []string{"buys_probability"}).Data {
		if v == v {
			compared++
			if v != probability[i] {
				t.Fatalf("customer %d was published with %v, the model of the night before gives %v", i, v, probability[i])
			}
		}
	}
	if compared != second.Targets[0].Scored || second.Tables["label_audit"] != 1 || second.Tables["model_curves"] == 0 {
		t.Errorf("%d probabilities compared of %d; tables %v", compared, second.Targets[0].Scored, second.Tables)
	}
	run("2025-04-06", "2025-03-31")
	lent := func(date, learnt string) {
		t.Helper()
		p, err := Look(t.Context(), Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now})
		if err != nil || p.Lent["buys"].Learnt != learnt {
			t.Errorf("a plan for %s has a model of %q score (%v), want %q", date, p.Lent["buys"].Learnt, err, learnt)
		}
	}
	lent("2025-04-05", "2025-03-31")
	lent("2025-04-07", "")
	run("2025-04-07", "")
	m, _ = model("2025-04-07")
	for _, file := range m.Models {
		if err := os.WriteFile(c.Out+"/"+file.Path, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if s := run("2025-04-08", ""); !warned(s, "target.stored_unusable", "2025-04-07") {
		t.Errorf("nobody is told of the damaged model: %v", s.Warnings)
	}
	c.Models.L2 = 2
	run("2025-04-09", "")

	// Under on_drift it scores until its scores have moved, which the run finds that has
	// computed them: the next one learns. A model of ninety days has served its time.
	c.Models.Retrain, c.Gates.Action, c.Out = config.RetrainOnDrift, config.GatesWarn, c.Out+"-drift"
	if got := run("2025-03-15", "").Targets[0]; got.ScoreDrift != nil || got.Drifted {
		t.Errorf("a run's scores have moved away from themselves: %+v", got)
	}
	if got := run("2025-03-16", "2025-03-15").Targets[0]; got.ScoreDrift == nil || *got.ScoreDrift > .05 || got.Drifted {
		t.Errorf("a day later: %+v", got)
	}
	lent("2025-06-12", "2025-03-15")
	lent("2025-06-13", "")
	// Ten weeks in which hardly anybody was seen.
	lost, err := filepath.Glob(filepath.Join(dir, "events", "ds=2025-0[345]-*"))
	if err != nil {
		t.Fatal(err)
	}
	silent := 0
	for _, day := range lost {
		if date := strings.TrimPrefix(filepath.Base(day), "ds="); date > "2025-03-16" && date < "2025-05-25" {
			if err := os.RemoveAll(day); err != nil {
				t.Fatal(err)
			}
			silent++
		}
	}
	if silent != 69 {
		t.Fatalf("%d silent days", silent)
	}
	if got := run("2025-05-25", "2025-03-15").Targets[0]; got.ScoreDrift == nil || !got.Drifted {
		t.Errorf("after ten weeks without an event scores are what they were: %v", *got.ScoreDrift)
	}
	lent("2025-05-26", "")
}
