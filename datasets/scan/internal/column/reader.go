// Package column knows what a Parquet column holds and turns its values into
// those of an event: instants, amounts, consent, and codes of ids and texts. Type
// is what the file says of a column, Binding is where a file keeps a field, and
// Reader does the conversions, a few thousand rows at a time.
package column

import (
	"io"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/pages"
)

// SegmentRows is how many rows are converted at a time: the columns of one
// segment stay in the processor's cache.
const SegmentRows = 2048

// A Binding says where a file keeps a field.
type Binding struct {
	Type     Type
	Path     []string // of the column; nil when the field is constant in the file
	Constant string   // value of the constant
	Null     bool     // the constant is null
	Missing  bool     // and that because the file has neither column nor key
}

// Conventions say what values mean where the file does not.
type Conventions struct {
	TimeZone *time.Location           // of times that carry no offset; nil is UTC
	TimeUnit Unit                     // of times that are integers, or digits in text
	Roles    map[string]datasets.Role // of event types; all others are datasets.Other
	TextIDs  bool                     // customer ids are coded as text, whatever their type
}

// A Reader reads one field of one file after another, and is for one goroutine.
// The zero Reader knows no field and no conventions: it gives values as text.
type Reader struct {
	Field datasets.Field
	Type  Type       // in the present file
	Run   *pages.Run // the rows in hand

	unit    Unit
	zone    *lexical.Zone
	textIDs bool

	constant     bool
	chunk        pages.Reader
	constantRun  pages.Run
	constantDict pages.Dictionary

	// What the values of the current dictionary mean, found once a dictionary.
	// Codes are found when an accepted row first needs them, so that the
	// dictionaries of the job hold what accepted rows hold and nothing else.
	generation   int
	dictTimes    []int64
	dictAmounts  []datasets.Money
	dictProblems []lexical.Problem
	dictFine     bool // no value is wrong
	dictCodes    []uint32
	found        bool           // dictCodes has the customers that were known already
	unknown      int            // values without a code, once found
	coder        datasets.Coder // of customers
	wanted       []uint32
	codes        []uint32
	dictConsents []bool
	dictMatches  []bool

	// For EventType: the role of every type met, by code.
	roles  map[string]datasets.Role
	roleOf []datasets.Role

	lastCode uint32 // of lastText or lastInt; 0 is none
	lastText []byte
	lastInt  int64
	scratch  []byte
}

// NewReader returns a reader of a field by conventions.
func NewReader(f datasets.Field, by Conventions) *Reader {
	zone := by.TimeZone
	if zone == nil {
		zone = time.UTC
	}
	return &Reader{Field: f, unit: by.TimeUnit, zone: lexical.NewZone(zone), roles: by.Roles, textIDs: by.TextIDs}
}

// Open points the reader at a row group's chunk of src, which a constant has not.
func (c *Reader) Open(b *Binding, src io.ReaderAt, chunk footer.Chunk) {
	c.Type = b.Type
	c.constant = b.Path == nil
	c.generation, c.lastCode = -1, 0
	if !c.constant {
		c.chunk.Reset(src, chunk)
		return
	}
	d := &c.constantDict
	d.Data = append(d.Data[:0], b.Constant...)
	d.Lo, d.Hi, d.Len = []uint32{0}, []uint32{uint32(len(d.Data))}, 1
	c.constantRun = pages.Run{Dict: d, Index: make([]uint32, SegmentRows)}
	if b.Null {
		c.constantRun.Valid = make([]bool, SegmentRows)
	}
}

// Available is the number of rows, at most n, that Next can return at once.
func (c *Reader) Available(n int) (int, error) {
	if c.constant {
		return min(n, SegmentRows), nil
	}
	a, err := c.chunk.Available()
	return min(n, a), err
}

// Next advances to the next n rows, at most as many as Available said.
func (c *Reader) Next(n int) (err error) {
	if c.constant {
		c.Run = &c.constantRun
		c.Run.Rows = n
		return nil
	}
	c.Run, err = c.chunk.Next(n)
	return err
}

// Pages is the number of pages read since the reader was made, and of those
// without a checksum.
func (c *Reader) Pages() (read, unverified int) { return c.chunk.Pages, c.chunk.Unverified }

// Dictionary is the dictionary of the chunk; empty when it has none.
func (c *Reader) Dictionary() *encoding.Values { return c.chunk.Dictionary() }

// Null says whether row i is null.
func (c *Reader) Null(i int) bool { return c.Run.Valid != nil && !c.Run.Valid[i] }

// Value is where the value of row i, which is not null, lies.
func (c *Reader) Value(i int) (*encoding.Values, int) {
	if d := c.Run.Dict; d != nil {
		return &d.Values, int(c.Run.Index[i])
	}
	return &c.Run.Values, i
}

// dictionaryChanged says whether the dictionary of the run differs from the one that the
// dict… slices describe, and forgets those if it does.
func (c *Reader) dictionaryChanged() bool {
	d := c.Run.Dict
	if d.Generation == c.generation {
		return false
	}
	c.generation = d.Generation
	c.dictTimes, c.dictAmounts, c.dictProblems = c.dictTimes[:0], c.dictAmounts[:0], c.dictProblems[:0]
	c.dictConsents, c.dictMatches = c.dictConsents[:0], c.dictMatches[:0]
	c.dictCodes = resized(c.dictCodes, d.Len)
	clear(c.dictCodes)
	c.found = false
	return true
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// isText says whether values are text in the bytes form.
func (c *Reader) isText() bool { return c.Type.Kind == KindString || c.Type.Kind == KindBytes }

// Integer is an integer value. ok is false for an unsigned one beyond int64.
func (c *Reader) Integer(v int64) (int64, bool) {
	if c.Type.Unsigned {
		if c.Type.Bits == 32 {
			return int64(uint32(v)), true
		}
		return v, v >= 0
	}
	return v, true
}
