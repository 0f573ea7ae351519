// Package chart draws figures as SVG: bars, lines, heat maps, scatters and
// flows. What they look like is the page's: marks carry classes (s1 … s12 for
// series, pos and neg for the two sides of a heat map) and no colours.
//
// Every mark has its numbers in a <title>, which browsers show on hover and the
// page's script turns into tooltips; the figure as a whole has a name and a
// description for who cannot see it. All text is escaped.
package chart

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Width of every figure in its own units; the page scales it to the room there is.
const Width = 440

// Series is how many classes of series there are; further ones repeat them.
const Series = 12

// A Frame is what every figure has.
type Frame struct {
	ID    string // unique on the page
	Title string // its name, for who cannot see it
	About string // what it shows, in words
	X, Y  string // names of the axes, with units
}

// An Axis formats the numbers along it.
type Axis struct {
	Format func(float64) string
	// Low and High fix the ends where Fixed; otherwise the data do.
	Fixed     bool
	Low, High float64
	// Ticks name places along the axis, instead of round numbers.
	Ticks []Tick
}

// A Tick is a named place.
type Tick struct {
	At   float64
	Text string
}

// canvas collects the SVG.
type canvas struct {
	strings.Builder
	Frame
	legend []entry
	deep   float64 // room between a plot and the name of its x axis, beyond the usual
}

type entry struct {
	class int
	text  string
	as    swatch
}

// A swatch is how an entry of a legend shows what it is of.
type swatch int

const (
	square swatch = iota
	stroke
	dashed
	shape // of a scatter
)

func (c *canvas) p(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// esc is text between tags or in quotes.
func esc(s string) string { return html.EscapeString(s) }

// n is a coordinate: a tenth of a unit is finer than a screen.
func n(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

func (c *canvas) text(x, y float64, anchor, class, s string) {
	c.p(`<text x="%s" y="%s"`, n(x), n(y))
	if anchor != "" {
		c.p(` text-anchor="%s"`, anchor)
	}
	if class != "" {
		c.p(` class="%s"`, class)
	}
	c.p(`>%s</text>`, esc(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.p(`<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, n(x1), n(y1), n(x2), n(y2), class)
}

// rect is a mark: it has a tip.
func (c *canvas) rect(x, y, w, h float64, class, tip string) {
	c.p(`<rect x="%s" y="%s" width="%s" height="%s" class="%s">`, n(x), n(y), n(max(w, 0)), n(max(h, 0)), class)
	c.tip(tip)
	c.p(`</rect>`)
}

func (c *canvas) tip(s string) {
	if s != "" {
		c.p(`<title>%s</title>`, esc(s))
	}
}

// finish wraps what was drawn, height units high, and puts the legend below.
func (c *canvas) finish(height float64) template.HTML {
	x, y := 8.0, height+4
	var legend canvas
	for _, e := range c.legend {
		text := Cut(e.text, Width-40)
		w := TextWidth(text) + 34
		if x+w > Width && x > 8 {
			x, y = 8, y+17
		}
		switch e.as {
		case dashed:
			legend.p(`<line x1="%s" y1="%s" x2="%s" y2="%s" class="ln %s d%d"/>`, n(x), n(y+6), n(x+14), n(y+6), class(e.class), max(e.class, 0)%4)
		case stroke:
			legend.p(`<line x1="%s" y1="%s" x2="%s" y2="%s" class="ln %s"/>`, n(x), n(y+6), n(x+14), n(y+6), class(e.class))
		case shape:
			legend.p(`<g class="pt %s">`, class(e.class))
			legend.spot(x+6, y+6, e.class, 1.5)
			legend.p(`</g>`)
		default:
			legend.p(`<rect x="%s" y="%s" width="11" height="11" class="%s"/>`, n(x), n(y), class(e.class))
		}
		legend.text(x+18, y+10, "", "", text)
		x += w
	}
	if len(c.legend) > 0 {
		height = y + 19
	}
	id := esc(c.ID)
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %s" role="img" tabindex="0" aria-labelledby="%s-t %s-d" xmlns="http://www.w3.org/2000/svg"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>%s%s</svg>`,
		Width, n(height), id, id, id, esc(c.Title), id, esc(c.About), c.String(), legend.String()))
}

// class is the class of a series; below 0 that of what is none in particular.
func class(i int) string {
	if i < 0 {
		return "s0"
	}
	return "s" + strconv.Itoa(i%Series+1)
}

// ClassOf is the class of series i, for marks outside of figures.
func ClassOf(i int) string { return class(i) }

// TextWidth is about how wide text is at the figures' size of 12 units, in a wide font:
// which one a reader has is not known.
func TextWidth(s string) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfrI.,:;'|!() -", r):
			w += 4.4
		case strings.ContainsRune("mwMW%@×→", r):
			w += 11.4
		case r >= 'A' && r <= 'Z':
			w += 8.6
		case r > 0x2e80: // wide scripts
			w += 13
		default:
			w += 7.5
		}
	}
	return w
}

