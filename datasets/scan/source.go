// Package scan reads behavioural events from Parquet files of any origin: it maps
// a source's columns onto the canonical event, decodes row groups in parallel,
// accepts the many ways in which lakes spell times, amounts and ids, and counts
// and samples the rows it cannot use.
//
// What a row becomes depends on the row alone. Counts, samples and the set of
// delivered events are the same for any number of workers and any order or
// division of rows into files.
//
// # Rules
//
// A row is judged in this order, and the first rule that applies decides.
//
//  1. Its time is at or after Options.Before: it is counted and not delivered.
//  2. Its customer is erased or withheld by Input.Consent: it is counted, apart from the
//     rejects, and never sampled. Consent is mapped and is not given (false, 0, null, or text other than
//     true, t, yes, y, 1 in any case): the row is withheld in the same way.
//  3. Its time is null or empty, unparsable, or outside the years 1 to 9999 UTC.
//  4. Its customer is null, empty, not UTF-8, or beyond 64 bits, or is an alias that
//     Input.Identity does not list.
//  5. Its amount, then quantity, then rating is unparsable, not finite or beyond
//     ±1e12. Null and empty text are no amount, and no fault. A bad amount refuses
//     the row rather than becoming null: a purchase of unknown value would lower
//     every average without a trace.
//  6. A text is not UTF-8.
//
// Times of ns precision are rounded down to µs. Times that carry no offset
// (timestamps not adjusted to UTC, DATE, ISO text without offset, yyyymmdd) are
// read in Source.TimeZone; a reading that came twice is the later instant, and one
// that never came counts from the offset before the change. INT96 is UTC. An amount
// is rounded to 1e-4, halves away from zero.
//
// The customer of an accepted row is then the end of the chain of aliases that begins
// with its id, and its amount is in the currency of Input.Rates, converted by the latest
// rate of the event's local day or before. Ids that lead nowhere or to several customers,
// and amounts without a rate, are errors.
package scan

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
)

// A Source is a set of files of one origin and how to read events from them.
type Source struct {
	Name  string
	Paths []string // globs

	// Columns names what each field is read from: a column, a dotted path into
	// nested groups, or the key of key=value directories in the path. A column of
	// the file goes before a key of the path.
	Columns map[datasets.Field]string

	Roles map[string]datasets.Role // event type → role; all others are datasets.Other
	Role  datasets.Role            // of every row, when EventType is not mapped

	TimeZone *time.Location // of times that carry no offset; nil is UTC
	TimeUnit Unit           // of times that are integers, or digits in text
	Currency string         // of amounts whose currency is not mapped, null or empty; "" is unknown

	// IDKind is the kind of the ids in CustomerID; "" is that of customers' own. Ids of
	// another kind are aliases, which Input.Identity must list.
	IDKind string
}

// An Input is sources of events and the tables that say what stands in them.
type Input struct {
	Sources  []Source
	Identity []IdentityTable // whose aliases ids are; none leaves ids as they are
	Rates    *RateSpec       // by which amounts are converted; nil converts none
	Consent  *ConsentSpec    // whose events may be used; nil is everybody's
	Contacts []ContactTable  // how customers are reached; Read does not ask, Contacts does
	// Pseudonyms is the key of the hashes that are delivered in the place of customers'
	// ids; none delivers ids.
	Pseudonyms PseudonymKey
}

// validate reports every fault of a source that shows without its files.
func (s *Source) validate() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.Name == "" {
		add("Name must not be empty")
	}
	if len(s.Paths) == 0 {
		add("Paths must name at least one file")
	}
	for _, f := range []datasets.Field{datasets.CustomerID, datasets.EventTime} {
		if s.Columns[f] == "" {
			add("Columns must map %v", f)
		}
	}
	for _, f := range sortedFields(s.Columns) {
		if int(f) >= datasets.NumFields {
			add("Columns maps the unknown field %d", f)
		} else if s.Columns[f] == "" && f > datasets.EventTime {
			add("Columns maps %v to an empty name", f)
		}
	}
	if len(s.Roles) > 0 && s.Columns[datasets.EventType] == "" {
		add("Roles maps %d event types, and Columns does not map event_type", len(s.Roles))
	}
	for typ, r := range s.Roles {
		if int(r) >= datasets.NumRoles {
			add("Roles maps %q to the unknown role %d", typ, r)
		}
	}
	if int(s.Role) >= datasets.NumRoles {
		add("Role (%d) must be < %d", s.Role, datasets.NumRoles)
	}
	if s.TimeUnit >= column.NumUnits {
		add("TimeUnit (%d) must be < %d", s.TimeUnit, column.NumUnits)
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return fault.InSource(fault.Config, s.Name, "%w", errors.Join(faults...))
}

// kind is the kind of the ids.
func (s *Source) kind() string { return cmp.Or(s.IDKind, identity.CustomerKind) }

// aliased says whether the ids are aliases rather than customers' own.
func (s *Source) aliased() bool { return s.kind() != identity.CustomerKind }

// conventions are what the source says of its values.
func (s *Source) conventions() column.Conventions {
	return column.Conventions{TimeZone: s.TimeZone, TimeUnit: s.TimeUnit, Roles: s.Roles, TextIDs: s.aliased()}
}

// sortedFields are the fields that a mapping maps, in their order.
func sortedFields(m map[datasets.Field]string) []datasets.Field {
	fs := make([]datasets.Field, 0, len(m))
	for f := range m {
		fs = append(fs, f)
	}
	slices.Sort(fs)
	return fs
}

// Options is how Read reads.
type Options struct {
	Workers int // goroutines that decode; ≥ 1. The result does not depend on it

	// Before ends the history, in µs since 1970 UTC: events at or after it are
	// counted and not delivered, and row groups that lie wholly after it by their
	// statistics are not read.
	Before int64

	// Customers narrows the read to some customers; nil is everybody.
	Customers *CustomerFilter

	MaxRejectedSample int // sampled rows kept for each reason; ≥ 0

	// Progress is called now and then, never twice at once, rowsDone never falling.
	Progress func(rowsDone, rowsTotal int64)

	Currency string // that all amounts must have, unless Input.Rates converts them; "" accepts any one currency
}

// DefaultOptions reads everything, with a goroutine a processor.
func DefaultOptions() Options {
	return Options{Workers: runtime.GOMAXPROCS(0), Before: math.MaxInt64, MaxRejectedSample: 100}
}

func (o Options) validate() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Workers < 1 {
		add("Workers (%d) must be >= 1", o.Workers)
	}
	if o.MaxRejectedSample < 0 {
		add("MaxRejectedSample (%d) must be >= 0", o.MaxRejectedSample)
	}
	if o.Customers != nil && o.Customers.Match == nil {
		add("Customers.Match must not be nil")
	}
	if len(faults) == 0 {
		return nil
	}
	return fault.InSource(fault.Config, "", "%w", errors.Join(faults...))
}
