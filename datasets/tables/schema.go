// Package tables writes the tables a run publishes and reads them back: Arrow
// records on this side, Parquet files that any warehouse loads on the other.
//
// Every column is nullable and flat and keeps its declared place. A file's
// bytes depend on its rows, its schema and its options alone: not on how the
// rows came divided into records, and not on how many goroutines encoded them.
package tables

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/parquet-go/parquet-go"
)

// Keys of Arrow field metadata that a file keeps.
const (
	MetaUnit    = "unit"    // e.g. "days"
	MetaMeaning = "meaning" // one line
	MetaLogical = "logical" // LogicalUUID, on fixed_size_binary(16)
)

// LogicalUUID under MetaLogical annotates a column of 16 bytes as UUID.
const LogicalUUID = "uuid"

// The Arrow types of columns that are not plain numbers, text or booleans.
var (
	Timestamp = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	Money     = &arrow.Decimal128Type{Precision: 18, Scale: 4}
)

// A Column describes one column of a table, in the manifest and in the file.
type Column struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // float64, int64, int32, bool, string, date, timestamp, decimal(18,4), uuid or binary(n)
	Unit    string `json:"unit,omitempty"`
	Meaning string `json:"meaning,omitempty"`
}

type kind uint8

const (
	kindFloat64 kind = iota
	kindInt64
	kindInt32
	kindBool
	kindString
	kindDate
	kindTimestamp
	kindMoney
	kindUUID
	kindBinary
)

// column is a field as the writer and the reader see it.
type column struct {
	Column
	kind  kind
	width int64 // bytes of a value in memory; a string's length comes on top
}

// nameRE is what every warehouse takes unquoted, BigQuery, Snowflake and
// Redshift included. Postgres-derived ones cut names at 63 bytes.
var nameRE = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// CheckName reports a table or column name that some warehouse would refuse.
func CheckName(name string) error {
	if !nameRE.MatchString(name) {
		return fmt.Errorf("name %q must be 1 to 63 of a-z, 0-9 and _, not beginning with a digit", name)
	}
	return nil
}

// Columns describes a schema. It fails, listing every fault, when the schema
// has no columns, a name a warehouse refuses or a type no table holds.
func Columns(schema *arrow.Schema) ([]Column, error) {
	cols, err := columnsOf(schema)
	if err != nil {
		return nil, err
	}
	out := make([]Column, len(cols))
	for i, c := range cols {
		out[i] = c.Column
	}
	return out, nil
}

// HashColumns is the SHA-256, in hexadecimal, of the names and types in order:
// what a warehouse has to agree with. Units and meanings may be reworded.
func HashColumns(cols []Column) string {
	h := sha256.New()
	for _, c := range cols {
		fmt.Fprintf(h, "%s %s\n", c.Name, c.Type)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func columnsOf(schema *arrow.Schema) ([]column, error) {
	var faults []error
	fail := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("tables: "+format, args...))
	}
	if n := schema.NumFields(); n == 0 {
		fail("schema has no columns")
	} else if n > parquet.MaxColumnIndex+1 {
		fail("schema has %d columns, more than the %d of a Parquet file", n, parquet.MaxColumnIndex+1)
	}
	seen := map[string]int{}
	cols := make([]column, schema.NumFields())
	for i, f := range schema.Fields() {
		if err := CheckName(f.Name); err != nil {
			fail("column %d: %w", i+1, err)
		}
		if j, dup := seen[f.Name]; dup {
			fail("column %d: name %q is that of column %d too", i+1, f.Name, j+1)
		}
		seen[f.Name] = i
		c, err := columnOf(f)
		if err != nil {
			fail("column %d: %w", i+1, err)
		}
		cols[i] = c
	}
	return cols, errors.Join(faults...)
}

func columnOf(f arrow.Field) (column, error) {
	meta := func(key string) string { v, _ := f.Metadata.GetValue(key); return v }
	c := column{Column: Column{Name: f.Name, Unit: meta(MetaUnit), Meaning: meta(MetaMeaning)}}
	logical := meta(MetaLogical)
	set := func(k kind, name string, width int64) {
		c.kind, c.Type, c.width = k, name, width
	}
	switch t := f.Type.(type) {
	case *arrow.Float64Type:
		set(kindFloat64, "float64", 8)
	case *arrow.Int64Type:
		set(kindInt64, "int64", 8)
	case *arrow.Int32Type:
		set(kindInt32, "int32", 4)
	case *arrow.BooleanType:
		set(kindBool, "bool", 1)
	case *arrow.StringType:
		set(kindString, "string", 4)
	case *arrow.Date32Type:
		set(kindDate, "date", 4)
	case *arrow.TimestampType:
		if t.Unit == Timestamp.Unit && t.TimeZone == Timestamp.TimeZone {
			set(kindTimestamp, "timestamp", 8)
		}
	case *arrow.Decimal128Type:
		if t.Precision == Money.Precision && t.Scale == Money.Scale {
			set(kindMoney, "decimal(18,4)", 8)
		}
	case *arrow.FixedSizeBinaryType:
		switch {
		case logical == LogicalUUID && t.ByteWidth == 16:
			set(kindUUID, "uuid", 16)
			logical = ""
		case t.ByteWidth > 0:
			set(kindBinary, fmt.Sprintf("binary(%d)", t.ByteWidth), int64(t.ByteWidth))
		}
	}
	if c.Type == "" {
		return c, fmt.Errorf("%s has type %s, which no table holds: use float64, int64, int32, bool, utf8, date32, timestamp[us, UTC], decimal128(18,4) or fixed_size_binary", f.Name, f.Type)
	}
	if logical != "" {
		return c, fmt.Errorf("%s has metadata %s=%q: only %q is known, of fixed_size_binary[16]", f.Name, MetaLogical, logical, LogicalUUID)
	}
	return c, nil
}

// field is the inverse of columnOf.
func (c column) field() arrow.Field {
	var t arrow.DataType
	keys, values := []string{}, []string{}
	add := func(k, v string) {
		if v != "" {
			keys, values = append(keys, k), append(values, v)
		}
	}
	add(MetaUnit, c.Unit)
	add(MetaMeaning, c.Meaning)
	switch c.kind {
	case kindFloat64:
		t = arrow.PrimitiveTypes.Float64
	case kindInt64:
		t = arrow.PrimitiveTypes.Int64
	case kindInt32:
		t = arrow.PrimitiveTypes.Int32
	case kindBool:
		t = arrow.FixedWidthTypes.Boolean
	case kindString:
		t = arrow.BinaryTypes.String
	case kindDate:
		t = arrow.PrimitiveTypes.Date32
	case kindTimestamp:
		t = Timestamp
	case kindMoney:
		t = Money
	case kindUUID, kindBinary:
		t = &arrow.FixedSizeBinaryType{ByteWidth: int(c.width)}
	}
	if c.kind == kindUUID {
		add(MetaLogical, LogicalUUID)
	}
	return arrow.Field{Name: c.Name, Type: t, Nullable: true, Metadata: arrow.NewMetadata(keys, values)}
}

// parquetType is the physical and logical type of a column's values.
func (c column) parquetType() parquet.Type {
	switch c.kind {
	case kindFloat64:
		return parquet.DoubleType
	case kindInt64:
		return parquet.Int64Type
	case kindInt32:
		return parquet.Int32Type
	case kindBool:
		return parquet.BooleanType
	case kindString:
		return parquet.String().Type()
	case kindDate:
		return parquet.Date().Type()
	case kindTimestamp:
		return parquet.Timestamp(parquet.Microsecond).Type()
	case kindMoney:
		return parquet.Decimal(int(Money.Scale), int(Money.Precision), parquet.Int64Type).Type()
	case kindUUID:
		return parquet.UUID().Type()
	default:
		return parquet.FixedLenByteArrayType(int(c.width))
	}
}
