package quality

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
)

// A Row is a row of data_quality.
type Row struct {
	Metric, Subject string
	Value           float64
	Previous        float64 // in the run before; NaN when it has none
	LastYear        float64 // a year before; NaN when history does not reach back
	Expected        float64 // from the eight weeks before; NaN when there is no such thing
	Status          gates.Status
	Gate            string // that judged it; "" when none did
	Bound           float64
}

// Past are the values of the run before, by metric and subject.
type Past map[[2]string]float64

// Delivery is what the reader met. The same events delivered otherwise differ in it.
type Delivery struct {
	Rows, Rejected, Duplicates int64
}

// A Judge holds a profile against what is expected.
type Judge struct {
	Gates   config.Gates
	Report  *gates.Report
	Profile *Profile
	Census  *timeline.Census
	// Before is nil when there is no run before whose sources are the same.
	Before Past
	// Delivered now and by the run before, which is nil when there is none.
	Delivered Delivery
	Earlier   *Delivery

	rows []*Row
}

func day(d int32) string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }

// add notes a measure that no gate judges.
func (j *Judge) add(m Row) *Row {
	m.Status = gates.OK
	if v, ok := j.Before[[2]string{m.Metric, m.Subject}]; ok {
		m.Previous = v
	} else {
		m.Previous = math.NaN()
	}
	m.Bound = math.NaN()
	j.rows = append(j.rows, &m)
	return &m
}

// judged notes what a gate said of a measure; of several, the worst.
func (m *Row) judged(r gates.Result) {
	if m.Gate == "" || gates.Worst(m.Status, r.Status) != m.Status {
		m.Gate, m.Bound, m.Status = r.Gate, r.Bound(), gates.Worst(m.Status, r.Status)
	}
}

func row(metric, subject string, value float64) Row {
	return Row{Metric: metric, Subject: subject, Value: value, LastYear: math.NaN(), Expected: math.NaN()}
}

// Run judges everything and returns the rows of data_quality.
func (j *Judge) Run() []*Row {
	j.amounts()
	j.delivery()
	j.freshness()
	j.volume()
	j.mix("event_type", &j.Profile.types, j.Profile.typeNames)
	j.mix("role", &j.Profile.roles, j.Profile.roleNames)
	j.nulls()
	j.days()
	return j.rows
}

// amounts judges how much history there is.
func (j *Judge) amounts() {
	for _, a := range []struct {
		metric      string
		value       int64
		least, fall config.Gate
	}{
		{"events", j.Census.Events, j.Gates.Rows, j.Gates.RowsFall},
		{"customers", j.Census.Customers, j.Gates.Customers, j.Gates.CustomersFall},
	} {
		gate := map[string]string{"events": "rows", "customers": "customers"}[a.metric]
		m := j.add(row(a.metric, "", float64(a.value)))
		m.judged(j.Report.Least(gate, a.least, a.metric, m.Value, fmt.Sprintf("there are %d %s", a.value, a.metric), "check that every source is there"))
		if m.Previous > 0 {
			fall := 1 - m.Value/m.Previous
			m.judged(j.Report.Judge(gate+"_fall", a.fall, a.metric, fall, nil,
				fmt.Sprintf("%d %s, %.0f in the run before: %s fewer", a.value, a.metric, m.Previous, percent(fall)),
				"history has been lost: check which files or partitions are gone"))
		}
	}
}

// newRows is how many rows must have come for their share of bad ones to be judged.
const newRows = 100

// delivery judges the rows that have come since the run before.
func (j *Judge) delivery() {
	if j.Earlier == nil {
		return
	}
	rows := j.Delivered.Rows - j.Earlier.Rows
	if rows < newRows {
		return
	}
	for _, d := range []struct {
		gate        string
		bounds      config.Gate
		now, before int64
		say, advice string
	}{
		{"rejected", j.Gates.Rejected, j.Delivered.Rejected, j.Earlier.Rejected, "cannot be used", "rejected_rows of the last published run, and rejected_by_reason of this summary, say why rows are refused"},
		{"duplicates", j.Gates.Duplicates, j.Delivered.Duplicates, j.Earlier.Duplicates, "are duplicates", "check whether a day was delivered twice"},
	} {
		share, usual := float64(d.now-d.before)/float64(rows), float64(d.before)/float64(max(1, j.Earlier.Rows))
		j.Report.Judge(d.gate, d.bounds, "", share, func(float64) bool { return share > timesUsual*usual }, fmt.Sprintf("of %d rows that have come since the run before, %d (%s) %s", rows, d.now-d.before, percent(share), d.say), d.advice)
	}
}

