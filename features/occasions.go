package features

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// An Occasion is a named part of the calendar that people buy for. Its days are
// the union of those that Calendar, Dates and MonthDays say. Each has a season
// around it, from Before days ahead to After days past; seasons that meet or
// overlap are one.
type Occasion struct {
	Name      string
	Calendar  string  // a name of Calendars; "" for none
	Dates     []Dates // given days, of every year or of one
	MonthDays []int   // days of every month, such as paydays: 1 to 31, or LastOfMonth
	Before    int
	After     int
}

// LastOfMonth is the last day of any month. A day that a month lacks is its
// last, too.
const LastOfMonth = 32

// Occasions are known for the events of these years.
const (
	firstOccasionYear = 1970
	lastOccasionYear  = 2099
)

// DefaultOccasions are those that most shops plan for.
func DefaultOccasions() []Occasion {
	return []Occasion{
		{Name: "christmas", Calendar: "christmas", Before: 30},
		{Name: "black_friday", Calendar: "black_friday", Before: 3, After: 3},
		{Name: "valentines", Calendar: "valentines", Before: 7},
		{Name: "easter", Calendar: "easter", Before: 7},
	}
}

// Dates are consecutive days, of every year when the years are 0. A yearly
// stretch whose end is before its beginning ends in the next year.
type Dates struct{ From, To Date }

// A Date is a day of the calendar; of every year when Year is 0, where 29
// February is the last day of that month.
type Date struct{ Year, Month, Day int }

var datesPattern = regexp.MustCompile(`^(?:(\d{4})-)?(\d{2})-(\d{2})(?:\.\.(?:(\d{4})-)?(\d{2})-(\d{2}))?$`)

