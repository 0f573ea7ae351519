package partition

import (
	"time"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A Layout says how rows become columns.
type Layout struct {
	Start          time.Time // of the history: names the weeks of campaigns
	IntegerIDs     bool      // customer_id int64 rather than string
	DecimalAmounts bool      // amount decimal(18,4) rather than double
	Currency       string
}

// Columns of the events, in file order.
const (
	colCustomer = iota
	colTime
	colType
	colAmount
	colCurrency
	colQuantity
	colProduct
	colCategory
	colChannel
	colCampaign
	colSession
	colEvent
	colRating
	numColumns
)

var columnNames = [numColumns]string{
	"customer_id", "event_time", "event_type", "amount", "currency", "quantity", "product_id", "category",
	"channel", "campaign_id", "session_id", "event_id", "rating",
}

// physical is the Parquet type of column c.
func (l *Layout) physical(c int) format.Type {
	switch c {
	case colCustomer:
		if l.IntegerIDs {
			return format.Int64
		}
	case colTime:
		return format.Int64
	case colAmount:
		if l.DecimalAmounts {
			return format.Int64
		}
		return format.Double
	case colQuantity, colRating:
		return format.Int32
	}
	return format.ByteArray
}

// hasDictionary says whether column c is dictionary encoded.
func (l *Layout) hasDictionary(c int) bool {
	return l.physical(c) == format.ByteArray && c != colEvent
}

// eventSchema is the schema of the events: a root and numColumns optional leaves.
func (l *Layout) eventSchema() []format.SchemaElement {
	schema := []format.SchemaElement{{Name: "event", NumChildren: thrift.New[int32](numColumns)}}
	for c, name := range columnNames {
		e := format.SchemaElement{
			Name: name, Type: thrift.New(l.physical(c)), RepetitionType: thrift.New(format.Optional),
		}
		switch {
		case l.physical(c) == format.ByteArray:
			e.ConvertedType = thrift.New(deprecated.UTF8)
			e.LogicalType.Value = new(format.StringType)
		case c == colTime:
			e.ConvertedType = thrift.New(deprecated.TimestampMicros)
			e.LogicalType.Value = &format.TimestampType{
				IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: new(format.MicroSeconds)},
			}
		case c == colAmount && l.DecimalAmounts:
			e.ConvertedType = thrift.New(deprecated.Decimal)
			e.Scale, e.Precision = thrift.New[int32](4), thrift.New[int32](18)
			e.LogicalType.Value = &format.DecimalType{Scale: 4, Precision: 18}
		}
		schema = append(schema, e)
	}
	return schema
}

// ColumnNames lists the columns in file order.
func ColumnNames() []string { return append([]string(nil), columnNames[:]...) }

// AppendID writes the string form of customer number n: C and nine digits, so
// that ids sort as numbers do.
func AppendID(dst []byte, n uint32) []byte {
	var b [10]byte
	b[0] = 'C'
	for i := len(b) - 1; i > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, b[:]...)
}
