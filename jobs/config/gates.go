package config

import (
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/jobs/config/units"
)

// Gates say what a run must be like to be published.
type Gates struct {
	Action string `yaml:"action" enum:"fail|warn|off" doc:"What a failed gate does. fail: the run ends with exit code 65 and publishes nothing. warn: it warns and publishes. off: nothing is judged; data_quality and drift are published all the same."`

	Rows      Gate       `yaml:"rows" doc:"Fewer events than this."`
	Customers Gate       `yaml:"customers" doc:"Fewer customers than this."`
	NullShare []NullGate `yaml:"null_share" doc:"Columns and the share of events without a value that is too much, over the whole history. null_rise needs no such list."`

	RowsFall      Gate `yaml:"rows_fall" doc:"Share by which events have become fewer since the run before: history has been lost. Compared while sources are the same."`
	CustomersFall Gate `yaml:"customers_fall" doc:"The same of customers."`
	Rejected      Gate `yaml:"rejected" doc:"Share of the rows that have come since the run before which cannot be used. limits.rejected_share bounds that of all rows."`
	Duplicates    Gate `yaml:"duplicates" doc:"Share of the rows that have come since the run before which are duplicates: a day was delivered twice."`

	Freshness Gate `yaml:"freshness" doc:"Days between the newest event and the date, when that is also more than one and a half times the longest pause of the year before."`
	NullRise  Gate `yaml:"null_rise" doc:"By how much the share of events without a value has risen: of a column, among events of a role, in the last day or the last seven against the eight weeks before, or in the whole history against the run before."`

	VolumeFall Gate `yaml:"volume_fall" doc:"Share by which events are fewer than expected: those of the date, and of the seven days that it ends, against the median of the same weekday, or the same seven days, in the eight weeks before. It must be less than any of the eight, beyond chance, and not so in the same week last year where history reaches back."`
	VolumeRise Gate `yaml:"volume_rise" doc:"How many times the expected events there are, judged alike."`
	EventMix   Gate `yaml:"event_mix" doc:"Population stability index of the last seven days' event types, and of their roles, against the eight weeks before, messages sent left out, when it is also more than twice what any of the eight weeks had against the others, and more than one and a half times what the same week last year had."`
	EventGone  Gate `yaml:"event_gone" doc:"Share by which the part of an event type, or a role, in the last seven days' events has fallen, judged like volume_fall."`

	FeatureDrift Gate `yaml:"feature_drift" doc:"Population stability index of a feature against the training snapshots, when it is also beyond chance, more than six times that of the test snapshot against them, and not small against the run of the same week last year: there it only warns; and against the run before, where features of messages sent, and in a week with many more of them those of activity, only warn."`
	ScoreDrift   Gate `yaml:"score_drift" doc:"The same of a score, when scores have also moved by more than a quarter: against those of the test snapshot, where it only warns, and, while the same method makes them, of the run before. Models are fitted anew every night, so by default it only warns."`

	BaseRate Gate   `yaml:"base_rate" doc:"Times by which the odds of a target's outcome at the test snapshot differ from those at the training snapshots, or from those of the run before, beyond chance."`
	OneClass string `yaml:"one_class" enum:"fail|warn|off" doc:"What it does when every label of a snapshot is the same, though those of others are not, or those of the run before were not."`
	AUCFall  Gate   `yaml:"auc_fall" doc:"By how much the AUC of the best model on the test snapshot is below that of the run before, or below that on customers drawn at random from the training snapshots, beyond chance."`

	BacktestAUC  Gate `yaml:"backtest_auc" doc:"By how much the AUC of an earlier run's scores, now that their outcomes are known, is below what that run measured out of time, beyond chance."`
	BacktestRate Gate `yaml:"backtest_rate" doc:"Times by which the odds of the outcome differ from what an earlier run's scores said on average, beyond chance."`
}

// A Gate is two bounds of one measure; a value at a bound is over it.
type Gate struct {
	Warn units.Bound `yaml:"warn" min:"0" max:"1000000000000" doc:"Bound from which the run warns, or off."`
	Fail units.Bound `yaml:"fail" min:"0" max:"1000000000000" doc:"Bound from which the run fails, or off."`
}

// A NullGate bounds the share of events without a value in a column.
type NullGate struct {
	Column string      `yaml:"column" required:"true" doc:"Event field: amount, quantity, rating, event_type, product_id, category, channel, campaign_id or session_id."`
	Role   string      `yaml:"role" doc:"Role whose events count, or any."`
	Warn   units.Bound `yaml:"warn" min:"0" max:"1" doc:"Share (0 to 1) from which the run warns, or off."`
	Fail   units.Bound `yaml:"fail" min:"0" max:"1" doc:"Share (0 to 1) from which the run fails, or off."`
}

