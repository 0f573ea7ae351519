package scan

import (
	"fmt"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/pages"
)

// A colType is what a column holds, as the reader needs to know it.
type colType struct {
	kind     Kind
	null     bool // annotated as holding nulls only
	physical format.Type
	unsigned bool
	bits     int  // of an integer; of FLOAT 32, of DOUBLE 64
	unit     Unit // of a timestamp
	int96    bool
	utc      bool // a timestamp is an instant; otherwise what a clock showed
	scale    int
	width    int // of fixed bytes
	uuid     bool
	name     string // for people
}

// partitionType is the type of partition keys and other constants: text.
var partitionType = colType{kind: KindString, physical: format.ByteArray, name: "partition key"}

// describe reads the annotations of a leaf, new or old.
func describe(l *pages.Leaf) colType {
	e := l.Element
	t := colType{physical: e.Type.V, width: int(e.TypeLength.V)}
	conv := deprecated.ConvertedType(-1)
	if e.ConvertedType.Valid {
		conv = e.ConvertedType.V
	}
	logical := e.LogicalType.Value
	if l.Repeated {
		t.name = "a list or map of " + t.physical.String()
		return t
	}
	_, t.null = logical.(*format.NullType)
	switch t.physical {
	case format.Boolean:
		t.kind = KindBool
	case format.Int32, format.Int64:
		t.bits = 32
		if t.physical == format.Int64 {
			t.bits = 64
		}
		t.integer(logical, conv, e)
	case format.Int96:
		t.kind, t.int96, t.utc = KindTimestamp, true, true
	case format.Float:
		t.kind, t.bits = KindFloat, 32
	case format.Double:
		t.kind, t.bits = KindFloat, 64
	case format.ByteArray:
		t.kind = KindBytes
		switch v := logical.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			t.kind = KindString
		case *format.DecimalType:
			t.kind, t.scale = KindDecimal, int(v.Scale)
		case nil:
			switch conv {
			case deprecated.UTF8, deprecated.Enum, deprecated.Json:
				t.kind = KindString
			case deprecated.Decimal:
				t.kind, t.scale = KindDecimal, int(e.Scale.V)
			case deprecated.Bson:
				t.kind = KindOther
			}
		default:
			t.kind = KindOther
		}
	case format.FixedLenByteArray:
		t.kind = KindFixed
		switch v := logical.(type) {
		case *format.DecimalType:
			t.kind, t.scale = KindDecimal, int(v.Scale)
		case *format.UUIDType:
			t.uuid = t.width == 16
		case nil:
			switch conv {
			case deprecated.Decimal:
				t.kind, t.scale = KindDecimal, int(e.Scale.V)
			case deprecated.Interval:
				t.kind = KindOther
			}
		default:
			t.kind = KindOther
		}
	}
	if t.kind == KindDecimal && (t.scale < 0 || t.scale > 76) {
		t.kind = KindOther
	}
	t.name = t.physical.String()
	switch {
	case logical != nil:
		t.name += " " + logical.String()
	case conv >= 0:
		t.name += " " + convertedNames[conv]
	}
	return t
}

