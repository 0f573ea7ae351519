package rfm

import (
	"fmt"
	"io"
	"strings"
)

// A Segment is the name of a group of cells of the grid.
type Segment string

// The segments. A name is part of what is published: append, never rename.
const (
	Champions         Segment = "champions"
	Loyal             Segment = "loyal"
	PotentialLoyalist Segment = "potential_loyalist"
	NewCustomers      Segment = "new_customers"
	Promising         Segment = "promising"
	NeedAttention     Segment = "need_attention"
	AboutToSleep      Segment = "about_to_sleep"
	CannotLoseThem    Segment = "cannot_lose_them"
	AtRisk            Segment = "at_risk"
	Hibernating       Segment = "hibernating"
	Lost              Segment = "lost"
	NoPurchase        Segment = "no_purchase" // outside the grid: scores 000
)

// meanings lists the segments in the order of reports.
var meanings = []struct {
	segment Segment
	meaning string
}{
	{Champions, "bought recently, buy often and spend well"},
	{Loyal, "buy often, or bought recently, fairly often and spend most"},
	{PotentialLoyalist, "bought recently, and more than the least often"},
	{NewCustomers, "bought very recently, and least often: mostly a first purchase"},
	{Promising, "bought recently, and least often"},
	{NeedAttention, "were fairly good customers; the last purchase is some time ago"},
	{AboutToSleep, "bought seldom, some time ago"},
	{CannotLoseThem, "bought often and spent most, but not lately"},
	{AtRisk, "bought fairly often, but not lately"},
	{Hibernating, "bought seldom or spent little, and not lately"},
	{Lost, "bought seldom, and longest ago"},
	{NoPurchase, "have not purchased"},
}

// Segments lists every segment in the order of reports.
func Segments() []Segment {
	s := make([]Segment, len(meanings))
	for i, m := range meanings {
		s[i] = m.segment
	}
	return s
}

// Meaning is what the customers of a segment have in common, as the end of a
// sentence about them; empty for an unknown segment.
func (s Segment) Meaning() string {
	for _, m := range meanings {
		if m.segment == s {
			return m.meaning
		}
	}
	return ""
}

// span is a closed range of scores.
type span struct{ lo, hi uint8 }

func (r span) has(s uint8) bool { return r.lo <= s && s <= r.hi }

func (r span) String() string {
	if r.lo == r.hi {
		return fmt.Sprint(r.lo)
	}
	return fmt.Sprintf("%d–%d", r.lo, r.hi)
}

// grid is the published grid: boxes of recency, frequency and monetary scores
// that are disjoint and together hold all 125 cells.
var grid = []struct {
	recency, frequency, monetary span
	segment                      Segment
}{
	// Bought recently.
	{span{4, 5}, span{4, 5}, span{3, 5}, Champions},
	{span{4, 5}, span{4, 5}, span{1, 2}, Loyal},
	{span{4, 5}, span{3, 3}, span{4, 5}, Loyal},
	{span{4, 5}, span{3, 3}, span{1, 3}, PotentialLoyalist},
	{span{4, 5}, span{2, 2}, span{1, 5}, PotentialLoyalist},
	{span{5, 5}, span{1, 1}, span{1, 5}, NewCustomers},
	{span{4, 4}, span{1, 1}, span{1, 5}, Promising},
	// Some time ago.
	{span{3, 3}, span{4, 5}, span{1, 5}, Loyal},
	{span{3, 3}, span{3, 3}, span{1, 5}, NeedAttention},
	{span{3, 3}, span{2, 2}, span{3, 5}, NeedAttention},
	{span{3, 3}, span{2, 2}, span{1, 2}, AboutToSleep},
	{span{3, 3}, span{1, 1}, span{1, 5}, AboutToSleep},
	// Not lately.
	{span{1, 2}, span{4, 5}, span{4, 5}, CannotLoseThem},
	{span{1, 2}, span{4, 5}, span{1, 3}, AtRisk},
	{span{1, 2}, span{3, 3}, span{3, 5}, AtRisk},
	{span{1, 2}, span{3, 3}, span{1, 2}, Hibernating},
	{span{2, 2}, span{1, 2}, span{1, 5}, Hibernating},
	{span{1, 1}, span{1, 2}, span{1, 5}, Lost},
}

// cells is the grid, looked up by score.
var cells = func() (c [Levels + 1][Levels + 1][Levels + 1]Segment) {
	c[0][0][0] = NoPurchase
	for _, box := range grid {
		for r := box.recency.lo; r <= box.recency.hi; r++ {
			for f := box.frequency.lo; f <= box.frequency.hi; f++ {
				for m := box.monetary.lo; m <= box.monetary.hi; m++ {
					c[r][f][m] = box.segment
				}
			}
		}
	}
	return c
}()

// Segment is the grid's name for the scores: NoPurchase for 000. Scores that
// Score cannot return panic.
func (s Scores) Segment() Segment {
	if max(s.Recency, s.Frequency, s.Monetary) <= Levels {
		if name := cells[s.Recency][s.Frequency][s.Monetary]; name != "" {
			return name
		}
	}
	panic(fmt.Sprintf("rfm: no cell %d, %d, %d; scores are 1 to %d, or all 0", s.Recency, s.Frequency, s.Monetary, Levels))
}

// WriteGrid writes the grid in Markdown: the rules, then for each recency score
// the segment of every frequency and monetary score.
func WriteGrid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| segment | recency | frequency | monetary | customers who |\n|---|---|---|---|---|\n")
	for _, m := range meanings {
		first := true
		for _, box := range grid {
			if box.segment != m.segment {
				continue
			}
			name, meaning := "", ""
			if first {
				name, meaning, first = string(m.segment), m.meaning, false
			}
			fmt.Fprintf(&b, "| %s | %v | %v | %v | %s |\n", name, box.recency, box.frequency, box.monetary, meaning)
		}
		if first {
			fmt.Fprintf(&b, "| %s | 0 | 0 | 0 | %s |\n", m.segment, m.meaning)
		}
	}
	for r := Levels; r >= 1; r-- {
		fmt.Fprintf(&b, "\n| recency %d |", r)
		for m := range Levels {
			fmt.Fprintf(&b, " monetary %d |", m+1)
		}
		b.WriteString("\n|---" + strings.Repeat("|---", Levels) + "|\n")
		for f := Levels; f >= 1; f-- {
			fmt.Fprintf(&b, "| frequency %d |", f)
			for m := range Levels {
				fmt.Fprintf(&b, " %s |", Scores{uint8(r), uint8(f), uint8(m + 1)}.Segment())
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
