package scan

import (
	"context"

	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/consent"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/inspect"
	"github.com/shoal-data/shoal/datasets/scan/internal/outline"
	"github.com/shoal-data/shoal/datasets/scan/internal/pseudonym"
	"github.com/shoal-data/shoal/datasets/scan/internal/rates"
	"github.com/shoal-data/shoal/datasets/scan/internal/sample"
	"github.com/shoal-data/shoal/datasets/storage"
)

// Unit is the unit of an integer time.
type Unit = column.Unit

// The units. UnitAuto decides by size, value by value: 19000000 to 21009999 is
// yyyymmdd; below 1e11 away from zero is seconds (to the year 5138), below 1e14
// milliseconds (from 1973), below 1e17 microseconds, and nanoseconds beyond.
const (
	UnitAuto     = column.UnitAuto
	UnitSecond   = column.UnitSecond
	UnitMilli    = column.UnitMilli
	UnitMicro    = column.UnitMicro
	UnitNano     = column.UnitNano
	UnitYYYYMMDD = column.UnitYYYYMMDD // in Source.TimeZone
)

// ParseUnit reads a unit's name.
func ParseUnit(s string) (Unit, error) { return column.ParseUnit(s) }

// Kind says what a Parquet column holds, whatever its physical encoding.
type Kind = column.Kind

// The kinds of column.
const (
	KindOther     = column.KindOther     // nothing an event can be read from: lists, maps, intervals, geometry …
	KindBool      = column.KindBool      // BOOLEAN
	KindInt32     = column.KindInt32     // integers, signed or not, that fit 32 bits signed
	KindInt64     = column.KindInt64     // all other integers
	KindFloat     = column.KindFloat     // FLOAT, DOUBLE
	KindDecimal   = column.KindDecimal   // DECIMAL over INT32, INT64, FIXED or BYTE_ARRAY
	KindString    = column.KindString    // UTF-8 text, enums, JSON, and partition keys in the path
	KindBytes     = column.KindBytes     // BYTE_ARRAY without annotation
	KindFixed     = column.KindFixed     // FIXED_LEN_BYTE_ARRAY, UUID
	KindTimestamp = column.KindTimestamp // TIMESTAMP in ms, µs or ns, and INT96
	KindDate      = column.KindDate      // DATE
	KindTime      = column.KindTime      // time of day
)

// An IdentityTable is where aliases are listed, a row an alias and whose it is.
type IdentityTable = identity.Table

// CustomerKind is the kind of ids that are customers' own.
const CustomerKind = identity.CustomerKind

// An IdentityReport is what the identity tables did to the rows.
type IdentityReport = identity.Report

// A ConsentSpec is where erasure lists and consent tables are.
type ConsentSpec = consent.Spec

// A ConsentTable is an erasure list or a consent table.
type ConsentTable = consent.Table

// A PseudonymKey is what customers' ids are hashed with.
type PseudonymKey = pseudonym.Key

// A RateSpec is where currency rates are and what they mean.
type RateSpec = rates.Spec

// A Rate is what a currency was worth from a day on, as written.
type Rate = rates.Rate

// A RejectedRow is what a refused row held, as text, null being "". Values are cut
// to 256 bytes. Rows with equal content are sampled once.
type RejectedRow = sample.Row

// A SourceOutline says what reading a source takes, by its files' footers alone.
type SourceOutline = outline.Source

// A ColumnOutline says where a field is read from, and how much there is of it.
type ColumnOutline = outline.Column

// A File is one input file, as far as its footer tells.
type File = files.File

// An Error is a fatal fault, located as closely as it can be. RowGroup and Row
// count from 0 and are -1 where they do not apply.
type Error = fault.Error

// ErrorKind says what is to be done about an Error.
type ErrorKind = fault.Kind

// The kinds of error.
const (
	BadData   = fault.BadData   // the files are damaged or contradict each other: do not retry
	NoInput   = fault.NoInput   // nothing matches
	Transient = fault.Transient // storage failed: retry
	Config    = fault.Config    // the mapping does not fit the files: correct the configuration
)

// A Profile is what Inspect found in files never seen before.
type Profile = inspect.Profile

// A ColumnProfile describes one column over all files. Rows, Nulls, Distinct,
// Min, Max and Top are over the sampled rows.
type ColumnProfile = inspect.ColumnProfile

// A ValueCount is a value, as text, and how many sampled rows hold it.
type ValueCount = inspect.ValueCount

// InspectOptions bounds what Inspect reads.
type InspectOptions = inspect.Options

// DefaultInspectOptions samples 2,000,000 rows.
func DefaultInspectOptions() InspectOptions { return inspect.DefaultOptions() }

// Inspect profiles the columns of the files that the globs match. It reads at
// most opts.MaxRows rows, the first ones of up to 128 row groups spread evenly
// over all files. The result does not depend on the number of processors. An
// error is an *Error or the context's.
func Inspect(ctx context.Context, fsys storage.FS, globs []string, opts InspectOptions) (Profile, error) {
	return inspect.Files(ctx, fsys, globs, opts)
}
