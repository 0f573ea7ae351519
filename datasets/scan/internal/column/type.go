package column

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

// A Type is what a column holds, as the reader needs to know it.
type Type struct {
	Kind     Kind
	NullOnly bool // annotated as holding nulls only
	Physical format.Type
	Unsigned bool
	Bits     int  // of an integer; of FLOAT 32, of DOUBLE 64
	Unit     Unit // of a timestamp
	INT96    bool // a timestamp in the old form of 12 bytes
	UTC      bool // a timestamp is an instant; otherwise what a clock showed
	Scale    int  // of a decimal: its unscaled value counts units of 10^-Scale
	Width    int  // of fixed bytes
	UUID     bool
	Name     string // for people
}

// PartitionKey is the type of the keys of paths and of other constants: text.
var PartitionKey = Type{Kind: KindString, Physical: format.ByteArray, Name: "partition key"}

// Describe reads the annotations of a leaf, new or old.
func Describe(l *footer.Leaf) Type {
	e := l.Element
	t := Type{Physical: e.Type.V, Width: int(e.TypeLength.V)}
	conv := deprecated.ConvertedType(-1)
	if e.ConvertedType.Valid {
		conv = e.ConvertedType.V
	}
	logical := e.LogicalType.Value
	if l.Repeated {
		t.Name = "a list or map of " + t.Physical.String()
		return t
	}
	_, t.NullOnly = logical.(*format.NullType)
	switch t.Physical {
	case format.Boolean:
		t.Kind = KindBool
	case format.Int32, format.Int64:
		t.Bits = 32
		if t.Physical == format.Int64 {
			t.Bits = 64
		}
		t.describeInteger(logical, conv, e)
	case format.Int96:
		t.Kind, t.INT96, t.UTC = KindTimestamp, true, true
	case format.Float:
		t.Kind, t.Bits = KindFloat, 32
	case format.Double:
		t.Kind, t.Bits = KindFloat, 64
	case format.ByteArray:
		t.Kind = KindBytes
		switch v := logical.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			t.Kind = KindString
		case *format.DecimalType:
			t.Kind, t.Scale = KindDecimal, int(v.Scale)
		case nil:
			switch conv {
			case deprecated.UTF8, deprecated.Enum, deprecated.Json:
				t.Kind = KindString
			case deprecated.Decimal:
				t.Kind, t.Scale = KindDecimal, int(e.Scale.V)
			case deprecated.Bson:
				t.Kind = KindOther
			}
		default:
			t.Kind = KindOther
		}
	case format.FixedLenByteArray:
		t.Kind = KindFixed
		switch v := logical.(type) {
		case *format.DecimalType:
			t.Kind, t.Scale = KindDecimal, int(v.Scale)
		case *format.UUIDType:
			t.UUID = t.Width == 16
		case nil:
			switch conv {
			case deprecated.Decimal:
				t.Kind, t.Scale = KindDecimal, int(e.Scale.V)
			case deprecated.Interval:
				t.Kind = KindOther
			}
		default:
			t.Kind = KindOther
		}
	}
	if t.Kind == KindDecimal && (t.Scale < 0 || t.Scale > 76) {
		t.Kind = KindOther
	}
	t.Name = t.Physical.String()
	switch {
	case logical != nil:
		t.Name += " " + logical.String()
	case conv >= 0:
		t.Name += " " + convertedNames[conv]
	}
	return t
}

// describeInteger reads the annotations of an INT32 or INT64.
func (t *Type) describeInteger(logical format.LogicalTypeValue, conv deprecated.ConvertedType, e *format.SchemaElement) {
	t.Kind = KindInt64
	if t.Bits == 32 {
		t.Kind = KindInt32
	}
	unsigned := func(bits int) {
		t.Unsigned = true
		if bits >= 32 {
			t.Kind = KindInt64
		}
	}
	switch v := logical.(type) {
	case *format.DecimalType:
		t.Kind, t.Scale = KindDecimal, int(v.Scale)
	case *format.DateType:
		t.Kind = KindDate
	case *format.TimeType:
		t.Kind = KindTime
	case *format.TimestampType:
		t.Kind, t.UTC = KindTimestamp, v.IsAdjustedToUTC
		switch v.Unit.Value.(type) {
		case *format.MilliSeconds:
			t.Unit = UnitMilli
		case *format.MicroSeconds:
			t.Unit = UnitMicro
		case *format.NanoSeconds:
			t.Unit = UnitNano
		default:
			t.Kind = KindOther
		}
	case *format.IntType:
		if !v.IsSigned {
			unsigned(int(v.BitWidth))
		}
	case nil:
		switch conv {
		case deprecated.Decimal:
			t.Kind, t.Scale = KindDecimal, int(e.Scale.V)
		case deprecated.Date:
			t.Kind = KindDate
		case deprecated.TimeMillis, deprecated.TimeMicros:
			t.Kind = KindTime
		case deprecated.TimestampMillis:
			t.Kind, t.Unit, t.UTC = KindTimestamp, UnitMilli, true
		case deprecated.TimestampMicros:
			t.Kind, t.Unit, t.UTC = KindTimestamp, UnitMicro, true
		case deprecated.Uint8, deprecated.Uint16:
			unsigned(16)
		case deprecated.Uint32, deprecated.Uint64:
			unsigned(64)
		}
	case *format.NullType:
	default:
		t.Kind = KindOther
	}
}

