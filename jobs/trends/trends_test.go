package trends

import (
	"fmt"
	"testing"
	"time"
)

func TestContinue(t *testing.T) {
	past := []Row{{Date: "2025-03-01", Measure: "a"}, {Date: "2025-03-02", Measure: "b"}, {Date: "2025-03-03", Measure: "c"}}
	got := Continue(past, []Row{{Date: "2025-03-02", Measure: "new"}}, "2025-03-02")
	if want := "[{2025-03-01  0  a 0} {2025-03-02  0  new 0}]"; fmt.Sprint(got) != want {
		t.Errorf("a date repeated: %v, want %s", got, want)
	}
	// The newest stay.
	var long []Row
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range Dates + 50 {
		for range 3 {
			long = append(long, Row{Date: day.AddDate(0, 0, i).Format(time.DateOnly)})
		}
	}
	got = Continue(long, []Row{{Date: "2025-01-01"}}, "2025-01-01")
	if len(got) != 3*(Dates-1)+1 || got[0].Date != day.AddDate(0, 0, 51).Format(time.DateOnly) {
		t.Errorf("%d rows, the first of %s", len(got), got[0].Date)
	}
}