// timesUsual is how many times the share of all rows before must be refused, or repeated, of
// the new ones: a shop with guests has rows without customers every night, on some more.
const timesUsual = 2

// pauses is how many times its longest pause history may have ended before the date;
// with fewer events than freshEvents, pauses say nothing.
const (
	pauses      = 1.5
	freshEvents = 500
)

func (j *Judge) freshness() {
	newest, pause := j.Profile.newest()
	stale := float64(j.Profile.today - newest)
	m := j.add(row("days_since_newest_event", "", stale))
	m.Expected = float64(pause)
	m.judged(j.Report.Judge("freshness", j.Gates.Freshness, "", stale, func(float64) bool { return j.Census.Events >= freshEvents && stale > pauses*float64(pause) },
		fmt.Sprintf("the newest event is of %s, %.0f days before %s, and history has had no longer pause than %d days", day(newest), stale, day(j.Profile.today), pause),
		"check whether the latest data have arrived, or run the date for which they have"))
	j.add(row("longest_pause_days", "", float64(pause)))
}

func (j *Judge) volume() {
	for _, v := range []struct {
		metric, what string
		course
	}{
		{"events_on_date", "events on " + day(j.Profile.today), j.Profile.day()},
		{"events_in_week", "events in the seven days to " + day(j.Profile.today), j.Profile.week()},
	} {
		m := j.add(row(v.metric, "", v.now))
		if y := v.then[len(v.then)/2]; len(y.past) > 0 {
			m.LastYear = y.now
		}
		if e, ok := expected(v.past); ok {
			m.Expected = e
		}
		say := fmt.Sprintf("%.0f %s, where the eight weeks before lead to expect %.0f", v.now, v.what, m.Expected)
		m.judged(j.Report.Judge("volume_fall", j.Gates.VolumeFall, v.metric, v.fall(), v.fallen, say+fmt.Sprintf(": %s fewer", percent(v.fall())), "check whether all files of these days have arrived in full"))
		m.judged(j.Report.Judge("volume_rise", j.Gates.VolumeRise, v.metric, v.rise(), v.risen, say, "check whether a day was delivered twice"))
	}
}

// Fallen says whether the gate volume_fall with such a bound would find too few events on
// the day that was measured, or in the week that it ends.
func (p *Profile) Fallen(bound float64) bool {
	for _, c := range []course{p.day(), p.week()} {
		if c.fall() >= bound && c.fallen(bound) {
			return true
		}
	}
	return false
}

// mix judges what kinds of event there are.
func (j *Judge) mix(what string, k *kinds, names []string) {
	now, usual, last := j.Profile.mix(k)
	m := j.add(row("mix_shift", what, now))
	m.Expected, m.LastYear = usual, last
	m.judged(j.Report.Judge("event_mix", j.Gates.EventMix, what, now, func(float64) bool { return now > 2*usual && !(now <= last*1.5) },
		fmt.Sprintf("the mix of %ss of the seven days to %s differs from that of the eight weeks before, PSI %.3f; between those weeks it was %.3f at most", what, day(j.Profile.today), now, usual),
		"data_quality of the last published run has the shares; check for event types that are new, renamed or gone"))
	var total, week int64
	sums := make([]int64, len(names))
	for i := range k.now {
		for _, n := range k.now[i] {
			sums[i] += n
		}
		total += sums[i]
		week += k.now[i][0]
	}
	for i, name := range names {
		if sums[i] == 0 {
			continue
		}
		if name == "" {
			name = "(none)"
		}
		subject := what + " " + name
		m := j.add(row("share_in_week", subject, float64(k.now[i][0])/float64(week)))
		c := j.Profile.part(k, i)
		if e, ok := expected(c.past); ok {
			m.Expected = e / float64(week)
		}
		if len(c.then) > 0 {
			then := int64(0)
			for x := range k.then {
				then += k.then[x][0]
			}
			m.LastYear = c.then[0].now / float64(then)
		}
		m.judged(j.Report.Judge("event_gone", j.Gates.EventGone, subject, c.fall(), c.fallen,
			fmt.Sprintf("%.0f events of %s in the seven days to %s, where their part in the eight weeks before leads to expect %.0f: %s fewer", c.now, subject, day(j.Profile.today), m.Expected*float64(week), percent(c.fall())),
			"check whether it was renamed, or its source has stopped"))
		j.add(row("share_in_nine_weeks", subject, float64(sums[i])/float64(total)))
	}
}