// SetDefaults is an expectation of which nothing is said.
func (n *NullGate) SetDefaults(int) {
	*n = NullGate{Role: RoleAny, Warn: units.Bound{Off: true}, Fail: units.Bound{Off: true}}
}

// What a failed gate does.
const (
	GatesFail = "fail"
	GatesWarn = "warn"
	GatesOff  = "off"
)

// DefaultGates are quiet on histories that go on as they were.
func DefaultGates() Gates {
	at := func(warn, fail float64) Gate { return Gate{units.Bound{Value: warn}, units.Bound{Value: fail}} }
	warn := func(v float64) Gate { return Gate{units.Bound{Value: v}, units.Bound{Off: true}} }
	off := Gate{units.Bound{Off: true}, units.Bound{Off: true}}
	return Gates{
		Action: GatesFail,
		Rows:   off, Customers: off, NullShare: []NullGate{},
		RowsFall: at(.05, .3), CustomersFall: at(.05, .3), Rejected: at(.2, .5), Duplicates: warn(.2),
		Freshness: at(1, 3), NullRise: at(.1, .2),
		VolumeFall: at(.4, .5), VolumeRise: warn(3), EventMix: at(.1, .25), EventGone: at(.5, .8),
		FeatureDrift: at(.25, 1), ScoreDrift: warn(1),
		BaseRate: at(2, 4), OneClass: GatesFail, AUCFall: at(.05, .15),
		BacktestAUC: at(.05, .15), BacktestRate: at(1.5, 3),
	}
}

// nullColumns are the fields that a NullGate may name.
var nullColumns = []string{"amount", "quantity", "rating", "event_type", "product_id", "category", "channel", "campaign_id", "session_id"}

func (c *Config) gates(k *checker) {
	for _, g := range []struct {
		name string
		Gate
		least bool
	}{
		{"rows", c.Gates.Rows, true}, {"customers", c.Gates.Customers, true},
		{"rows_fall", c.Gates.RowsFall, false}, {"customers_fall", c.Gates.CustomersFall, false},
		{"rejected", c.Gates.Rejected, false}, {"duplicates", c.Gates.Duplicates, false},
		{"freshness", c.Gates.Freshness, false}, {"null_rise", c.Gates.NullRise, false},
		{"volume_fall", c.Gates.VolumeFall, false}, {"volume_rise", c.Gates.VolumeRise, false},
		{"event_mix", c.Gates.EventMix, false}, {"event_gone", c.Gates.EventGone, false},
		{"feature_drift", c.Gates.FeatureDrift, false}, {"score_drift", c.Gates.ScoreDrift, false},
		{"base_rate", c.Gates.BaseRate, false}, {"auc_fall", c.Gates.AUCFall, false},
		{"backtest_auc", c.Gates.BacktestAUC, false}, {"backtest_rate", c.Gates.BacktestRate, false},
	} {
		k.order("gates."+g.name+".fail", g.Gate, g.least)
	}
	for i, n := range c.Gates.NullShare {
		at := fmt.Sprintf("gates.null_share[%d]", i)
		if n.Column != "" && !slices.Contains(nullColumns, n.Column) {
			k.add(at+".column", fmt.Sprintf("%q", n.Column), "must be one of %v%s", nullColumns, suggestion(n.Column, nullColumns))
		}
		if n.Column == "" {
			k.add(at+".column", "", "missing; name an event field")
		}
		if known := append(roleNames(), RoleAny); !slices.Contains(known, n.Role) {
			k.add(at+".role", fmt.Sprintf("%q", n.Role), "must be a role or any%s", suggestion(n.Role, known))
		}
		k.order(at+".fail", Gate{n.Warn, n.Fail}, false)
	}
}

// order refuses a gate that fails before it warns.
func (k *checker) order(at string, g Gate, least bool) {
	if g.Warn.Off || g.Fail.Off {
		return
	}
	switch {
	case least && g.Fail.Value > g.Warn.Value:
		k.add(at, g.Fail.String(), "must be <= warn (%s)", g.Warn)
	case !least && g.Fail.Value < g.Warn.Value:
		k.add(at, g.Fail.String(), "must be >= warn (%s)", g.Warn)
	}
}
