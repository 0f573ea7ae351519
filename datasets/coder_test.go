package datasets_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/shoal-data/shoal/datasets"
)

// draw are n ids of at most distinct values, "" among them.
func draw(seed uint64, n, distinct int) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	ids := make([][]byte, n)
	for i := range ids {
		if k := r.IntN(distinct); k > 0 {
			ids[i] = fmt.Appendf(nil, "customer-%d", k)
		}
	}
	return ids
}

// Values coded together have the codes that they have one by one: the first time
// they are met, again, and while others code the same.
func TestCodesAgreeWithCode(t *testing.T) {
	for _, size := range []int{0, 1, 7, 300, 5000} {
		d := datasets.NewDict()
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				var c datasets.Coder
				for round := range 5 {
					ids := draw(uint64(size), size, 700)
					at := func(i int) []byte { return ids[i] }
					got := c.Codes(d, []uint32{99}, len(ids), at)
					if len(got) != size+1 || got[0] != 99 {
						t.Errorf("%d values appended to one became %d", size, len(got))
						return
					}
					for i, code := range got[1:] {
						if want := d.Code(ids[i]); code != want {
							t.Errorf("worker %d, round %d: value %q has code %d, alone %d", w, round, ids[i], code, want)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		distinct := map[string]bool{}
		for _, id := range draw(uint64(size), size, 700) {
			distinct[string(id)] = true
			if code := d.Code(id); d.Value(code) != string(id) {
				t.Fatalf("the code of %q stands for %q", id, d.Value(code))
			}
		}
		if d.Len() != len(distinct) {
			t.Errorf("%d values of %d are in the dictionary", d.Len(), len(distinct))
		}
	}
}

// Find gives values their codes and adds none, in an empty dictionary too.
func TestFindAddsNothing(t *testing.T) {
	d := datasets.NewDict()
	var c datasets.Coder
	for known := range 400 {
		ids := draw(uint64(known), 900, 700)
		at := func(i int) []byte { return ids[i] }
		before := d.Len()
		got := c.Find(d, []uint32{99}, len(ids), at)
		if len(got) != len(ids)+1 || got[0] != 99 || d.Len() != before {
			t.Fatalf("%d values appended to one became %d, and the dictionary of %d has %d", len(ids), len(got), before, d.Len())
		}
		for i, code := range got[1:] {
			if code != 0 && d.Value(code) != string(ids[i]) {
				t.Fatalf("%q was taken for %q", ids[i], d.Value(code))
			}
			if n := d.Len(); code == 0 && d.Code(ids[i]) != 0 && d.Len() == n && !seenBefore(ids[:i], ids[i]) {
				t.Fatalf("%q is in the dictionary and was not found", ids[i])
			}
			if i == 2 {
				break // three new values a round at most
			}
		}
	}
	if d.Len() < 500 {
		t.Fatalf("only %d values were added", d.Len())
	}
}

func seenBefore(ids [][]byte, id []byte) bool {
	return slices.ContainsFunc(ids, func(o []byte) bool { return string(o) == string(id) })
}

// Codes of a million customers, one by one and 2,048 at a time.
func BenchmarkCode(b *testing.B) {
	ids := draw(1, 1<<21, 1_000_000)
	d := datasets.NewDict()
	for _, id := range ids {
		d.Code(id)
	}
	b.Run("one", func(b *testing.B) {
		for i := range b.N {
			d.Code(ids[i&(1<<21-1)])
		}
	})
	b.Run("together", func(b *testing.B) {
		var c datasets.Coder
		var out []uint32
		for i := 0; i < b.N; i += 2048 {
			from := i & (1<<21 - 1)
			out = c.Codes(d, out[:0], 2048, func(k int) []byte { return ids[from+k] })
		}
	})
}