// nullRows is how many events a share of those without a value must be of.
const nullRows = 30

// nulls judges how often columns have no value.
func (j *Judge) nulls() {
	p := j.Profile
	whole := p.whole(p.today)
	for f, field := range fields {
		if !p.mapped[f] {
			continue
		}
		var any nulls
		for r := range p.roleNames {
			any.add(p.all[r][f])
		}
		m := j.add(row("null_share", field.String(), any.share()))
		j.least(m, field, "any", any)
		for r, role := range p.roleNames {
			all := p.all[r][f]
			if all.rows == 0 {
				continue
			}
			subject := field.String() + " of " + role
			m := j.add(row("null_share", subject, all.share()))
			j.least(m, field, role, all)
			const advice = "check whether the column was renamed, or is no longer filled"
			if !math.IsNaN(m.Previous) && all.rows >= nullRows {
				rise := all.share() - m.Previous
				m.judged(j.Report.Judge("null_rise", j.Gates.NullRise, subject, rise, nil,
					fmt.Sprintf("%s of all %s events have no %s, %s in the run before", percent(all.share()), role, field, percent(m.Previous)), advice))
			}
			week := p.weeks[r][f]
			for _, t := range []struct {
				metric, words string
				nulls
			}{{"null_share_in_week", "in the seven days to ", week[0]}, {"null_share_on_date", "on ", p.counts.today[r][f]}} {
				if t.rows == 0 {
					continue
				}
				m := j.add(row(t.metric, subject, t.share()))
				var past nulls
				highest := 0.0
				for w := 1; w <= whole; w++ {
					past.add(week[w])
					if week[w].rows >= nullRows {
						highest = max(highest, week[w].share())
					}
				}
				if whole < least || past.rows < nullRows || t.rows < nullRows {
					continue
				}
				m.Expected = past.share()
				rise := t.share() - past.share()
				m.judged(j.Report.Judge("null_rise", j.Gates.NullRise, subject+" "+t.metric, rise, func(bound float64) bool {
					sd := math.Sqrt(max(past.share()*(1-past.share()), .01) / float64(t.rows))
					return t.share() > highest+bound/2 && rise > countingSD*sd
				}, fmt.Sprintf("%s of the %s events %s%s have no %s, %s of those in the eight weeks before", percent(t.share()), role, t.words, day(p.today), field, percent(past.share())), advice))
			}
		}
	}
}

// least judges a share by what is written down for it.
func (j *Judge) least(m *Row, field datasets.Field, role string, n nulls) {
	for _, g := range j.Gates.NullShare {
		if g.Column == field.String() && g.Role == role && n.rows > 0 {
			m.judged(j.Report.Judge("null_share", config.Gate{Warn: g.Warn, Fail: g.Fail}, m.Subject, n.share(), nil,
				fmt.Sprintf("%s of %d events of role %s have no %s", percent(n.share()), n.rows, role, field), "check whether the column is filled"))
		}
	}
}

// days notes the events of every day of the weeks that are compared.
func (j *Judge) days() {
	p := j.Profile
	for d := max(p.first, p.today-7*slots+1); d <= p.today; d++ {
		n, _ := p.on(d)
		m := j.add(row("events_on_day", day(d), n))
		if v, ok := p.on(d - lastYear); ok {
			m.LastYear = v
		}
	}
}

func percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }
