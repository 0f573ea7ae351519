package outputs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
)

// Numbers about few customers are null, and nothing else is; a table of customers stays.
func TestSuppress(t *testing.T) {
	sizes, positives := []int{3, 10, 0, 500, 9}, []int{1, 4, 0, 499, 0}
	columns := []Column{
		Text("segment", "which", func(i int) (string, bool) { return string(rune('a' + i)), true }),
		Small("segment_id", "its id", func(i int) (int, bool) { return i + 1, true }),
		Integer("customers", "customers", "how many", func(i int) (int, bool) { return sizes[i], true }),
		Integer("positives", "customers", "of these", func(i int) (int, bool) { return positives[i], true }),
		Float("mean", "days", "of them", func(i int) float64 { return float64(i) + .5 }),
		Money("revenue", "of them", func(i int) float64 { return float64(100 * i) }),
		Text("description", "of them", func(i int) (string, bool) { return "buys", true }),
	}
	show := func(table Table) string {
		var b strings.Builder
		err := table.Records(func(r arrow.Record) error {
			for i := range int(r.NumRows()) {
				for j := range int(r.NumCols()) {
					if r.Column(j).IsNull(i) {
						b.WriteString("- ")
					} else {
						fmt.Fprintf(&b, "%s ", r.Column(j).ValueStr(i))
					}
				}
				b.WriteByte('\n')
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	want := `a 1 - - - - - 
b 2 10 - 1.5 100 buys 
c 3 0 0 2.5 200 buys 
d 4 500 499 3.5 300 buys 
e 5 - - - - - 
`
	if got := show(FromColumns("t", columns, 5).Suppress(10)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	whole := show(FromColumns("t", columns, 5))
	if strings.Contains(whole, "-") || show(FromColumns("t", columns, 5).Suppress(0)) != whole || show(FromColumns("t", columns, 5).Suppress(1)) != whole {
		t.Errorf("nothing is to be suppressed:\n%s", whole)
	}
	columns = append(columns, Text("customer_id", "who", func(int) (string, bool) { return "x", true }))
	if rows := show(FromColumns("t", columns, 5).Suppress(10)); strings.Contains(rows, "-") {
		t.Errorf("a table of customers:\n%s", rows)
	}
}
