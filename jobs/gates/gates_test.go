package gates

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/config/units"
)

func at(warn, fail float64) config.Gate {
	return config.Gate{Warn: units.Bound{Value: warn}, Fail: units.Bound{Value: fail}}
}

var off = units.Bound{Off: true}

func TestJudge(t *testing.T) {
	always := func(float64) bool { return true }
	for _, c := range []struct {
		action string
		gate   config.Gate
		value  float64
		beyond func(float64) bool
		want   Status
	}{
		{"fail", at(1, 2), .9, nil, OK},
		{"fail", at(1, 2), 1, always, Warn},
		{"fail", at(1, 2), 2, nil, Fail},
		{"warn", at(1, 2), 2, nil, Fail}, // what it does is another matter
		{"off", at(1, 2), 2, nil, OK},
		{"fail", at(1, 2), math.NaN(), always, OK},
		{"fail", config.Gate{Warn: off, Fail: off}, 9, always, OK},
		{"fail", config.Gate{Warn: off, Fail: units.Bound{Value: 3}}, 2.9, always, OK},
		{"fail", config.Gate{Warn: units.Bound{Value: 1}, Fail: off}, 9, always, Warn},
		// Remarkable at the lower bound alone.
		{"fail", at(1, 2), 5, func(bound float64) bool { return bound == 1 }, Warn},
		{"fail", at(1, 2), 5, func(float64) bool { return false }, OK},
	} {
		r := &Report{Action: c.action}
		got := r.Judge("freshness", c.gate, "x", c.value, c.beyond, "it is so", "do that")
		if got.Status != c.want {
			t.Errorf("%s %v of %v: %s, want %s", c.action, c.gate, c.value, got.Status, c.want)
		}
		if failed := r.Err() != nil; failed != (c.want == Fail && c.action == "fail") {
			t.Errorf("%s %v of %v: error %v", c.action, c.gate, c.value, r.Err())
		}
	}
	r := &Report{Action: "fail"}
	if r.Least("rows", at(10, 5), "events", 10, "", "").Status != OK || r.Least("rows", at(10, 5), "events", 9, "", "").Status != Warn || r.Least("rows", at(10, 5), "events", 4, "", "").Status != Fail {
		t.Errorf("%+v", r.Results)
	}
}

// The error names every gate that failed, its worst finding and how to go on; the
// verdicts keep the rest, the worst first, and are JSON.
func TestErrNamesGates(t *testing.T) {
	r := &Report{Action: "fail"}
	r.Judge("volume_fall", at(.3, .5), "a", .4, nil, "somewhat fewer", "look")
	for range 14 {
		r.Judge("volume_fall", at(.3, .5), "b", .9, nil, "far fewer", "look there")
	}
	r.Judge("freshness", at(1, 3), "", 5, nil, "5 days old", "wait")
	r.Judge("rows", at(1, 1), "", 0, nil, "", "")
	r.Found("one_class", "warn", "churn", "all alike", "look at labels")
	err := r.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"2 gates failed", "gate volume_fall: far fewer (bound 0.5); look there (and 13 more of this gate)", "gate freshness: 5 days old (bound 3); wait", "gates.action: warn"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	for _, not := range []string{"somewhat", "gate rows", "all alike"} {
		if strings.Contains(err.Error(), not) {
			t.Errorf("%q is in %v", not, err)
		}
	}
	v := r.Verdicts()
	if len(v) != 4 || v[0].Gate != "volume_fall" || v[0].Judged != 15 || len(v[0].Findings) != findings || v[0].Omitted != 5 || v[0].Findings[0].Status != Fail || v[2].Status != OK || v[3].Status != Warn {
		t.Errorf("%+v", v)
	}
	if _, err := json.Marshal(v); err != nil {
		t.Error(err)
	}
}

func TestLabels(t *testing.T) {
	nan := math.NaN()
	base := func(edit func(*Target)) Target {
		x := Target{Name: "churn", Training: Labels{300, 700}, Test: Labels{90, 210}, TestDate: "2024-01-01", AUC: .8, High: .85, Random: .85, BeforeAUC: nan}
		if edit != nil {
			edit(&x)
		}
		return x
	}
	for _, c := range []struct {
		name string
		Target
		fail, warn string
	}{
		{"as it was", base(nil), "", ""},
		{"jump", base(func(x *Target) { x.Test = Labels{200, 100} }), "base_rate", ""}, // odds 0.43 to 2: 4.7 times
		{"half a jump", base(func(x *Target) { x.Test = Labels{150, 150} }), "", "base_rate"},
		{"fall", base(func(x *Target) { x.Test = Labels{20, 280} }), "base_rate", ""},
		{"jump of few", base(func(x *Target) { x.Test = Labels{28, 25}; x.Training = Labels{20, 60} }), "", ""}, // 3.4 times, but z is 3.3
		{"too few to say", base(func(x *Target) { x.Test = Labels{30, 0} }), "", ""},
		{"all", base(func(x *Target) { x.Test = Labels{300, 0} }), "base_rate one_class", ""},
		{"none", base(func(x *Target) { x.Test = Labels{0, 300} }), "base_rate one_class", ""},
		{"none of a rare one", base(func(x *Target) { x.Training, x.Test = Labels{10, 990}, Labels{0, 300} }), "", ""},
		{"none anywhere", base(func(x *Target) { x.Training, x.Test = Labels{0, 1000}, Labels{0, 300} }), "", ""},
		{"none but in the run before", base(func(x *Target) {
			x.Training, x.Test, x.Before = Labels{0, 1000}, Labels{0, 300}, &Labels{60, 240}
		}), "base_rate one_class", ""},
		{"AUC as before", base(func(x *Target) { x.BeforeAUC = .82 }), "", ""},
		{"AUC gone", base(func(x *Target) { x.BeforeAUC, x.AUC, x.High = .82, .52, .57 }), "auc_fall", ""},
		{"AUC less", base(func(x *Target) { x.BeforeAUC, x.AUC, x.High = .82, .7, .74 }), "", "auc_fall"},
		{"AUC less by chance", base(func(x *Target) { x.BeforeAUC, x.AUC, x.High = .82, .7, .78 }), "", ""},
		{"random is far better, yet it is something", base(func(x *Target) { x.Random, x.AUC, x.High = .95, .65, .68 }), "", ""},
		{"random is far better than nothing", base(func(x *Target) { x.Random, x.AUC, x.High = .8, .5, .55 }), "auc_fall", ""},
		{"not measured", base(func(x *Target) { x.Random, x.AUC, x.High, x.BeforeAUC = .8, nan, nan, .8 }), "", ""},
	} {
		r := &Report{Action: "fail"}
		r.Labels(config.DefaultGates(), c.Target)
		got := map[Status]string{}
		for _, v := range r.Verdicts() {
			got[v.Status] = strings.TrimSpace(got[v.Status] + " " + v.Gate)
		}
		if got[Fail] != c.fail || got[Warn] != c.warn {
			t.Errorf("%s: %v fail and %v warn, want %q and %q: %+v", c.name, got[Fail], got[Warn], c.fail, c.warn, r.Results)
		}
	}
}
