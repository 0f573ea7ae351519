package rfm

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Every one of the 125 cells lies in exactly one box of the grid.
func TestGridMapsEachCellOnce(t *testing.T) {
	held := map[Segment]int{}
	for r := uint8(1); r <= Levels; r++ {
		for f := uint8(1); f <= Levels; f++ {
			for m := uint8(1); m <= Levels; m++ {
				var names []Segment
				for _, box := range grid {
					if box.recency.has(r) && box.frequency.has(f) && box.monetary.has(m) {
						names = append(names, box.segment)
					}
				}
				s := Scores{r, f, m}
				if len(names) != 1 {
					t.Errorf("cell %v lies in %d boxes: %v", s, len(names), names)
					continue
				}
				if s.Segment() != names[0] {
					t.Errorf("cell %v: Segment is %s, its box is %s", s, s.Segment(), names[0])
				}
				held[names[0]]++
			}
		}
	}
	for _, s := range Segments() {
		if s.Meaning() == "" {
			t.Errorf("%s has no meaning", s)
		}
		if (held[s] > 0) == (s == NoPurchase) {
			t.Errorf("%s holds %d cells", s, held[s])
		}
		delete(held, s)
	}
	if len(held) > 0 {
		t.Errorf("segments not listed: %v", held)
	}
	if got := (Scores{}).Segment(); got != NoPurchase {
		t.Errorf("000 is %s", got)
	}
	for _, bad := range []Scores{{0, 1, 1}, {6, 1, 1}, {5, 5, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v has a segment", bad)
				}
			}()
			bad.Segment()
		}()
	}
}

// Of two customers with the same frequency and spend, the one who bought more
// recently is never in a segment further towards lost.
func TestGridIsMonotoneInRecency(t *testing.T) {
	lapsed := map[Segment]int{
		Champions: 0, Loyal: 0, PotentialLoyalist: 0, NewCustomers: 0, Promising: 0,
		NeedAttention: 1, AboutToSleep: 1, CannotLoseThem: 2, AtRisk: 2, Hibernating: 2, Lost: 3,
	}
	for f := uint8(1); f <= Levels; f++ {
		for m := uint8(1); m <= Levels; m++ {
			for r := uint8(2); r <= Levels; r++ {
				older, newer := Scores{r - 1, f, m}.Segment(), Scores{r, f, m}.Segment()
				if lapsed[older] < lapsed[newer] {
					t.Errorf("%d%d%d is %s but %d%d%d, more recent, is %s", r-1, f, m, older, r, f, m, newer)
				}
			}
		}
	}
}

func ones(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func scoresOf(t *testing.T, recency, frequency, monetary []float64) ([]Scores, *Model) {
	t.Helper()
	m, _, err := Fit(recency, frequency, monetary)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Score(nil, recency, frequency, monetary)
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

// Where all values differ the scores are exact quintiles, recency reversed.
func TestQuintiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	n := 1000
	recency, frequency, monetary := make([]float64, n), make([]float64, n), make([]float64, n)
	for i, p := range r.Perm(n) {
		recency[i], frequency[i], monetary[i] = float64(p), float64(1+(p*7)%n), float64(p*p)-3e4
	}
	s, m := scoresOf(t, recency, frequency, monetary)
	var count [3][Levels + 1]int
	for i, c := range s {
		count[0][c.Recency]++
		count[1][c.Frequency]++
		count[2][c.Monetary]++
		if want := uint8(5 - int(recency[i])/200); c.Recency != want {
			t.Fatalf("recency %v scores %d, want %d", recency[i], c.Recency, want)
		}
	}
	want := [Levels + 1]int{0, 200, 200, 200, 200, 200}
	if count != [3][Levels + 1]int{want, want, want} {
		t.Errorf("scores taken %v, want 200 of each", count)
	}
	if m.Recency() != (Cuts{799, 599, 399, 199}) || m.Frequency() != (Cuts{201, 401, 601, 801}) || m.Customers() != n {
		t.Errorf("cut points %v, %v of %d customers", m.Recency(), m.Frequency(), m.Customers())
	}
}

// Against its definition, on values with many ties: s is the greatest score of
// which (s-1)/5 of the customers are strictly worse.
func TestScoresByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		recency, frequency, monetary := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			recency[i] = float64(rapid.IntRange(0, 9).Draw(t, "r"))
			frequency[i] = float64(rapid.IntRange(0, 3).Draw(t, "f"))
			monetary[i] = float64(rapid.IntRange(-2, 40).Draw(t, "m"))
		}
		m, warnings, err := Fit(recency, frequency, monetary)
		if slices.Max(frequency) == 0 {
			if err == nil {
				t.Fatal("nobody purchased, and Fit succeeded")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Score(nil, recency, frequency, monetary)
		if err != nil {
			t.Fatal(err)
		}
		used := [3]map[uint8]bool{{}, {}, {}}
		for i := range n {
			if frequency[i] == 0 {
				if got[i] != (Scores{}) {
					t.Fatalf("customer %d has not purchased and scores %v", i, got[i])
				}
				continue
			}
			var worse [3]int
			buyers := 0
			for j := range n {
				if frequency[j] == 0 {
					continue
				}
				buyers++
				if recency[j] > recency[i] {
					worse[0]++
				}
				if frequency[j] < frequency[i] {
					worse[1]++
				}
				if monetary[j] < monetary[i] {
					worse[2]++
				}
			}
			for d, s := range []uint8{got[i].Recency, got[i].Frequency, got[i].Monetary} {
				used[d][s] = true
				// (s-1)/5 ≤ worse/buyers < s/5
				if 5*worse[d] < (int(s)-1)*buyers || 5*worse[d] >= int(s)*buyers {
					t.Fatalf("customer %d, dimension %d: score %d with %d of %d worse", i, d, s, worse[d], buyers)
				}
			}
			one, err := m.Score(nil, recency[i:i+1], frequency[i:i+1], monetary[i:i+1])
			if err != nil || one[0] != got[i] {
				t.Fatalf("customer %d alone scores %v (%v), in the batch %v", i, one, err, got[i])
			}
		}
		for d, c := range []Cuts{m.recency, m.frequency, m.monetary} {
			if c.used() != len(used[d]) {
				t.Fatalf("dimension %d: cuts %v say %d scores are used, %v are", d, c, c.used(), used[d])
			}
		}
		few := 0
		for _, u := range used {
			if len(u) < Levels {
				few++
			}
		}
		if len(warnings) != few {
			t.Fatalf("%d warnings for %d dimensions of few scores", len(warnings), few)
		}
	})
}

