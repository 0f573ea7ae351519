package chart

import (
	"html/template"
	"math"
)

// A Bar is one line of Bars: a name and a value for each series.
type Bar struct {
	Name   string
	Values []Value
}

// A Value is a number, how it is written, and the interval around it where
// there is one.
type Value struct {
	V         float64 // NaN when unknown
	Low, High float64 // NaN without an interval
	Text      string  // written at the end of the mark
	Tip       string
	Class     int // of the series; -1 takes the place in the bar
	Strong    bool
}

// Bars draws horizontal bars, one group a name. Values below 0 go left. Bounds are
// upright lines to compare the bars with.
func Bars(f Frame, x Axis, series []string, bars []Bar, bounds ...float64) template.HTML {
	c := &canvas{Frame: f}
	var all []float64
	names, texts := 0.0, 0.0
	for _, b := range bars {
		wide, _ := wrapped(b.Name, mostName)
		names = max(names, wide)
		for _, v := range b.Values {
			all = append(all, v.V, v.Low, v.High)
			texts = max(texts, TextWidth(v.Text))
		}
	}
	if !x.Fixed {
		all = append(all, 0)
	}
	all = append(all, bounds...)
	low, high, ticks := x.span(all, 4)
	per := 15.0
	if len(series) < 2 {
		per = 18
	}
	left, right := names+10, Width-texts-10
	s := scale{low, high, left, right}
	y := 6.0
	top := y
	origin := s.at(math.Max(low, math.Min(high, 0)))
	var marks canvas
	for _, b := range bars {
		group := per * float64(len(b.Values))
		marks.label(left-6, y+group/2, "end", b.Name, mostName)
		for i, v := range b.Values {
			k := i
			if v.Class >= 0 {
				k = v.Class
			}
			tip := v.Tip
			if math.IsNaN(v.V) {
				marks.text(left+4, y+per/2+4, "", "m", "–")
			} else {
				end := s.at(v.V)
				cl := class(k)
				if v.Strong {
					cl += " k"
				}
				marks.rect(math.Min(origin, end), y+2, math.Abs(end-origin), per-4, cl, tip)
				at := end
				if !math.IsNaN(v.Low) && !math.IsNaN(v.High) {
					l, h := s.at(v.Low), s.at(v.High)
					marks.line(l, y+per/2, h, y+per/2, "w")
					marks.line(l, y+per/2-3, l, y+per/2+3, "w")
					marks.line(h, y+per/2-3, h, y+per/2+3, "w")
					at = math.Max(h, end)
				}
				marks.text(math.Max(at, origin)+5, y+per/2+4, "", "v", v.Text)
			}
			y += per
		}
		y += 5
	}
	for _, t := range ticks {
		if at := s.at(t.At); at <= right+1 {
			c.line(at, top, at, y, "g")
			c.text(at, y+13, "middle", "", t.Text)
		}
	}
	c.line(origin, top, origin, y, "a")
	c.WriteString(marks.String())
	for _, b := range bounds {
		c.line(s.at(b), top, s.at(b), y, "gd")
	}
	c.text((left+right)/2, y+29, "middle", "n", Cut(f.X, Width-4))
	c.names(series)
	return c.finish(y + 36)
}

// mostName is how wide the names of lines may be.
const mostName = 172

// names makes the legend of several series.
func (c *canvas) names(series []string) {
	if len(series) < 2 {
		return
	}
	for i, s := range series {
		c.legend = append(c.legend, entry{i, s, square})
	}
}

// A Dot is one line of Dots: a name and a value with its interval.
type Dot struct {
	Name string
	Value
}

