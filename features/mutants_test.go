package features_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// setMutant switches a mutant on. It is there when featuretest's mutation runner
// has compiled the package.
var setMutant func(number, limit int) (steps int)

// With SHOAL_MUTANT set, the tests run with that mutant.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("SHOAL_MUTANT")); err == nil && setMutant != nil {
		setMutant(n, 0)
	}
	os.Exit(m.Run())
}

// A proof is a history on which some test holds every column against its SQL.
type proof struct {
	store    *timeline.Store
	params   features.Params
	families []string
	asOfs    []timeline.AsOf
}

func proofs(t *testing.T) []proof {
	names := func(p features.Params) (names []string) {
		for _, f := range features.All(p) {
			names = append(names, f.Name)
		}
		return names
	}
	every := names(features.DefaultParams())
	custom, seasons := []string{"custom"}, features.DefaultParams()
	seasons.Occasions = everyOccasion(t)
	var ps []proof
	for _, c := range cases(t) {
		store := load(t, proven(), 1, timeline.Options{Zone: c.zone})
		ps = append(ps, proof{store, features.DefaultParams(), every, c.asOfs}, proof{store, customParams(), custom, c.asOfs})
	}
	utc := func(es []event) *timeline.Store { return load(t, es, 1, timeline.Options{Zone: time.UTC}) }
	ps = append(ps,
		proof{utc(parameterHistory()), otherParams, names(otherParams), asOfs(t, time.UTC, "2023-10-29")},
		proof{loadBare(t, bareHistory()), features.DefaultParams(), every, asOfs(t, time.UTC, "2023-10-29")},
		proof{utc(hardAmounts()), customParams(), custom, asOfs(t, time.UTC, "2024-02-20")},
		proof{utc(everyDay()), seasons, []string{"occasions"}, asOfs(t, time.UTC, occasionDates...)})
	for _, c := range hardCases(t) {
		ps = append(ps, proof{load(t, c.events, 1, c.opts), features.DefaultParams(), every, asOfs(t, c.opts.Zone, c.dates...)})
	}
	return ps
}

// TestJudgeMutants says of each mutant in SHOAL_MUTANTS, by a line on the file
// descriptor 3, whether its values differ from the unaltered code's, which it
// keeps in the file SHOAL_VALUES. A mutant's own family is asked first, then all.
func TestJudgeMutants(t *testing.T) {
	if os.Getenv("SHOAL_VALUES") == "" {
		t.Skip("SHOAL_VALUES is not set: the mutation runner of featuretest sets it")
	}
	limits, set := 0, setMutant
	if set == nil {
		set = func(int, int) int { return 0 } // this program is a mutant itself
	}
	ps := proofs(t)
	path := os.Getenv("SHOAL_VALUES")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		var all []byte
		for _, p := range ps {
			for _, f := range p.families {
				values, err := p.values(t, f)
				if err != nil {
					t.Fatal(err)
				}
				all = binary.LittleEndian.AppendUint64(all, uint64(len(values)))
				for _, v := range values {
					all = binary.LittleEndian.AppendUint64(all, math.Float64bits(v))
				}
			}
		}
		if err := os.WriteFile(path, all, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := make([][][]float64, len(ps)) // by proof and family
	for k, p := range ps {
		for range p.families {
			values := make([]float64, binary.LittleEndian.Uint64(text))
			text = text[8:]
			for j := range values {
				values[j], text = math.Float64frombits(binary.LittleEndian.Uint64(text)), text[8:]
			}
			want[k] = append(want[k], values)
		}
	}
	if len(text) != 0 {
		t.Fatalf("%d bytes of values are left over", len(text))
	}
	// The unaltered code takes so many steps; a mutant of it may take fifty times as many.
	if setMutant != nil {
		set(0, 0)
		for k, p := range ps {
			for i, f := range p.families {
				if values, err := p.values(t, f); err != nil || differ(want[k][i], values) {
					t.Fatalf("the switched code computes %s differently: %v", f, err)
				}
				limits = max(limits, set(0, 0))
			}
		}
	}
	answers := os.NewFile(3, "answers")
	for _, ask := range strings.Split(os.Getenv("SHOAL_MUTANTS"), ",") {
		number, family, _ := strings.Cut(ask, " ")
		if ask == "" {
			number = "0"
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		verdict := ""
		try := func(own bool) {
			for k, p := range ps {
				for i, f := range p.families {
					if verdict != "" || (f == family) != own {
						continue
					}
					set(n, 50*limits)
					values, err := p.values(t, f)
					set(0, 0)
					switch {
					case err != nil:
						verdict = "crash or hang"
					case differ(want[k][i], values):
						verdict = "comparison with SQL"
					}
				}
			}
		}
		try(true)
		try(false)
		if _, err := fmt.Fprintln(answers, strings.TrimSpace(number+" "+verdict)); err != nil {
			t.Fatal(err)
		}
	}
}

// values are those of one family, of every customer and as-of date in order. The
// family is made anew, since a mutant may be in what makes it.
func (p *proof) values(t *testing.T, family string) (values []float64, err error) {
	guard := func(do func()) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%v", r)
			}
		}()
		do()
		return nil
	}
	var f features.Family
	var fill features.Fill
	err = guard(func() {
		all := features.All(p.params)
		f = all[slices.IndexFunc(all, func(f features.Family) bool { return f.Name == family })]
		fill = f.New(p.store.Values)
	})
	if err != nil {
		return nil, err
	}
	width := len(f.Columns)
	err = p.store.Replay(t.Context(), 1, func(_, _ int, tl *timeline.Timeline) error {
		for _, a := range p.asOfs {
			h, ok := tl.Before(a)
			if !ok {
				continue
			}
			for range width {
				values = append(values, math.NaN())
			}
			if err := guard(func() { fill(&h, values[len(values)-width:]) }); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	return values, err
}

// differ reports whether values differ by more than the tolerance of the
// comparison with SQL on either side of its answer.
func differ(a, b []float64) bool {
	for i, v := range a {
		w := b[i]
		if v != w && !(math.IsNaN(v) && math.IsNaN(w)) && !(math.Abs(v-w) < 2e-9*max(1, math.Abs(v), math.Abs(w))) {
			return true
		}
	}
	return len(a) != len(b)
}

func TestDiffer(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want bool
	}{
		{[]float64{1, math.NaN(), 3}, []float64{1, math.NaN(), 3.000000001}, false},
		{[]float64{1, math.NaN(), 3}, []float64{1, math.NaN(), 3.1}, true},
		{[]float64{1, math.NaN(), 3}, []float64{1, 2, 3}, true},
		{[]float64{1}, []float64{math.NaN()}, true},
		{[]float64{math.Inf(1)}, []float64{math.Inf(-1)}, true},
	} {
		if got := differ(c.a, c.b); got != c.want {
			t.Errorf("%v and %v differ: %v", c.a, c.b, got)
		}
	}
}
