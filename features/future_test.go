package features

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// A family that looks past the end of the history, which takes unsafe, is told
// on; the catalogue is not.
func TestPlantedFutureIsTold(t *testing.T) {
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, 1)
	var b datasets.Batch
	for c := range 3000 {
		code := dicts.Customer.CodeString(string(rune('a'+c%26)) + string(rune('A'+c/26)))
		for k := range 4 {
			b.Customer = append(b.Customer, code)
			b.Time = append(b.Time, time.Date(2024, 1, 1+10*k+c%5, c%24, 0, 0, 0, time.UTC).UnixMicro())
			b.Role = append(b.Role, []datasets.Role{datasets.View, datasets.Purchase}[(c+k)%2])
			b.Type = append(b.Type, 0)
			b.Amount = append(b.Amount, datasets.Money(10_000*(c+k)))
		}
	}
	if err := log.Append(0, &b); err != nil {
		t.Fatal(err)
	}
	store := log.Freeze(timeline.Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}})
	at, err := timeline.ParseAsOf("2024-01-18", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	leak := Family{Name: "leak", Columns: []Column{{Name: "honest"}, {Name: "next_day"}}, New: func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			out[0] = float64(h.Len())
			out[1] = float64(unsafe.Slice(&h.Day[0], h.Len()+1)[h.Len()])
		}
	}}
	for _, c := range []struct {
		families []Family
		want     []string
	}{{All(DefaultParams()), nil}, {append(All(DefaultParams()), leak), []string{"next_day"}}} {
		var told []string
		snapshot := Snapshot{AsOf: at, Future: func(column string) { told = append(told, column) }}
		err := Build(t.Context(), store, c.families, []Snapshot{snapshot}, 1, func(int, Batch) error { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(told)
		if got := slices.Compact(told); !slices.Equal(got, c.want) {
			t.Errorf("told of %v, want %v", got, c.want)
		}
	}
}
