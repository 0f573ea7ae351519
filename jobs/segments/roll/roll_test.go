package roll

import (
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Every customer is found at its own row, whatever the type of the ids and the
// batches they came in; others are not.
func TestRoll(t *testing.T) {
	for _, kind := range []arrow.DataType{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32, &arrow.FixedSizeBinaryType{ByteWidth: 16}} {
		ids := func(from, to int) arrow.Array {
			b := array.NewBuilder(memory.DefaultAllocator, kind)
			for i := from; i < to; i++ {
				switch b := b.(type) {
				case *array.StringBuilder:
					b.Append(fmt.Sprint("c", i*7919%1000))
				case *array.Int64Builder:
					b.Append(int64(i*7919%1000 - 500))
				case *array.Int32Builder:
					b.Append(int32(i*7919%1000 - 500))
				case *array.FixedSizeBinaryBuilder:
					b.Append(fmt.Appendf(nil, "%016d", i*7919%1000))
				}
			}
			return b.NewArray()
		}
		r := New(kind, 10)
		for from := 0; from < 900; from += 300 {
			if err := r.Add(ids(from, from+300)); err != nil {
				t.Fatal(err)
			}
		}
		r.Sort()
		all := ids(0, 1000)
		for i := range 1000 {
			h, err := Hash(all, i)
			if err != nil {
				t.Fatal(err)
			}
			if row, ok := r.Find(h); ok != (i < 900) || ok && row != i {
				t.Fatalf("%v: customer %d is found (%v) in row %d", kind, i, ok, row)
			}
		}
		if r.Len() != 900 || !arrow.TypeEqual(r.Type(), kind) {
			t.Errorf("%v: %d customers of %v", kind, r.Len(), r.Type())
		}
		if err := r.Add(array.NewBuilder(memory.DefaultAllocator, arrow.FixedWidthTypes.Boolean).NewArray()); err == nil {
			t.Error("ids of another type were taken")
		}
	}
}
