package nightly

import (
	"errors"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Records come in order, and whichever side fails, the other ends and the failure is told.
func TestAhead(t *testing.T) {
	record := func(v int64) arrow.Record {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		b.Append(v)
		return array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64}}, nil), []arrow.Array{b.NewArray()}, 1)
	}
	broken, full := errors.New("broken"), errors.New("disk full")
	for _, c := range []struct {
		name         string
		breaks, full int64 // the record that cannot be made, or written
		want         error
		written      int
	}{
		{"all is well", -1, -1, nil, 100},
		{"a record cannot be made", 50, -1, broken, 50},
		{"a record cannot be written", -1, 50, full, 50},
	} {
		var written []int64
		err := ahead(t.Context(), func(yield func(arrow.Record) error) error {
			for v := range int64(100) {
				if v == c.breaks {
					return broken
				}
				if err := yield(record(v)); err != nil {
					return err
				}
			}
			return nil
		}, func(rec arrow.Record) error {
			v := rec.Column(0).(*array.Int64).Value(0)
			if v == c.full {
				return full
			}
			written = append(written, v)
			return nil
		})
		if !errors.Is(err, c.want) || len(written) != c.written || !slices.IsSorted(written) {
			t.Errorf("%s: %d written in order %v: %v", c.name, len(written), slices.IsSorted(written), err)
		}
	}
}
