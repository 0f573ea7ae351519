package chart

import (
	"fmt"
	"html/template"
	"math"
)

// A Cell of a heat map.
type Cell struct {
	V    float64 // NaN leaves the cell empty
	Text string  // written in it where there is room
	Tip  string
}

// Heat draws a heat map, a row a line. Values from -limit to limit shade from one
// colour to the other.
func Heat(f Frame, rows, columns []string, cells [][]Cell, limit float64) template.HTML {
	c := &canvas{Frame: f}
	end := 0.0
	for from := 0; from == 0 || from < len(columns); from += heatColumns {
		to := min(from+heatColumns, len(columns))
		part := make([][]Cell, len(cells))
		for i := range cells {
			part[i] = cells[i][from:to]
		}
		c.p(`<g transform="translate(0 %s)">`, n(end))
		end += c.heat(rows, columns[from:to], part, limit) + 12
		c.WriteString(`</g>`)
	}
	return c.finish(end - 8)
}

// heatColumns is how many columns of a heat map are beside each other; further ones go
// below.
const heatColumns = 14

// heat draws one piece and returns how high it is.
func (c *canvas) heat(rows, columns []string, cells [][]Cell, limit float64) float64 {
	f := c.Frame
	names, least := 0.0, 17.0
	for _, r := range rows {
		wide, two := wrapped(r, mostName)
		names = max(names, wide)
		if two {
			least = 24
		}
	}
	left := names + 10
	top := 0.0
	for _, name := range []string{arrowed("→ ", f.X), arrowed("↓ ", f.Y)} {
		if name != "" {
			c.text(2, top+12, "", "n", Cut(name, Width-4))
			top += 16
		}
	}
	right := Width - 4.0
	width := func() float64 { return (right - left) / float64(max(len(columns), 1)) }
	slant, longest := false, 0.0
	for _, s := range columns {
		slant = slant || TextWidth(s) > width()-3
		longest = max(longest, TextWidth(Cut(s, 118)))
	}
	if slant {
		top += longest*.72 + 12
		for i, s := range columns { // the last headings lean beyond their columns
			right = min(right, Width-TextWidth(Cut(s, 118))*.72-8+width()*(float64(len(columns)-1-i)+.5))
		}
	} else {
		top += 18
	}
	high := math.Max(least, math.Min(26, width()*.8))
	for j, s := range columns {
		x := left + width()*(float64(j)+.5)
		if slant {
			size := ""
			if width() < 20 {
				size = ` class="in"`
			}
			c.p(`<text transform="translate(%s %s) rotate(-45)"%s>%s</text>`, n(x), n(top-5), size, esc(Cut(s, 118)))
		} else {
			c.text(x, top-6, "middle", "", s)
		}
	}
	for i, r := range rows {
		y := top + high*float64(i)
		c.label(left-6, y+high/2, "end", r, mostName)
		w := width()
		for j := range columns {
			cell := cells[i][j]
			x := left + w*float64(j)
			if math.IsNaN(cell.V) {
				c.p(`<rect x="%s" y="%s" width="%s" height="%s" class="no">`, n(x+.5), n(y+.5), n(w-1), n(high-1))
				c.tip(cell.Tip)
				c.p(`</rect>`)
				continue
			}
			side, v := "pos", cell.V
			if v < 0 {
				side, v = "neg", -v
			}
			if limit > 0 {
				v = math.Min(1, v/limit)
			}
			c.p(`<rect x="%s" y="%s" width="%s" height="%s" class="ce %s" fill-opacity="%s">`, n(x+.5), n(y+.5), n(w-1), n(high-1), side, fmt.Sprintf("%.2f", v))
			c.tip(cell.Tip)
			c.p(`</rect>`)
			if cell.Text != "" && TextWidth(cell.Text)*.9 < w-2 {
				c.text(x+w/2, y+high/2+4, "middle", "in", cell.Text)
			}
		}
	}
	return top + high*float64(len(rows))
}

// arrowed marks a name, if there is one.
func arrowed(mark, name string) string {
	if name == "" {
		return ""
	}
	return mark + name
}

// A Node is an end of a flow.
type Node struct {
	Name  string
	Class int // -1 for none in particular
	Tip   string
}

// A Link is what flows from a node on the left to one on the right.
type Link struct {
	From, To int
	V        float64
	Tip      string
}

// Flow draws what went from where to where; names of the sides go above.
func Flow(f Frame, before, after string, left, right []Node, links []Link) template.HTML {
	c := &canvas{Frame: f}
	total := 0.0
	from, to := make([]float64, len(left)), make([]float64, len(right))
	for _, l := range links {
		total += l.V
		from[l.From] += l.V
		to[l.To] += l.V
	}
	const top, gap, box = 24.0, 9.0, 12.0
	most := max(len(left), len(right))
	height := math.Max(220, float64(most)*38)
	unit := 0.0
	if total > 0 {
		unit = (height - gap*float64(most-1)) / total
	}
	const x1, x2 = 150.0, Width - 150.0
	c.text(x1+box, 12, "end", "n", before)
	c.text(x2-box, 12, "start", "n", after)
	place := func(sums []float64) []float64 {
		at, y := make([]float64, len(sums)), top
		for i, s := range sums {
			at[i] = y
			y += math.Max(s*unit, 1) + gap
		}
		return at
	}
	atFrom, atTo := place(from), place(to)
	usedFrom, usedTo := append([]float64(nil), atFrom...), append([]float64(nil), atTo...)
	for _, l := range links {
		w := l.V * unit
		y1, y2 := usedFrom[l.From], usedTo[l.To]
		usedFrom[l.From] += w
		usedTo[l.To] += w
		if w < .15 {
			w = .15
		}
		cl := "fl"
		if k := left[l.From].Class; k >= 0 {
			cl += " " + class(k)
		}
		m := (x1 + x2) / 2
		c.p(`<path d="M%s %sC%s %s %s %s %s %sv%sC%s %s %s %s %s %sz" class="%s">`,
			n(x1), n(y1), n(m), n(y1), n(m), n(y2), n(x2), n(y2), n(w),
			n(m), n(y2+w), n(m), n(y1+w), n(x1), n(y1+w), cl)
		c.tip(l.Tip)
		c.p(`</path>`)
	}
	end := top
	side := func(nodes []Node, at, sums []float64, x float64, isLeft bool) {
		floor := math.Inf(-1)
		for i, d := range nodes {
			h := math.Max(sums[i]*unit, 1)
			cl := "nd"
			if d.Class >= 0 {
				cl = class(d.Class)
			}
			c.rect(x, at[i], box, h, cl, d.Tip)
			// Names of thin neighbours move down rather than touch.
			room, half := x1-box-8, 6.0
			if _, two := wrapped(d.Name, room); two {
				half = 12
			}
			y := math.Max(at[i]+h/2, floor+half)
			floor = y + half
			if isLeft {
				c.label(x-5, y, "end", d.Name, room)
			} else {
				c.label(x+box+5, y, "", d.Name, room)
			}
			end = math.Max(end, math.Max(at[i]+h, y+half-4))
		}
	}
	side(left, atFrom, from, x1-box, true)
	side(right, atTo, to, x2, false)
	return c.finish(end + 10)
}
