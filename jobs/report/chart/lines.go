package chart

import (
	"fmt"
	"html/template"
	"math"
	"slices"
)

// A Point of a line, with its interval where there is one.
type Point struct {
	X, Y      float64
	Low, High float64 // NaN without an interval
	Tip       string
}

// A Line is a series of points.
type Line struct {
	Name   string
	Points []Point
	Class  int
	Dashed bool
	Dots   bool // marks at the points
	Area   bool // the interval as an area, rather than whiskers
}

// mostHidden is how many points of a line without dots have tips.
const mostHidden = 60

// A Guide is a line to compare with.
type Guide struct{ X1, Y1, X2, Y2 float64 }

// Lines draws lines over a common x axis.
func Lines(f Frame, x, y Axis, lines []Line, guides ...Guide) template.HTML {
	c := &canvas{Frame: f}
	var xs, ys []float64
	for _, l := range lines {
		for _, p := range l.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y, p.Low, p.High)
		}
	}
	for _, g := range guides {
		xs, ys = append(xs, g.X1, g.X2), append(ys, g.Y1, g.Y2)
	}
	lowX, highX, ticksX := x.span(xs, 5)
	lowY, highY, ticksY := y.span(ys, 4)
	sx, sy := scale{low: lowX, high: highX}, scale{low: lowY, high: highY}
	const height = 270
	p := c.frame(height, ticksX, ticksY, &sx, &sy)
	clamp := func(v float64) float64 { return math.Max(p.top, math.Min(p.bottom, v)) }
	for _, g := range guides {
		c.line(sx.at(g.X1), clamp(sy.at(g.Y1)), sx.at(g.X2), clamp(sy.at(g.Y2)), "gd")
	}
	for _, l := range lines {
		cl := class(l.Class)
		if l.Area {
			var up, down string
			for i, q := range l.Points {
				if math.IsNaN(q.Low) || math.IsNaN(q.High) {
					continue
				}
				up += fmt.Sprintf("%s,%s ", n(sx.at(q.X)), n(clamp(sy.at(q.High))))
				r := l.Points[len(l.Points)-1-i]
				down += fmt.Sprintf("%s,%s ", n(sx.at(r.X)), n(clamp(sy.at(r.Low))))
			}
			if up != "" {
				c.p(`<polygon points="%s" class="ar %s"/>`, up+down, cl)
			}
		}
		path, pen := "", "M"
		for _, q := range l.Points {
			if math.IsNaN(q.Y) || math.IsNaN(q.X) {
				pen = "M"
				continue
			}
			path += pen + n(sx.at(q.X)) + " " + n(sy.at(q.Y))
			pen = "L"
		}
		dash, as := "", stroke
		if l.Dashed {
			dash, as = fmt.Sprintf(" d%d", max(l.Class, 0)%4), dashed
		}
		if path != "" {
			c.p(`<path d="%s" class="ln %s%s"/>`, path, cl, dash)
		}
		every := 1
		if !l.Dots {
			every = (len(l.Points) + mostHidden - 1) / mostHidden
		}
		for i, q := range l.Points {
			if math.IsNaN(q.Y) || math.IsNaN(q.X) || i%every != 0 && i != len(l.Points)-1 {
				continue
			}
			if !l.Area && !math.IsNaN(q.Low) && !math.IsNaN(q.High) {
				c.line(sx.at(q.X), clamp(sy.at(q.Low)), sx.at(q.X), clamp(sy.at(q.High)), "ln "+cl)
			}
			r, hidden := 3.5, ""
			if !l.Dots {
				r, hidden = 6, " h" // there for the pointer only
			}
			c.p(`<circle cx="%s" cy="%s" r="%s" class="%s%s">`, n(sx.at(q.X)), n(sy.at(q.Y)), n(r), cl, hidden)
			c.tip(q.Tip)
			c.p(`</circle>`)
		}
		if e := (entry{l.Class, l.Name, as}); len(lines) > 1 && !slices.Contains(c.legend, e) {
			c.legend = append(c.legend, e)
		}
	}
	return c.finish(height)
}

// A Spot is a point of a scatter.
type Spot struct {
	X, Y  float64
	Class int
	Tip   string
}

// Scatter draws points; names are of the classes, empty of those that have no points. Their
// shapes differ too.
func Scatter(f Frame, x, y Axis, spots []Spot, names []string) template.HTML {
	c := &canvas{Frame: f}
	var xs, ys []float64
	for _, s := range spots {
		xs, ys = append(xs, s.X), append(ys, s.Y)
	}
	lowX, highX, ticksX := x.span(xs, 5)
	lowY, highY, ticksY := y.span(ys, 4)
	sx, sy := scale{low: lowX, high: highX}, scale{low: lowY, high: highY}
	const height = 360
	c.frame(height, ticksX, ticksY, &sx, &sy)
	// Neighbours of a class that say the same are one mark: points by the thousand are otherwise
	// most of a page, and the arrow keys would never reach the last.
	for i := 0; i < len(spots); {
		first := spots[i]
		c.p(`<g class="pt %s">`, class(first.Class))
		c.tip(first.Tip)
		for ; i < len(spots) && spots[i].Class == first.Class && spots[i].Tip == first.Tip; i++ {
			c.spot(sx.at(spots[i].X), sy.at(spots[i].Y), first.Class, 1)
		}
		c.p(`</g>`)
	}
	for i, s := range names {
		if s != "" {
			c.legend = append(c.legend, entry{i, s, shape})
		}
	}
	return c.finish(height)
}

// spot is a point in the shape of its class, so many times as large as usual; the colour is
// that of what it is in.
func (c *canvas) spot(x, y float64, of int, size float64) {
	switch of % 4 {
	case 0:
		c.p(`<circle cx="%s" cy="%s" r="%s"/>`, n(x), n(y), n(2.6*size))
	case 1:
		c.p(`<rect x="%s" y="%s" width="%s" height="%s"/>`, n(x-2.4*size), n(y-2.4*size), n(4.8*size), n(4.8*size))
	case 2:
		c.p(`<path d="M%s %sl%s %sh%sz"/>`, n(x), n(y-3.6*size), n(3.4*size), n(6*size), n(-6.8*size))
	default:
		d := 3.6 * size
		c.p(`<path d="M%s %sl%s %sl%s %sl%s %sz"/>`, n(x), n(y-d), n(d), n(d), n(-d), n(d), n(-d), n(-d))
	}
}