func (t *colType) integer(logical format.LogicalTypeValue, conv deprecated.ConvertedType, e *format.SchemaElement) {
	t.kind = KindInt64
	if t.bits == 32 {
		t.kind = KindInt32
	}
	unsigned := func(bits int) {
		t.unsigned = true
		if bits >= 32 {
			t.kind = KindInt64
		}
	}
	switch v := logical.(type) {
	case *format.DecimalType:
		t.kind, t.scale = KindDecimal, int(v.Scale)
	case *format.DateType:
		t.kind = KindDate
	case *format.TimeType:
		t.kind = KindTime
	case *format.TimestampType:
		t.kind, t.utc = KindTimestamp, v.IsAdjustedToUTC
		switch v.Unit.Value.(type) {
		case *format.MilliSeconds:
			t.unit = UnitMilli
		case *format.MicroSeconds:
			t.unit = UnitMicro
		case *format.NanoSeconds:
			t.unit = UnitNano
		default:
			t.kind = KindOther
		}
	case *format.IntType:
		if !v.IsSigned {
			unsigned(int(v.BitWidth))
		}
	case nil:
		switch conv {
		case deprecated.Decimal:
			t.kind, t.scale = KindDecimal, int(e.Scale.V)
		case deprecated.Date:
			t.kind = KindDate
		case deprecated.TimeMillis, deprecated.TimeMicros:
			t.kind = KindTime
		case deprecated.TimestampMillis:
			t.kind, t.unit, t.utc = KindTimestamp, UnitMilli, true
		case deprecated.TimestampMicros:
			t.kind, t.unit, t.utc = KindTimestamp, UnitMicro, true
		case deprecated.Uint8, deprecated.Uint16:
			unsigned(16)
		case deprecated.Uint32, deprecated.Uint64:
			unsigned(64)
		}
	case *format.NullType:
	default:
		t.kind = KindOther
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

// accepts says why a column of the type cannot be read as the field; "" when it can.
func (t *colType) accepts(f datasets.Field) string {
	if t.null {
		return ""
	}
	var kinds []Kind
	switch f {
	case datasets.CustomerID:
		if t.kind == KindDecimal && t.scale == 0 {
			return ""
		}
		if t.kind == KindFloat {
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
		if t.kind == KindFixed && t.uuid {
			return ""
		}
		if t.kind == KindFloat && t.bits == 32 {
			return fmt.Sprintf("%v must be text, and FLOAT has no text that every tool agrees on; write the column as an integer or as text", f)
		}
		kinds = []Kind{KindString, KindBytes, KindInt32, KindInt64, KindBool, KindDecimal, KindFloat}
	}
	if slices.Contains(kinds, t.kind) {
		return ""
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return fmt.Sprintf("%v must be one of %s", f, strings.Join(names, ", "))
}

// idType is the type that a customer column gives its ids.
func (t *colType) idType() datasets.IDType {
	switch t.kind {
	case KindInt32:
		return datasets.IDType{Kind: datasets.IDInt32}
	case KindInt64, KindDecimal:
		return datasets.IDType{Kind: datasets.IDInt64}
	case KindFixed:
		return datasets.IDType{Kind: datasets.IDFixed, Width: t.width, UUID: t.uuid}
	}
	return datasets.IDType{Kind: datasets.IDString}
}

// unifyID is the id type of ids of types a and b together.
func unifyID(a, b datasets.IDType) (datasets.IDType, bool) {
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

// A partitionKey is a key=value directory of a path.
type partitionKey struct {
	key, value string
	null       bool
}

// partitions lists the key=value directories of a path. Keys and values are
// URL-decoded; __HIVE_DEFAULT_PARTITION__ is null.
func partitions(file string) []partitionKey {
	var keys []partitionKey
	for dir := range strings.SplitSeq(path.Dir(file), "/") {
		key, value, found := strings.Cut(dir, "=")
		if !found || key == "" {
			continue
		}
		if k, err := url.PathUnescape(key); err == nil {
			key = k
		}
		if v, err := url.PathUnescape(value); err == nil {
			value = v
		}
		p := partitionKey{key: key, value: value, null: value == "__HIVE_DEFAULT_PARTITION__"}
		keys = append(keys, p)
	}
	return keys
}

// findLeaf is the position of the column of the given name, -1 when there is
// none. A name with dots may be a path or a name.
func findLeaf(leaves []pages.Leaf, name string) int {
	return slices.IndexFunc(leaves, func(l pages.Leaf) bool { return l.Name() == name })
}

// isGroup says whether the name is that of a group of columns.
func isGroup(leaves []pages.Leaf, name string) bool {
	return slices.ContainsFunc(leaves, func(l pages.Leaf) bool { return strings.HasPrefix(l.Name(), name+".") })
}

// nearest is the name closest to what was asked for, "" when none is close.
func nearest(names []string, want string) string {
	best, least := "", math.MaxInt
	for _, n := range names {
		d := levenshtein.ComputeDistance(strings.ToLower(n), strings.ToLower(want))
		if i := strings.LastIndexByte(n, '.'); i >= 0 && strings.EqualFold(n[i+1:], want) {
			d = 0
		}
		if d < least {
			best, least = n, d
		}
	}
	if least > max(1, len(want)/3) {
		return ""
	}
	return best
}