// Most customers of most shops buy once: they must score 1 in frequency,
// however many they are, or no one would be a new customer.
func TestOneTimeBuyersScoreOne(t *testing.T) {
	n := 100
	frequency := ones(n)
	for i := range 40 {
		frequency[i] = float64(2 + i/20)
	}
	days := make([]float64, n)
	for i := range days {
		days[i] = float64(n - i)
	}
	s, m := scoresOf(t, days, frequency, ones(n))
	// 60 % are worse than a second purchase, 80 % than a third.
	if s[99].Frequency != 1 || s[0].Frequency != 4 || s[20].Frequency != 5 {
		t.Errorf("one, two, three purchases score %d, %d, %d; want 1, 4, 5", s[99].Frequency, s[0].Frequency, s[20].Frequency)
	}
	if s[99].Segment() != NewCustomers {
		t.Errorf("a single purchase yesterday is %s", s[99].Segment())
	}
	if m.Frequency() != (Cuts{2, 2, 2, 3}) || m.Monetary().used() != 1 || s[0].Monetary != 1 {
		t.Errorf("frequency cuts %v; monetary cuts %v with score %d for a constant", m.Frequency(), m.Monetary(), s[0].Monetary)
	}
	// Values that were not fitted fall between the cut points.
	got, err := m.Score(nil, []float64{0, 1e6, math.NaN()}, []float64{2.5, 1000, 0}, []float64{1e9, -5, math.NaN()})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Scores{{5, 4, 1}, {1, 5, 1}, {}}; !slices.Equal(got, want) {
		t.Errorf("new customers score %v, want %v", got, want)
	}
}

func TestSaveLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	n := 500
	recency, frequency, monetary := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		recency[i], frequency[i], monetary[i] = r.Float64()*400, float64(r.IntN(3)), r.NormFloat64()*100
	}
	want, m := scoresOf(t, recency, frequency, monetary)
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	saved := b.String()
	if !strings.Contains(saved, "null") { // two frequencies cannot fill five scores
		t.Errorf("no unused score in %s", saved)
	}
	loaded, err := Load(strings.NewReader(saved))
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.Score(nil, recency, frequency, monetary)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("a loaded model scores differently (%v)", err)
	}
	b.Reset()
	if err := loaded.Save(&b); err != nil || b.String() != saved {
		t.Errorf("load and save changed the bytes (%v):\n%s%s", err, saved, b.String())
	}
	// Any order of the customers fits the same bytes.
	perm := r.Perm(n)
	pr, pf, pm := make([]float64, n), make([]float64, n), make([]float64, n)
	for i, j := range perm {
		pr[i], pf[i], pm[i] = recency[j], frequency[j], monetary[j]
	}
	_, shuffled := scoresOf(t, pr, pf, pm)
	b.Reset()
	if err := shuffled.Save(&b); err != nil || b.String() != saved {
		t.Errorf("shuffled customers fit other bytes (%v):\n%s%s", err, saved, b.String())
	}
	// Zeros of either sign are one value, also in what is saved.
	var zeros []string
	for _, negative := range []int{0, 1} {
		x := []float64{-5, 0, 0, 3}
		x[1+negative] = math.Copysign(0, -1)
		_, m := scoresOf(t, []float64{9, math.Abs(x[1]), -x[1], 1}, ones(4), x)
		b.Reset()
		if err := m.Save(&b); err != nil {
			t.Fatal(err)
		}
		zeros = append(zeros, b.String())
	}
	if zeros[0] != zeros[1] || strings.Contains(zeros[0], "-0") {
		t.Errorf("the sign of zero shows:\n%s%s", zeros[0], zeros[1])
	}
	for _, s := range []string{
		"", "{}", saved[:40],
		`{"version":1,"customers":9,"recency":[1,2,3,4],"frequency":[1,2,3,4],"monetary":[1,2,3,4]}`,
		`{"version":1,"customers":9,"recency":[4,3,2,1],"frequency":[1,2,3],"monetary":[1,2,3,4]}`,
		`{"version":1,"customers":9,"recency":[4,3,2,1],"frequency":[1,null,3,4],"monetary":[1,2,3,4]}`,
	} {
		if _, err := Load(strings.NewReader(s)); err == nil {
			t.Errorf("Load(%q) succeeded", s)
		}
	}
}

func TestRefusals(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		r, f, m float64
		want    string
	}{
		{1, nan, 1, "row 2: frequency is NaN"},
		{1, -1, 1, "row 2: frequency is -1"},
		{nan, 1, 1, "row 2: recency is NaN with 1 purchases"},
		{-1, 1, 1, "row 2: recency is -1"},
		{1, 1, inf, "row 2: monetary value is +Inf"},
	} {
		r, f, m := []float64{1, 2, c.r}, []float64{1, 2, c.f}, []float64{1, 2, c.m}
		if _, _, err := Fit(r, f, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Fit: %v, want %q", err, c.want)
		}
		model, _, err := Fit(ones(3), ones(3), ones(3))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := model.Score(nil, r, f, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Score: %v, want %q", err, c.want)
		}
	}
	if _, _, err := Fit([]float64{nan}, []float64{0}, []float64{nan}); err == nil || !strings.Contains(err.Error(), "none of 1 customers has a purchase") {
		t.Errorf("no purchases: %v", err)
	}
}

func ExampleWriteGrid() {
	var b strings.Builder
	if err := WriteGrid(&b); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// The rules of the first segments, and the cells of the least recent customers.
	lines := strings.Split(b.String(), "\n")
	fmt.Println(strings.Join(slices.Concat(lines[:6], lines[len(lines)-8:]), "\n"))
	// Output:
	// | segment | recency | frequency | monetary | customers who |
	// |---|---|---|---|---|
	// | champions | 4–5 | 4–5 | 3–5 | bought recently, buy often and spend well |
	// | loyal | 4–5 | 4–5 | 1–2 | buy often, or bought recently, fairly often and spend most |
	// |  | 4–5 | 3 | 4–5 |  |
	// |  | 3 | 4–5 | 1–5 |  |
	// | recency 1 | monetary 1 | monetary 2 | monetary 3 | monetary 4 | monetary 5 |
	// |---|---|---|---|---|---|
	// | frequency 5 | at_risk | at_risk | at_risk | cannot_lose_them | cannot_lose_them |
	// | frequency 4 | at_risk | at_risk | at_risk | cannot_lose_them | cannot_lose_them |
	// | frequency 3 | hibernating | hibernating | at_risk | at_risk | at_risk |
	// | frequency 2 | lost | lost | lost | lost | lost |
	// | frequency 1 | lost | lost | lost | lost | lost |
}

func BenchmarkScore(b *testing.B) {
	n := 100_000
	r := rand.New(rand.NewPCG(1, 1))
	recency, frequency, monetary := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		recency[i], frequency[i], monetary[i] = r.Float64()*400, float64(r.IntN(9)), r.ExpFloat64()*100
	}
	b.Run("op=fit/n=1e5", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Fit(recency, frequency, monetary); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "rows/s")
	})
	m, _, err := Fit(recency, frequency, monetary)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("op=score/n=1e5", func(b *testing.B) {
		var dst []Scores
		for b.Loop() {
			if dst, err = m.Score(dst, recency, frequency, monetary); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "rows/s")
	})
}