// Cut shortens text to a width.
func Cut(s string, width float64) string {
	if TextWidth(s) <= width {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && TextWidth(string(runes))+8 > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ,") + "…"
}

// small is the size of the class in, beside that of other text.
const small = 10.5 / 12

// Wrap divides text that is too wide for one line into two lines of small text, of which
// the second is cut where it must be.
func Wrap(s string, width float64) []string {
	if TextWidth(s) <= width {
		return []string{s}
	}
	words := strings.Fields(s)
	first := 1
	for first < len(words) && TextWidth(strings.Join(words[:first+1], " "))*small <= width {
		first++
	}
	if len(words) < 2 {
		return []string{Cut(s, width)}
	}
	first = min(first, len(words)-1)
	return []string{Cut(strings.Join(words[:first], " "), width/small), Cut(strings.Join(words[first:], " "), width/small)}
}

// wrapped is how wide text is when it has been given a width, and whether it takes two lines.
func wrapped(s string, width float64) (wide float64, two bool) {
	lines := Wrap(s, width)
	if len(lines) == 1 {
		return TextWidth(lines[0]), false
	}
	return max(TextWidth(lines[0]), TextWidth(lines[1])) * small, true
}

// label writes the name of a mark whose middle is at y.
func (c *canvas) label(x, y float64, anchor, s string, width float64) {
	lines := Wrap(s, width)
	if len(lines) == 1 {
		c.text(x, y+4, anchor, "", lines[0])
		return
	}
	c.text(x, y-2, anchor, "in", lines[0])
	c.text(x, y+9, anchor, "in", lines[1])
}

// scale maps data to units.
type scale struct{ low, high, from, to float64 }

func (s scale) at(v float64) float64 {
	if s.high == s.low {
		return (s.from + s.to) / 2
	}
	return s.from + (v-s.low)/(s.high-s.low)*(s.to-s.from)
}

// span makes a scale's ends round and puts ticks on it, about count of them.
func (a Axis) span(values []float64, count int) (low, high float64, ticks []Tick) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			low, high = min(low, v), max(high, v)
		}
	}
	if a.Fixed {
		low, high = a.Low, a.High
	}
	if low > high {
		low, high = 0, 1
	}
	if low == high {
		if low == 0 {
			high = 1
		} else {
			low, high = min(low, 0), max(high, 0)
		}
	}
	if len(a.Ticks) > 0 {
		return low, high, a.Ticks
	}
	step := Step((high - low) / float64(count))
	if !a.Fixed {
		low, high = math.Floor(low/step+1e-9)*step, math.Ceil(high/step-1e-9)*step
	}
	for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9; i++ {
		v := i * step
		if v == 0 {
			v = 0 // not -0
		}
		text := strconv.FormatFloat(v, 'g', 6, 64)
		if a.Format != nil {
			text = a.Format(v)
		}
		ticks = append(ticks, Tick{v, text})
	}
	return low, high, ticks
}

// Step is the round number next above v: 1, 2, 2.5 or 5 times a power of ten.
func Step(v float64) float64 {
	if v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// axes draws the frame of a plot: grid, ticks and names.
type plot struct{ left, right, top, bottom float64 }

// frame lays out a plot of a height whose y ticks are known, and draws its axes.
func (c *canvas) frame(height float64, xs, ys []Tick, sx, sy *scale) plot {
	wide := 0.0
	for _, t := range ys {
		wide = max(wide, TextWidth(t.Text))
	}
	p := plot{left: wide + 12, right: Width - 12, top: 22, bottom: height - 38 - c.deep}
	if c.Y == "" {
		p.top = 8
	}
	if len(xs) > 0 { // the last label may be centred beyond the plot
		p.right = min(p.right, Width-TextWidth(xs[len(xs)-1].Text)/2-2)
	}
	if len(xs) > 0 && xs[0].At == sx.low {
		p.left = max(p.left, TextWidth(xs[0].Text)/2+2)
	}
	sx.from, sx.to, sy.from, sy.to = p.left, p.right, p.bottom, p.top
	for _, t := range ys {
		y := sy.at(t.At)
		c.line(p.left, y, p.right, y, "g")
		c.text(p.left-6, y+4, "end", "", t.Text)
	}
	// The last is written, and of the others those that touch neither it nor the one before.
	last, end := math.Inf(-1), math.Inf(1)
	for i, t := range xs {
		x, w := sx.at(t.At), TextWidth(t.Text)
		if i == 0 && len(xs) > 1 {
			z := xs[len(xs)-1]
			end = sx.at(z.At) - TextWidth(z.Text)/2
		}
		if x-w/2 < last+4 || i < len(xs)-1 && x+w/2 > end-4 {
			continue
		}
		last = x + w/2
		c.line(x, p.bottom, x, p.bottom+4, "a")
		c.text(x, p.bottom+17, "middle", "", t.Text)
	}
	c.line(p.left, p.bottom, p.right, p.bottom, "a")
	if c.Y != "" {
		c.text(2, 12, "", "n", Cut(c.Y, Width-4))
	}
	c.text((p.left+p.right)/2, p.bottom+33+c.deep, "middle", "n", Cut(c.X, Width-4))
	return p
}