// ParseDates reads MM-DD, YYYY-MM-DD, or two of a kind with .. between them.
func ParseDates(s string) (Dates, error) {
	m := datesPattern.FindStringSubmatch(s)
	if m == nil {
		return Dates{}, fmt.Errorf("%q is not a date such as 12-25 (every year) or 2025-11-28 (once), nor a range such as 12-27..01-06", s)
	}
	number := func(i int) int { n, _ := strconv.Atoi(m[i]); return n }
	d := Dates{From: Date{number(1), number(2), number(3)}}
	d.To = d.From
	if m[5] != "" {
		d.To = Date{number(4), number(5), number(6)}
	}
	for _, day := range []Date{d.From, d.To} {
		if err := day.check(); err != nil {
			return Dates{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	if (d.From.Year == 0) != (d.To.Year == 0) {
		return Dates{}, fmt.Errorf("%q: both ends have a year, or neither", s)
	}
	if d.From.Year != 0 && d.To.in(0) < d.From.in(0) {
		return Dates{}, fmt.Errorf("%q: the end is before the beginning", s)
	}
	return d, nil
}

func (d Date) check() error {
	if d.Year != 0 && (d.Year < firstOccasionYear || d.Year > lastOccasionYear) {
		return fmt.Errorf("the year %d must be %d to %d", d.Year, firstOccasionYear, lastOccasionYear)
	}
	year := d.Year
	if year == 0 {
		year = 2000 // a leap year
	}
	if d.Month < 1 || d.Month > 12 || d.Day < 1 || d.Day > monthLength(year, d.Month) {
		return fmt.Errorf("there is no day %d of month %d", d.Day, d.Month)
	}
	return nil
}

func (d Date) String() string {
	if d.Year == 0 {
		return fmt.Sprintf("%02d-%02d", d.Month, d.Day)
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}

// String is the text that ParseDates reads.
func (d Dates) String() string {
	if d.From == d.To {
		return d.From.String()
	}
	return d.From.String() + ".." + d.To.String()
}

// in is the date's day number; year counts where the date has none.
func (d Date) in(year int) int32 {
	if d.Year != 0 {
		year = d.Year
	}
	return dayNumber(year, d.Month, min(d.Day, monthLength(year, d.Month)))
}

func (d Date) sql(year string) string {
	if d.Year != 0 {
		return fmt.Sprintf("DATE '%s'", d)
	}
	if d.Month == 2 && d.Day == 29 {
		return fmt.Sprintf("last_day(make_date(%s, 2, 1))", year)
	}
	return fmt.Sprintf("make_date(%s, %d, %d)", year, d.Month, d.Day)
}

func dayNumber(year, month, day int) int32 {
	return int32(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix() / 86_400)
}

func monthLength(year, month int) int {
	return int(dayNumber(year, month+1, 1) - dayNumber(year, month, 1))
}

// A calendar is a day of every year that a rule finds.
type calendar struct {
	name string
	day  func(year int) int32
	sql  string // the same by DuckDB, of the year y
}

var calendars = []calendar{
	fixedDay("new_year", 1, 1),
	fixedDay("valentines", 2, 14),
	{"mothering_sunday", func(y int) int32 { return easter(y) - 21 }, easterSQL + " - 21"}, // the fourth Sunday of Lent
	{"easter", easter, easterSQL},
	nthWeekday("mothers_day", 5, 6, 2, 0),
	nthWeekday("fathers_day", 6, 6, 3, 0),
	fixedDay("halloween", 10, 31),
	fixedDay("singles_day", 11, 11),
	nthWeekday("thanksgiving", 11, 3, 4, 0), // 5 U.S.C. § 6103: the fourth Thursday in November
	nthWeekday("black_friday", 11, 3, 4, 1),
	nthWeekday("cyber_monday", 11, 3, 4, 4),
	fixedDay("christmas", 12, 25),
}

// Calendars lists the names of the days that need no dates.
func Calendars() []string {
	var names []string
	for _, c := range calendars {
		names = append(names, c.name)
	}
	return names
}

func fixedDay(name string, month, day int) calendar {
	d := Date{Month: month, Day: day}
	return calendar{name, d.in, d.sql("y")}
}

// nthWeekday is so many days after the nth weekday (0 is Monday) of a month.
func nthWeekday(name string, month int, day int32, nth, after int32) calendar {
	return calendar{name,
		func(year int) int32 {
			first := dayNumber(year, month, 1)
			return first + (day-weekday(first)+7)%7 + 7*(nth-1) + after
		},
		fmt.Sprintf("make_date(y, %[1]d, %[2]d) + CAST((%[3]d - isodow(make_date(y, %[1]d, %[2]d)) + 7) %% 7 AS INTEGER)", month, 7*(nth-1)+1, day+1) + plus(int(after)),
	}
}

func plus(days int) string {
	if days == 0 {
		return ""
	}
	return fmt.Sprintf(" + %d", days)
}

// easter is the Western Easter Sunday by the rule of Meeus, Astronomical
// Algorithms, chapter 8, valid for every Gregorian year.
func easter(year int) int32 {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	f := (b + 8) / 25
	g := (b - f + 1) / 3
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return dayNumber(year, n/31, n%31+1)
}

// easterSQL is Easter Sunday by the rule of Gauss with the constants and the
// exceptions of 1900 to 2099.
const easterSQL = `(SELECT make_date(y, 3, 22) + CAST(d + e - CASE WHEN e = 6 AND (d = 29 OR d = 28 AND a > 10) THEN 7 ELSE 0 END AS INTEGER)
      FROM (SELECT a, d, (2 * (y % 4) + 4 * (y % 7) + 6 * d + 5) % 7 AS e FROM (SELECT a, (19 * a + 24) % 30 AS d FROM (SELECT y % 19 AS a))))`

// A season is the days [first, last].
type season struct{ first, last int32 }

// seasons lists the occasion's seasons in order, meeting ones joined.
func (o Occasion) seasons() []season {
	var all []season
	add := func(first, last int32) { all = append(all, season{first - int32(o.Before), last + int32(o.After)}) }
	for year := firstOccasionYear; year <= lastOccasionYear; year++ {
		for _, c := range calendars {
			if c.name == o.Calendar {
				add(c.day(year), c.day(year))
			}
		}
		for month := 1; month <= 12; month++ {
			for _, n := range o.MonthDays {
				day := dayNumber(year, month, min(n, monthLength(year, month)))
				add(day, day)
			}
		}
	}
	for _, d := range o.Dates {
		if d.From.Year != 0 {
			add(d.From.in(d.From.Year), d.To.in(d.To.Year))
			continue
		}
		for year := firstOccasionYear; year <= lastOccasionYear; year++ {
			last := d.To.in(year)
			if last < d.From.in(year) {
				last = d.To.in(year + 1)
			}
			add(d.From.in(year), last)
		}
	}
	slices.SortFunc(all, func(a, b season) int { return int(a.first - b.first) })
	var joined []season
	for _, s := range all {
		if n := len(joined); n > 0 && s.first <= joined[n-1].last+1 {
			joined[n-1].last = max(joined[n-1].last, s.last)
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// spansSQL lists queries that each yield days [begins, ends] of the occasion,
// before they are joined.
func (o Occasion) spansSQL() []string {
	before, after := "", plus(o.After)
	if o.Before != 0 {
		before = fmt.Sprintf(" - %d", o.Before)
	}
	years := fmt.Sprintf("range(%d, %d) AS years(y)", firstOccasionYear, lastOccasionYear+1)
	span := func(first, last, from string) string {
		return fmt.Sprintf("SELECT '%s' AS occasion, %s%s AS begins, %s%s AS ends%s", o.Name, first, before, last, after, from)
	}
	var qs []string
	for _, c := range calendars {
		if c.name == o.Calendar {
			qs = append(qs, span(c.sql, c.sql, " FROM "+years))
		}
	}
	for _, d := range o.Dates {
		if d.From.Year != 0 {
			qs = append(qs, span(d.From.sql(""), d.To.sql(""), ""))
			continue
		}
		until := "y"
		if d.To.in(2000) < d.From.in(2000) {
			until = "y + 1"
		}
		qs = append(qs, span(d.From.sql("y"), d.To.sql(until), " FROM "+years))
	}
	for _, n := range o.MonthDays {
		month := "last_day(make_date(y, m, 1))"
		if n != LastOfMonth {
			month = fmt.Sprintf("least(make_date(y, m, 1) + %d, %s)", n-1, month)
		}
		qs = append(qs, span(month, month, " FROM "+years+", range(1, 13) AS months(m)"))
	}
	return qs
}

// longestSeason is a year: one that is longer tells nobody apart.
const longestSeason = 366

func (o Occasion) faults(path string) (faults []Fault) {
	add := func(key, value, format string, args ...any) {
		faults = append(faults, Fault{Path: path + key, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	if !customName.MatchString(o.Name) {
		add(".name", strconv.Quote(o.Name), "must match %s", customName)
	}
	if o.Calendar != "" && !slices.Contains(Calendars(), o.Calendar) {
		faults = append(faults, Fault{path + ".calendar", strconv.Quote(o.Calendar), "is no built-in calendar", Calendars()})
		return faults
	}
	if o.Calendar == "" && len(o.Dates) == 0 && len(o.MonthDays) == 0 {
		faults = append(faults, Fault{path, strconv.Quote(o.Name), "has no days; give it calendar, dates or days_of_month, or name it after a calendar", Calendars()})
		return faults
	}
	for i, d := range o.Dates {
		if _, err := ParseDates(d.String()); err != nil {
			add(fmt.Sprintf(".dates[%d]", i), "", "%v", err)
		}
	}
	for i, n := range o.MonthDays {
		if n < 1 || n > LastOfMonth {
			add(fmt.Sprintf(".days_of_month[%d]", i), strconv.Itoa(n), "must be 1 to 31, or last")
		}
	}
	for _, side := range []struct {
		key  string
		days int
	}{{".before", o.Before}, {".after", o.After}} {
		if side.days < 0 || side.days > longestSeason {
			add(side.key, strconv.Itoa(side.days), "must be 0 to %d days", longestSeason)
		}
	}
	if faults != nil {
		return faults
	}
	for _, s := range o.seasons() {
		if days := s.last - s.first + 1; days > longestSeason {
			add("", strconv.Quote(o.Name), "has a season of %d days from %s, in which its days meet; shorten before, after or the range, so that no season exceeds %d days",
				days, time.Unix(int64(s.first)*86_400, 0).UTC().Format(time.DateOnly), longestSeason)
			break
		}
	}
	return faults
}

// perOccasion is the number of columns of an occasion.
const perOccasion = 4

// occasions: what the customer buys around named days of the calendar.
func occasions(p Params) Family {
	f := Family{Name: "occasions", Meaning: "What the customer buys in the seasons around named days of the calendar."}
	const bought = "role = 'purchase'"
	var spans, picks, joins []string
	all := make([][]season, len(p.Occasions))
	for i, o := range p.Occasions {
		all[i] = o.seasons()
		spans = append(spans, o.spansSQL()...)
		picks = append(picks, fmt.Sprintf(",\n  of_%[1]s.season AS %[1]s_season, (SELECT max(season) FROM seasons WHERE occasion = '%[1]s' AND season <= $today) AS %[1]s_latest", o.Name))
		joins = append(joins, fmt.Sprintf("\n  LEFT JOIN days AS of_%[1]s ON of_%[1]s.occasion = '%[1]s' AND of_%[1]s.day = history.day", o.Name))
		in := fmt.Sprintf("%s AND %s_season IS NOT NULL", bought, o.Name)
		words := o.words()
		f.Columns = append(f.Columns,
			Column{o.Name + "_purchase_day_share", "share", "[0, 1]", "no purchase", "Share of purchase days in the season of " + words + ".",
				"count(DISTINCT day) FILTER (WHERE " + in + ") / nullif(count(DISTINCT day) FILTER (WHERE " + bought + "), 0)"},
			Column{o.Name + "_spend_share", "share", "(-∞, ∞)", "spend is not positive", "Share of lifetime spend in the season of " + words + "; outside 0 to 1 only where amounts are negative.",
				"CASE WHEN sum(amount) FILTER (WHERE " + bought + ") > 0 THEN coalesce(sum(amount) FILTER (WHERE " + in + "), 0)::DOUBLE / (sum(amount) FILTER (WHERE " + bought + "))::DOUBLE END"},
			Column{o.Name + "_spend_last_season", "currency", "(-∞, ∞)", "never", "Spend in the latest season of " + words + " that had begun by the as-of date.",
				fmt.Sprintf("coalesce(sum(amount) FILTER (WHERE %[1]s AND %[2]s_season = %[2]s_latest), 0)::DOUBLE", bought, o.Name)},
			Column{"days_since_" + o.Name + "_purchase", "days", "[0, ∞)", "no purchase in such a season", "Days from the last purchase in a season of " + words + " to the as-of date.",
				"$today - max(day) FILTER (WHERE " + in + ")"},
		)
	}
	f.From = fmt.Sprintf(`(WITH spans AS (
   %s),
  seasons AS (SELECT occasion, min(begins) AS season, max(ends) AS ends
   FROM (SELECT *, sum(opens) OVER (PARTITION BY occasion ORDER BY begins, ends ROWS UNBOUNDED PRECEDING) AS nth
    FROM (SELECT *, CASE WHEN begins <= max(ends) OVER (PARTITION BY occasion ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + 1 THEN 0 ELSE 1 END AS opens FROM spans))
   GROUP BY occasion, nth),
  days AS (SELECT occasion, season, CAST(unnest(generate_series(season, ends, INTERVAL 1 DAY)) AS DATE) AS day FROM seasons)
 SELECT history.*%s
 FROM history%s)`, strings.Join(spans, "\n   UNION ALL "), strings.Join(picks, ""), strings.Join(joins, ""))
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			nulls(out)
			purchases := h.Positions(datasets.Purchase)
			for k, seasons := range all {
				row := out[perOccasion*k:][:perOccasion]
				// The latest season that has begun is the one before the first to begin later.
				latest, _ := slices.BinarySearchFunc(seasons, h.AsOf.Today+1, beginsBefore)
				latest--
				row[2] = 0
				if len(purchases) == 0 {
					continue
				}
				var total, within, last datasets.Money
				days, daysWithin := 0, 0
				at, _ := slices.BinarySearchFunc(seasons, h.Day[purchases[0]], endsBefore) // no season before holds a purchase
				for j, i := range purchases {
					day := h.Day[i]
					for at < len(seasons) && seasons[at].last < day {
						at++
					}
					inSeason := at < len(seasons) && seasons[at].first <= day
					if j == 0 || day != h.Day[purchases[j-1]] {
						days++
						if inSeason {
							daysWithin++
						}
					}
					if inSeason {
						row[3] = float64(h.AsOf.Today - day)
					}
					amount := valueAt(h.Amount, i)
					total += amount
					if inSeason {
						within += amount
						if at == latest {
							last += amount
						}
					}
				}
				row[0] = share(daysWithin, days)
				row[1] = share(within.Float(), total.Float())
				row[2] = last.Float()
			}
		}
	}
	return f
}

func beginsBefore(s season, day int32) int { return int(s.first - day) }
func endsBefore(s season, day int32) int   { return int(s.last - day) }

// valueAt is the value of an optional money column, 0 where it is absent.
func valueAt(column []datasets.Money, i int32) datasets.Money {
	if m := at(column, i); m != datasets.NullMoney {
		return m
	}
	return 0
}

// words describe the season: "christmas (from 30 days before)".
func (o Occasion) words() string {
	var around []string
	if o.Before > 0 {
		around = append(around, fmt.Sprintf("from %s before", countDays(o.Before)))
	}
	if o.After > 0 {
		around = append(around, fmt.Sprintf("to %s after", countDays(o.After)))
	}
	if around == nil {
		return o.Name
	}
	return o.Name + " (" + strings.Join(around, " ") + ")"
}

func countDays(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}