// convertedNames are the names of the old annotations, as parquet.thrift spells them.
var convertedNames = map[deprecated.ConvertedType]string{
	deprecated.UTF8: "UTF8", deprecated.Map: "MAP", deprecated.MapKeyValue: "MAP_KEY_VALUE", deprecated.List: "LIST",
	deprecated.Enum: "ENUM", deprecated.Decimal: "DECIMAL", deprecated.Date: "DATE", deprecated.TimeMillis: "TIME_MILLIS",
	deprecated.TimeMicros: "TIME_MICROS", deprecated.TimestampMillis: "TIMESTAMP_MILLIS", deprecated.TimestampMicros: "TIMESTAMP_MICROS",
	deprecated.Uint8: "UINT_8", deprecated.Uint16: "UINT_16", deprecated.Uint32: "UINT_32", deprecated.Uint64: "UINT_64",
	deprecated.Int8: "INT_8", deprecated.Int16: "INT_16", deprecated.Int32: "INT_32", deprecated.Int64: "INT_64",
	deprecated.Json: "JSON", deprecated.Bson: "BSON", deprecated.Interval: "INTERVAL",
}

// WhyUnfit says why a column of the type cannot be read as the field; "" when it can.
func (t *Type) WhyUnfit(f datasets.Field) string {
	if t.NullOnly {
		return ""
	}
	var kinds []Kind
	switch f {
	case datasets.CustomerID:
		if t.Kind == KindDecimal && t.Scale == 0 {
			return ""
		}
		if t.Kind == KindFloat {
			return "a customer id must be an integer, text or fixed bytes; write the column as an integer, nulls and all"
		}
		kinds = []Kind{KindInt32, KindInt64, KindString, KindBytes, KindFixed}
	case datasets.EventTime:
		kinds = []Kind{KindTimestamp, KindDate, KindInt32, KindInt64, KindString, KindBytes}
	case datasets.Amount, datasets.Quantity, datasets.Rating:
		kinds = []Kind{KindDecimal, KindFloat, KindInt32, KindInt64, KindString, KindBytes}
	case datasets.Consent:
		kinds = []Kind{KindBool, KindInt32, KindInt64, KindString, KindBytes}
	default:
		if t.Kind == KindFixed && t.UUID {
			return ""
		}
		if t.Kind == KindFloat && t.Bits == 32 {
			return fmt.Sprintf("%v must be text, and FLOAT has no text that every tool agrees on; write the column as an integer or as text", f)
		}
		kinds = []Kind{KindString, KindBytes, KindInt32, KindInt64, KindBool, KindDecimal, KindFloat}
	}
	if slices.Contains(kinds, t.Kind) {
		return ""
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return fmt.Sprintf("%v must be one of %s", f, strings.Join(names, ", "))
}

// IDType is the type that a customer column gives its ids.
func (t *Type) IDType() datasets.IDType {
	switch t.Kind {
	case KindInt32:
		return datasets.IDType{Kind: datasets.IDInt32}
	case KindInt64, KindDecimal:
		return datasets.IDType{Kind: datasets.IDInt64}
	case KindFixed:
		return datasets.IDType{Kind: datasets.IDFixed, Width: t.Width, UUID: t.UUID}
	}
	return datasets.IDType{Kind: datasets.IDString}
}

// UnifyIDs is the id type of ids of types a and b together, false when they have none.
func UnifyIDs(a, b datasets.IDType) (datasets.IDType, bool) {
	ints := func(t datasets.IDType) bool { return t.Kind == datasets.IDInt32 || t.Kind == datasets.IDInt64 }
	switch {
	case a == b || b.Kind == datasets.IDUnknown:
		return a, true
	case a.Kind == datasets.IDUnknown:
		return b, true
	case ints(a) && ints(b):
		return datasets.IDType{Kind: datasets.IDInt64}, true
	}
	return a, false
}
