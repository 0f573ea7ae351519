package behaviour

import "time"

// Settings are what a history follows from, checked by the caller: see the
// parameters of the same names in package synth.
type Settings struct {
	Seed                                      uint64
	Start, End                                time.Time // UTC midnights
	ActivityScale                             float64
	DuplicateShare, LateShare, AnonymousShare float64
}

// The days that hang together.
const (
	WindowDays = 28                    // the grid of random streams; also the days written together
	ReturnDays = 24                    // longest time from an order to what follows from it
	LateDays   = 3                     // longest delay of a late row
	AheadDays  = ReturnDays + LateDays // a row arrives this long after its window at most

	subscriptionDays = 30
	subscriptionFee  = 999 // hundredths of the currency
)

// A Block collects the rows of some customers in one window by the day whose
// partition they arrive in, counted from the window's first.
type Block struct {
	Days [WindowDays + AheadDays][]Row
	Tally
}

// Tally counts rows as they are emitted.
type Tally struct {
	Rows       int64 // all of them, repeats included
	Purchases  int64 // order lines
	Returns    int64
	Duplicates int64 // rows that repeat another
	Late       int64 // rows that arrive on a later day than their own
	Anonymous  int64 // rows without customer
}

// Add adds o to t.
func (t *Tally) Add(o Tally) {
	t.Rows += o.Rows
	t.Purchases += o.Purchases
	t.Returns += o.Returns
	t.Duplicates += o.Duplicates
	t.Late += o.Late
	t.Anonymous += o.Anonymous
}

// Reset empties b and keeps its memory.
func (b *Block) Reset() {
	for d := range b.Days {
		b.Days[d] = b.Days[d][:0]
	}
	b.Tally = Tally{}
}

// A Plan is Settings with everything that follows from them.
type Plan struct {
	Settings
	Days        int   // in [Start, End)
	startMicros int64 // µs of Start
	duplicate   uint64
	late        uint64
	anonymous   float64 // anonymous visits per row of a known customer
}

// anonymousDepth: an anonymous visit is a session start, a page view and up to
// anonymousViews further views.
const (
	anonymousDepth = 0.55
	anonymousViews = 6
)

// NewPlan derives the plan of p.
func NewPlan(p Settings) *Plan {
	p.Start, p.End = p.Start.UTC(), p.End.UTC() // days are UTC days whatever the caller's zone
	return &Plan{
		Settings:    p,
		Days:        int(p.End.Sub(p.Start) / (24 * time.Hour)),
		startMicros: p.Start.UnixMicro(),
		// A row's chance to be repeated, so that repeats are the wanted share of all rows.
		duplicate: threshold(p.DuplicateShare / (1 - p.DuplicateShare)),
		late:      threshold(p.LateShare),
		anonymous: p.AnonymousShare / (1 - p.AnonymousShare) / (2 + runMean(anonymousDepth, anonymousViews)),
	}
}

// threshold turns a probability into the bound that 32 random bits stay below.
func threshold(p float64) uint64 { return uint64(p * (1 << 32)) }

// A Window is 28 days, with its seasons summed up: sums[k] is the integral over
// the first k days. First and End are days of the history, from 0.
type Window struct {
	index          int
	First, End     int // days [First, End)
	orders, visits [len(Segments)][WindowDays + 1]float64
	sends          [WindowDays + 1]float64
}

// Windows is the number of windows in the history.
func (p *Plan) Windows() int { return (p.Days + WindowDays - 1) / WindowDays }

// Window is the window of an index from 0.
func (p *Plan) Window(index int) *Window {
	w := &Window{index: index, First: index * WindowDays, End: min((index+1)*WindowDays, p.Days)}
	for k := range w.End - w.First {
		day := p.Start.AddDate(0, 0, w.First+k)
		for g := range Profiles {
			w.orders[g][k+1] = w.orders[g][k] + Profiles[g].OrderSeason(day.Month(), day.Weekday())
			w.visits[g][k+1] = w.visits[g][k] + Profiles[g].VisitSeason(day.Month(), day.Weekday())
		}
		w.sends[k+1] = w.sends[k] + MessageWeek[day.Weekday()]
	}
	return w
}
