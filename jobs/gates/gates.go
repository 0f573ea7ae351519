// Package gates judges what a run has measured of its input, its features, its
// labels and its models by the bounds that the configuration sets, and says whether
// the run may be published.
package gates

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/jobs/config"
)

// Status is a judgement.
type Status string

// The judgements, from good to bad.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// A Result is what a gate says of one thing.
type Result struct {
	Gate    string   `json:"gate"`              // its key under gates in the configuration
	Subject string   `json:"subject,omitempty"` // what was measured: a column, an event type, a target
	Status  Status   `json:"status"`
	Value   float64  `json:"value"`
	Warn    *float64 `json:"warn,omitempty"` // the bounds; nil for off
	Fail    *float64 `json:"fail,omitempty"`
	Message string   `json:"message,omitempty"` // of one that is not ok: what was found, and what to do
}

// Bound is the bound that was reached, or the one that was nearest to be.
func (r Result) Bound() float64 {
	switch {
	case r.Status == Fail && r.Fail != nil:
		return *r.Fail
	case r.Warn != nil:
		return *r.Warn
	case r.Fail != nil:
		return *r.Fail
	}
	return math.NaN()
}

// A Report is the judgements of a run.
type Report struct {
	Action  string // config.Gates.Action
	Results []Result
}

// Judge judges a value by a gate and keeps the result. beyond, which may be nil, says
// whether the value is also remarkable in other ways than by reaching the bound: what
// always moves so is none of the gate's business. say is what is found, and advice
// what to do about it.
func (r *Report) Judge(name string, g config.Gate, subject string, value float64, beyond func(bound float64) bool, say, advice string) Result {
	return r.judge(name, g, subject, value, func(bound float64) bool { return value >= bound && (beyond == nil || beyond(bound)) }, say, advice)
}

// Least judges a value that must not be below a bound.
func (r *Report) Least(name string, g config.Gate, subject string, value float64, say, advice string) Result {
	return r.judge(name, g, subject, value, func(bound float64) bool { return value < bound }, say, advice)
}

func (r *Report) judge(name string, g config.Gate, subject string, value float64, over func(bound float64) bool, say, advice string) Result {
	result := Result{Gate: name, Subject: subject, Status: OK, Value: value}
	if !g.Warn.Off {
		result.Warn = &g.Warn.Value
	}
	if !g.Fail.Off {
		result.Fail = &g.Fail.Value
	}
	switch {
	case r.Action == config.GatesOff || math.IsNaN(value):
	case !g.Fail.Off && over(g.Fail.Value):
		result.Status = Fail
	case !g.Warn.Off && over(g.Warn.Value):
		result.Status = Warn
	}
	if result.Status != OK {
		result.Message = fmt.Sprintf("gate %s: %s (bound %s); %s", name, say, number(result.Bound()), advice)
	}
	r.Results = append(r.Results, result)
	return result
}

// Found keeps a finding that has no bound.
func (r *Report) Found(name, action, subject string, say, advice string) Result {
	result := Result{Gate: name, Subject: subject, Status: OK, Value: 1}
	if r.Action != config.GatesOff && action != config.GatesOff {
		result.Status = Status(action)
		result.Message = fmt.Sprintf("gate %s: %s; %s", name, say, advice)
	}
	r.Results = append(r.Results, result)
	return result
}

// Worst is the worse of two judgements.
func Worst(a, b Status) Status {
	for _, s := range []Status{Fail, Warn} {
		if a == s || b == s {
			return s
		}
	}
	return OK
}

// Of are the results of a status, gate by gate in the order they came.
func (r *Report) Of(s Status) []Result {
	var list []Result
	for _, x := range r.Results {
		if x.Status == s {
			list = append(list, x)
		}
	}
	return list
}

// A Verdict is what the summary of a run says of a gate.
type Verdict struct {
	Gate   string `json:"gate"`
	Status Status `json:"status"` // the worst
	Judged int    `json:"judged"` // things that the gate looked at
	// Findings are those that are not ok, the worst first, at most findings of them.
	Findings []Result `json:"findings,omitempty"`
	Omitted  int      `json:"findings_omitted,omitempty"`
}

// findings is how many findings of a gate the summary lists: hundreds of features may
// drift at once.
const findings = 10

// Verdicts sum the results up by gate, in the order in which gates first judged.
func (r *Report) Verdicts() []Verdict {
	var all []Verdict
	at := map[string]int{}
	for _, x := range r.Results {
		i, ok := at[x.Gate]
		if !ok {
			i = len(all)
			at[x.Gate] = i
			all = append(all, Verdict{Gate: x.Gate, Status: OK})
		}
		all[i].Judged++
		all[i].Status = Worst(all[i].Status, x.Status)
	}
	for _, s := range []Status{Fail, Warn} {
		for _, x := range r.Of(s) {
			v := &all[at[x.Gate]]
			if len(v.Findings) < findings {
				v.Findings = append(v.Findings, x)
			} else {
				v.Omitted++
			}
		}
	}
	return all
}

// Err is the reason why the run must not be published; nil when it may be.
func (r *Report) Err() error {
	if r.Action != config.GatesFail {
		return nil
	}
	var b strings.Builder
	gates, total := 0, 0
	for _, v := range r.Verdicts() {
		if v.Status != Fail {
			continue
		}
		gates++
		failed := 0
		for _, x := range r.Results {
			if x.Gate == v.Gate && x.Status == Fail {
				failed++
			}
		}
		total += failed
		fmt.Fprintf(&b, "; %s", v.Findings[0].Message)
		if failed > 1 {
			fmt.Fprintf(&b, " (and %d more of this gate)", failed-1)
		}
	}
	if total == 0 {
		return nil
	}
	n := "a gate"
	if gates > 1 {
		n = fmt.Sprintf("%d gates", gates)
	}
	return errors.New(n + " failed, so nothing is published" + b.String() + "; to publish all the same, set gates.action: warn, or raise the bounds under gates")
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }
