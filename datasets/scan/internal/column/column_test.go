package column

import (
	"encoding/binary"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

// unmapped is no field.
const unmapped = datasets.Field(datasets.NumFields)

// A DECIMAL is the same amount over INT64 and over bytes, at every scale: the exact
// one, rounded half away from zero.
func TestDecimalAmounts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		scale := rapid.IntRange(0, 76).Draw(rt, "scale")
		v := rapid.Int64().Draw(rt, "unscaled")
		exact := new(big.Rat).SetFrac(big.NewInt(v), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		text := exact.FloatString(4) // halves away from zero
		want := rangeMoney
		if n, ok := new(big.Int).SetString(strings.Replace(text, ".", "", 1), 10); ok && n.IsInt64() && n.Int64() <= int64(datasets.MaxMoney) && n.Int64() >= -int64(datasets.MaxMoney) {
			want = datasets.Money(n.Int64())
		}
		c := Reader{Type: Type{Kind: KindDecimal, Scale: scale}}
		b := binary.BigEndian.AppendUint64(nil, uint64(v))
		ints := encoding.Values{Ints: []int64{v}}
		bytes := encoding.Values{Data: b, Lo: []uint32{0}, Hi: []uint32{8}}
		if got := c.amount(&ints, 0); got != want {
			rt.Errorf("%d at scale %d over INT64: %d, want %d", v, scale, got, want)
		}
		if got := c.amount(&bytes, 0); got != want {
			rt.Errorf("%d at scale %d over bytes: %d, want %d", v, scale, got, want)
		}
	})
}

func TestDescribe(t *testing.T) {
	element := func(physical format.Type, change func(*format.SchemaElement)) *footer.Leaf {
		e := &format.SchemaElement{Name: "x", Type: thrift.New(physical)}
		change(e)
		return &footer.Leaf{Path: []string{"x"}, Element: e}
	}
	logical := func(v format.LogicalTypeValue) func(*format.SchemaElement) {
		return func(e *format.SchemaElement) { e.LogicalType.Value = v }
	}
	converted := func(v deprecated.ConvertedType) func(*format.SchemaElement) {
		return func(e *format.SchemaElement) { e.ConvertedType = thrift.New(v) }
	}
	none := func(*format.SchemaElement) {}
	for _, tc := range []struct {
		leaf *footer.Leaf
		want Type
		fits datasets.Field
		not  datasets.Field
	}{
		{element(format.Int32, none), Type{Kind: KindInt32, Bits: 32, Name: "INT32"}, datasets.CustomerID, unmapped},
		{element(format.Int32, converted(deprecated.Uint16)), Type{Kind: KindInt32, Bits: 32, Unsigned: true, Name: "INT32 UINT_16"}, datasets.CustomerID, unmapped},
		{element(format.Int32, converted(deprecated.Uint32)), Type{Kind: KindInt64, Bits: 32, Unsigned: true, Name: "INT32 UINT_32"}, datasets.CustomerID, unmapped},
		{element(format.Int32, logical(&format.IntType{BitWidth: 32})), Type{Kind: KindInt64, Bits: 32, Unsigned: true, Name: "INT32 INT(32,false)"}, datasets.CustomerID, unmapped},
		{element(format.Int64, converted(deprecated.TimestampMillis)), Type{Kind: KindTimestamp, Bits: 64, Unit: UnitMilli, UTC: true, Name: "INT64 TIMESTAMP_MILLIS"}, datasets.EventTime, datasets.Amount},
		{element(format.Int64, logical(&format.TimestampType{Unit: format.TimeUnit{Value: &format.NanoSeconds{}}})), Type{Kind: KindTimestamp, Bits: 64, Unit: UnitNano, Name: "INT64 TIMESTAMP(isAdjustedToUTC=false,unit=NANOS)"}, datasets.EventTime, datasets.CustomerID},
		{element(format.Int96, none), Type{Kind: KindTimestamp, INT96: true, UTC: true, Name: "INT96"}, datasets.EventTime, datasets.Category},
		{element(format.Float, none), Type{Kind: KindFloat, Bits: 32, Name: "FLOAT"}, datasets.Amount, datasets.Category},
		{element(format.Double, none), Type{Kind: KindFloat, Bits: 64, Name: "DOUBLE"}, datasets.Category, datasets.CustomerID},
		{element(format.ByteArray, converted(deprecated.UTF8)), Type{Kind: KindString, Name: "BYTE_ARRAY UTF8"}, datasets.Consent, unmapped},
		{element(format.ByteArray, logical(&format.DecimalType{Scale: 77, Precision: 80})), Type{Kind: KindOther, Scale: 77, Name: "BYTE_ARRAY DECIMAL(80,77)"}, unmapped, datasets.Amount},
	} {
		got := Describe(tc.leaf)
		tc.want.Physical = tc.leaf.Element.Type.V
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.want.Name, got, tc.want)
		}
		if why := got.WhyUnfit(tc.fits); tc.fits < unmapped && why != "" {
			t.Errorf("%s as %v: %s", tc.want.Name, tc.fits, why)
		}
		if why := got.WhyUnfit(tc.not); tc.not < unmapped && why == "" {
			t.Errorf("%s is fit for %v", tc.want.Name, tc.not)
		}
	}
}

// Statistics end the history only where they are certain.
func TestAtOrAfter(t *testing.T) {
	const day = 86_400_000_000
	stats := func(physical format.Type, lo, hi int64, nulls thrift.Null[int64]) *footer.ColumnMetaData {
		m := &footer.ColumnMetaData{Type: physical}
		m.Statistics.NullCount = nulls
		b := func(v int64) []byte {
			if physical == format.Int32 {
				return binary.LittleEndian.AppendUint32(nil, uint32(v))
			}
			return binary.LittleEndian.AppendUint64(nil, uint64(v))
		}
		m.Statistics.MinValue, m.Statistics.MaxValue = b(lo), b(hi)
		return m
	}
	none := thrift.New[int64](0)
	micro := Type{Kind: KindTimestamp, Unit: UnitMicro, UTC: true}
	local := Type{Kind: KindTimestamp, Unit: UnitMicro}
	date := Type{Kind: KindDate}
	for _, tc := range []struct {
		name   string
		m      *footer.ColumnMetaData
		t      Type
		unit   Unit
		before int64
		want   bool
	}{
		{"at", stats(format.Int64, 100, 200, none), micro, UnitAuto, 100, true},
		{"before", stats(format.Int64, 99, 200, none), micro, UnitAuto, 100, false},
		{"no end", stats(format.Int64, 100, 200, none), micro, UnitAuto, math.MaxInt64, false},
		{"a null", stats(format.Int64, 100, 200, thrift.New[int64](1)), micro, UnitAuto, 100, false},
		{"nulls not counted", stats(format.Int64, 100, 200, thrift.Null[int64]{}), micro, UnitAuto, 100, false},
		{"reversed", stats(format.Int64, 200, 100, none), micro, UnitAuto, 50, false},
		{"a clock, a day later", stats(format.Int64, 3*day, 4*day, none), local, UnitAuto, 2 * day, true},
		{"a clock, less than a day later", stats(format.Int64, 3*day-1, 4*day, none), local, UnitAuto, 2 * day, false},
		{"dates", stats(format.Int32, 3, 4, none), date, UnitAuto, 2 * day, true},
		{"dates, too near", stats(format.Int32, 2, 4, none), date, UnitAuto, 2 * day, false},
		{"seconds", stats(format.Int64, 100, 200, none), Type{Kind: KindInt64}, UnitSecond, 100_000_000, true},
		{"nanoseconds", stats(format.Int64, -1, 200, none), Type{Kind: KindInt64}, UnitNano, 0, false},
		{"by size", stats(format.Int64, 100, 200, none), Type{Kind: KindInt64}, UnitAuto, 0, false},
		{"unsigned", stats(format.Int64, 100, 200, none), Type{Kind: KindInt64, Unsigned: true}, UnitSecond, 0, false},
		{"out of range", stats(format.Int64, 100, math.MaxInt64, none), Type{Kind: KindInt64}, UnitSecond, 0, false},
	} {
		r := Statistics(tc.m, false)
		if got := r.AtOrAfter(&tc.t, tc.unit, tc.before); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
	if r := Statistics(stats(format.Int64, 100, 200, thrift.Null[int64]{}), true); !r.AtOrAfter(&micro, UnitAuto, 100) {
		t.Error("a required column has no nulls to count")
	}
}

// A constant reads as any column does, for as many rows as there are.
func TestConstant(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	c := NewReader(datasets.EventTime, Conventions{TimeZone: paris})
	for _, tc := range []struct {
		b    Binding
		want int64
	}{
		{Binding{Type: PartitionKey, Constant: "2024-01-01"}, time.Date(2023, 12, 31, 23, 0, 0, 0, time.UTC).UnixMicro()},
		{Binding{Type: PartitionKey, Constant: "never"}, unparsableTime},
		{Binding{Type: PartitionKey, Null: true}, nullTime},
	} {
		c.Open(&tc.b, nil, footer.Chunk{})
		n, err := c.Available(1 << 20)
		if err != nil || n != SegmentRows {
			t.Fatalf("%d rows, %v", n, err)
		}
		if err := c.Next(3); err != nil {
			t.Fatal(err)
		}
		times := make([]int64, 3)
		c.Times(times)
		for _, got := range times {
			if got != tc.want {
				t.Errorf("%+v: %d, want %d", tc.b, got, tc.want)
			}
		}
	}
}
