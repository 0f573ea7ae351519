package datasets

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// A Field is one canonical field of an event. A source's columns are mapped
// onto fields by name.
type Field uint8

// The canonical fields. CustomerID and EventTime are required of every source.
const (
	CustomerID Field = iota
	EventTime
	EventType
	Amount
	Currency
	Quantity
	ProductID
	Category
	Channel
	CampaignID
	SessionID
	EventID
	Rating
	Consent
	NumFields int = iota
)

var fieldNames = [NumFields]string{
	"customer_id", "event_time", "event_type", "amount", "currency", "quantity", "product_id", "category",
	"channel", "campaign_id", "session_id", "event_id", "rating", "consent",
}

func (f Field) String() string {
	if int(f) < NumFields {
		return fieldNames[f]
	}
	return fmt.Sprintf("field(%d)", uint8(f))
}

// Fields lists the canonical fields in order.
func Fields() []Field {
	fs := make([]Field, NumFields)
	for i := range fs {
		fs[i] = Field(i)
	}
	return fs
}

// ParseField reads a field's name.
func ParseField(s string) (Field, error) {
	for f, name := range fieldNames {
		if s == name {
			return Field(f), nil
		}
	}
	return 0, fmt.Errorf("unknown event field %q (fields are %s)", s, strings.Join(fieldNames[:], ", "))
}

// IDType is the type customer ids have in the source, and so in every
// published table. Sources of one job must agree on it.
type IDType struct {
	Kind  IDKind
	Width int  // bytes, for IDFixed
	UUID  bool // IDFixed of 16 bytes annotated as UUID
}

// IDKind is the physical kind of a customer id.
type IDKind uint8

// The kinds of customer id.
const (
	IDUnknown IDKind = iota
	IDString         // UTF-8 text (or unannotated bytes)
	IDInt32
	IDInt64
	IDFixed // fixed-length bytes
)

func (t IDType) String() string {
	switch {
	case t.Kind == IDString:
		return "string"
	case t.Kind == IDInt32:
		return "int32"
	case t.Kind == IDInt64:
		return "int64"
	case t.Kind == IDFixed && t.UUID:
		return "uuid"
	case t.Kind == IDFixed:
		return fmt.Sprintf("fixed[%d]", t.Width)
	}
	return "unknown"
}

// AppendIntID appends the dictionary form of an integer id: eight bytes, big
// endian, sign flipped, so that bytes sort as the integers do.
func AppendIntID(dst []byte, v int64) []byte {
	u := uint64(v) ^ 1<<63
	return append(dst, byte(u>>56), byte(u>>48), byte(u>>40), byte(u>>32), byte(u>>24), byte(u>>16), byte(u>>8), byte(u))
}

// IntID reads the integer that AppendIntID wrote.
func IntID(b string) int64 {
	var u uint64
	for i := range 8 {
		u = u<<8 | uint64(b[i])
	}
	return int64(u ^ 1<<63)
}

// Format renders a dictionary-form id for messages and logs.
func (t IDType) Format(id string) string {
	switch t.Kind {
	case IDInt32, IDInt64:
		return fmt.Sprint(IntID(id))
	case IDFixed:
		if t.UUID && len(id) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
		}
		return fmt.Sprintf("%x", id)
	}
	return id
}

// Parse reads an id as a person types it, the way Format renders it, into its
// dictionary form.
func (t IDType) Parse(s string) (string, error) {
	switch t.Kind {
	case IDInt32, IDInt64:
		bits := 64
		if t.Kind == IDInt32 {
			bits = 32
		}
		v, err := strconv.ParseInt(s, 10, bits)
		if err != nil {
			return "", fmt.Errorf("customer ids are whole numbers of %d bits, and %q is not one", bits, s)
		}
		return string(AppendIntID(nil, v)), nil
	case IDFixed:
		digits := s
		if t.UUID {
			digits = strings.ReplaceAll(s, "-", "")
		}
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) != t.Width {
			what := fmt.Sprintf("%d hexadecimal digits", 2*t.Width)
			if t.UUID {
				what = "UUIDs, as 123e4567-e89b-12d3-a456-426614174000"
			}
			return "", fmt.Errorf("customer ids are %s, and %q is not", what, s)
		}
		return string(b), nil
	}
	if s == "" {
		return "", fmt.Errorf("a customer id cannot be empty")
	}
	return s, nil
}

// Dicts holds the dictionaries behind the coded columns of every Batch of one
// job. Code 0 is null in each of them.
type Dicts struct {
	Customer *Dict // dictionary form of the id, see IDType
	Type     *Dict // event types as the source spells them
	Currency *Dict
	Product  *Dict
	Category *Dict
	Channel  *Dict
	Campaign *Dict
}

// NewDicts returns empty dictionaries.
func NewDicts() *Dicts {
	return &Dicts{NewDict(), NewDict(), NewDict(), NewDict(), NewDict(), NewDict(), NewDict()}
}

// A Batch is a block of accepted events in columnar form: every non-nil slice
// has the same length. Customer, Time, Role and Type are always present; the
// others are nil when the source does not map that field. The consumer owns a
// batch only during the call that delivers it; producers reuse the memory.
type Batch struct {
	Customer []uint32 // code in Dicts.Customer, never 0
	Time     []int64  // µs since 1970-01-01 UTC
	Role     []Role
	Type     []uint32 // code in Dicts.Type; 0 when the source has no event type
	Amount   []Money  // NullMoney when absent
	Quantity []Money  // fixed point like Money, NullMoney when absent
	Rating   []Money  // fixed point like Money, NullMoney when absent
	Currency []uint32
	Product  []uint32
	Category []uint32
	Channel  []uint32
	Campaign []uint32
	Session  []uint64 // HashID of the id, 0 when absent
	EventID  []uint64 // likewise
}

// HashID stands for an event or session id, of which only equality within a
// customer matters: keeping millions of distinct texts would cost more than the events.
// Two ids of one customer with n events collide with a probability of n²/2⁶⁵.
// It is never 0.
func HashID(id []byte) uint64 { return max(xxh3.Hash(id), 1) }

// Len is the number of events in the batch.
func (b *Batch) Len() int { return len(b.Time) }