// Dots draws a value a line on a scale that need not begin at 0, with intervals.
func Dots(f Frame, x Axis, dots []Dot) template.HTML {
	c := &canvas{Frame: f}
	var all []float64
	names, texts := 0.0, 0.0
	for _, d := range dots {
		wide, _ := wrapped(d.Name, mostName)
		names, texts = max(names, wide), max(texts, TextWidth(d.Text))
		all = append(all, d.V, d.Low, d.High)
	}
	low, high, ticks := x.span(all, 4)
	left, right := names+14, Width-texts-14
	s := scale{low, high, left, right}
	const per = 23
	top, bottom := 4.0, 4+per*float64(len(dots))
	for _, t := range ticks {
		at := s.at(t.At)
		c.line(at, top, at, bottom, "g")
		c.text(at, bottom+14, "middle", "", t.Text)
	}
	for i, d := range dots {
		y := top + per*(float64(i)+.5)
		c.label(left-10, y, "end", d.Name, mostName)
		if math.IsNaN(d.V) {
			c.text(left+4, y+4, "", "m", "not known")
			continue
		}
		k := class(0)
		if d.Class > 0 {
			k = class(d.Class)
		}
		at := s.at(d.V)
		if !math.IsNaN(d.Low) && !math.IsNaN(d.High) {
			c.line(s.at(d.Low), y, s.at(d.High), y, "ln "+k)
		}
		r := 4.5
		if d.Strong {
			r = 6
		}
		c.p(`<circle cx="%s" cy="%s" r="%s" class="%s">`, n(at), n(y), n(r), k)
		c.tip(d.Tip)
		c.p(`</circle>`)
		c.text(right+8, y+4, "", "v", d.Text)
	}
	c.line(left, bottom, right, bottom, "a")
	c.text((left+right)/2, bottom+30, "middle", "n", Cut(f.X, Width-4))
	return c.finish(bottom + 37)
}

// A Group is one place of Columns along the x axis.
type Group struct {
	Name   string
	Values []Value
}

// Columns draws vertical columns, the series of a group beside each other or, stacked,
// upon each other.
func Columns(f Frame, y Axis, series []string, groups []Group, stacked bool) template.HTML {
	c := &canvas{Frame: f}
	all := []float64{0}
	for _, g := range groups {
		sum := 0.0
		for _, v := range g.Values {
			all = append(all, v.Low, v.High)
			if !math.IsNaN(v.V) {
				sum += v.V
				if !stacked {
					all = append(all, v.V)
				}
			}
		}
		if stacked {
			all = append(all, sum)
		}
	}
	low, high, ticks := y.span(all, 4)
	sx, sy := scale{low: 0, high: float64(len(groups))}, scale{low: low, high: high}
	lean := 0.0
	for _, g := range groups {
		lean = max(lean, TextWidth(g.Name))
	}
	room, stride := (Width-90)/float64(max(len(groups), 1)), 1
	switch {
	case lean+4 <= room:
		lean = 0
	case len(groups) <= 14: // every name matters
		lean = min(lean, 90)
	default: // numbers in a row, of which some will do
		for _, stride = range []int{2, 5, 10, 20, 50, 100} {
			if float64(stride)*room >= lean+4 {
				break
			}
		}
		lean = 0
	}
	var names []Tick
	for i := 0; i < len(groups) && lean == 0; i += stride {
		names = append(names, Tick{float64(i) + .5, groups[i].Name})
	}
	c.deep = lean * .6
	height := 250 + c.deep
	p := c.frame(height, names, ticks, &sx, &sy)
	for i := 0; i < len(groups) && lean > 0; i++ {
		c.p(`<text transform="translate(%s %s) rotate(-40)" text-anchor="end">%s</text>`, n(sx.at(float64(i)+.5)+4), n(p.bottom+13), esc(Cut(groups[i].Name, lean)))
	}
	width := (p.right - p.left) / float64(max(len(groups), 1))
	gap := math.Min(6, width*.15)
	for i, g := range groups {
		x := p.left + width*float64(i) + gap/2
		each := width - gap
		if !stacked {
			each /= float64(max(len(g.Values), 1))
		}
		sum := 0.0
		for k, v := range g.Values {
			at := x
			if !stacked {
				at += each * float64(k)
			}
			if math.IsNaN(v.V) {
				continue
			}
			cl := class(k)
			if v.Class > 0 {
				cl = class(v.Class)
			}
			from, to := sy.at(sum), sy.at(sum+v.V)
			c.rect(at, math.Min(from, to), math.Max(each-.6, .8), math.Abs(from-to), cl, v.Tip)
			if stacked {
				sum += v.V
			}
			if !math.IsNaN(v.Low) && !math.IsNaN(v.High) && !stacked {
				m := at + each/2
				c.line(m, sy.at(v.Low), m, sy.at(v.High), "w")
			}
		}
	}
	c.line(p.left, sy.at(0), p.right, sy.at(0), "a")
	c.names(series)
	return c.finish(height)
}

// Plain is a value without an interval.
func Plain(v float64, tip string) Value {
	return Value{V: v, Low: math.NaN(), High: math.NaN(), Tip: tip, Class: -1}
}
