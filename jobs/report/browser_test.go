package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/shoal-data/shoal/internal/pyoracle"
)

// chromium is a real browser: SHOAL_CHROMIUM, or one on the PATH. Without one the test
// is skipped, or fails when SHOAL_REQUIRE_BROWSER=1.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("SHOAL_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const why = "no browser: install chromium (apt-get install chromium), or let SHOAL_CHROMIUM name one"
	if os.Getenv("SHOAL_REQUIRE_BROWSER") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// A tab shows a page and keeps what the browser complains of.
type tab struct {
	context.Context
	mu        sync.Mutex
	complains []string
	requests  []string
}

// open shows a page in a window of a size. The page must not ask for anything.
func open(t testing.TB, page string, width, height int64) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.WindowSize(int(width), int(height)), chromedp.Flag("force-color-profile", "srgb"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	all, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(all)
	ctx, end := context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(func() { end(); cancel(); stop() })
	b := &tab{Context: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			b.complains = append(b.complains, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
		case *runtime.EventConsoleAPICalled:
			b.complains = append(b.complains, fmt.Sprintf("console %s", e.Type))
		case *runtime.EventExceptionThrown:
			b.complains = append(b.complains, e.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "file://") {
				b.requests = append(b.requests, e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(t, b, network.Enable, network.EnableParams{})
	call(t, b, log.Enable, cdp.Empty{})
	b.do(t, chromedp.EmulateViewport(width, height), chromedp.Navigate("file://"+page))
	return b
}

// call sends a command of the browser's protocol.
func call[P, R any](t testing.TB, b *tab, c cdp.Command[P, R], p P) R {
	t.Helper()
	r, err := chromedp.Call(b.Context, c, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *tab) do(t testing.TB, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.Context, actions...); err != nil {
		t.Fatal(err)
	}
}

// ask evaluates JavaScript, a promise to its end.
func (b *tab) ask(t testing.TB, js string, into any) {
	t.Helper()
	data, err := chromedp.Run(b.Context, chromedp.Evaluate[[]byte](js, chromedp.EvalAwaitPromise))
	if err == nil && into != nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// prefers makes the browser prefer a colour scheme.
func (b *tab) prefers(t testing.TB, scheme string) {
	t.Helper()
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// quiet fails when the browser complained or something was asked for.
func (b *tab) quiet(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complains {
		t.Errorf("the browser says: %s", c)
	}
	for _, r := range b.requests {
		t.Errorf("the page asks for %s", r)
	}
}

func samplePage(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("SHOAL_PAGE"); p != "" { // a page made before
		return p
	}
	chromium(t)
	made, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	return made.page
}

func TestPageWorksInABrowser(t *testing.T) {
	b := open(t, samplePage(t), 1280, 900)
	var sections []struct {
		ID                             string
		Height                         float64
		Figures, Charts, Empty, Broken int
	}
	b.ask(t, `Array.from(document.querySelectorAll("main > section")).map(s => ({
		ID: s.id, Height: s.getBoundingClientRect().height, Figures: s.querySelectorAll(".fig").length,
		Charts: s.querySelectorAll(".chart svg").length,
		Empty: Array.from(s.querySelectorAll(".chart svg")).filter(v => v.getBoundingClientRect().height < 30 || v.querySelectorAll("rect,circle,path,line").length == 0).length,
		Broken: Array.from(s.querySelectorAll(".chart svg *")).filter(e => Array.from(e.attributes).some(a => /NaN|Inf|undefined/.test(a.value))).length }))`, &sections)
	want := map[string]int{"tonight": 1, "segments": 10, "predictions": 12, "value": 6, "behaviour": 5, "data": 1, "glossary": 0}
	for _, s := range sections {
		charts, ok := want[s.ID]
		if !ok || s.Height < 100 || s.Charts < charts || s.Figures == 0 || s.Empty > 0 || s.Broken > 0 {
			t.Errorf("section %s: %.0f pixels high, %d figures, %d charts (%d expected), of these %d empty, with %d broken marks", s.ID, s.Height, s.Figures, s.Charts, charts, s.Empty, s.Broken)
		}
		delete(want, s.ID)
	}
	for s := range want {
		t.Errorf("there is no section %s", s)
	}

	// The sections' links lead to them, though what is out of view has not been laid out.
	for _, id := range []string{"glossary", "predictions", "data", "value", "tonight"} {
		var top float64
		b.ask(t, fmt.Sprintf(`(() => { document.querySelector("nav a[href='#%s']").click(); return new Promise(done => setTimeout(() => done(document.getElementById(%q).getBoundingClientRect().top), 300)) })()`, id, id), &top)
		if top < 20 || top > 220 {
			t.Errorf("the link to %s leads to where it begins at %.0f pixels of the window", id, top)
		}
	}

	// Hover: a mark shows its numbers, and a place without a mark hides them.
	var tip string
	b.ask(t, `(() => { const t = document.querySelector("#profile-behaviour svg rect > title"), m = t.parentNode, says = t.textContent; m.scrollIntoView({block: "center"});
		return new Promise(done => setTimeout(() => { const r = m.getBoundingClientRect(); window.at = [r.left + r.width / 2, r.top + r.height / 2]; done(says) }, 300)) })()`, &tip) // scrolling hides tips, a little later
	var at []float64
	b.ask(t, `window.at`, &at)
	var shown struct {
		Hidden bool
		Text   string
	}
	b.do(t, chromedp.MouseEvent("mouseMoved", at[0], at[1]))
	b.ask(t, `({Hidden: document.getElementById("tip").hidden, Text: document.getElementById("tip").textContent})`, &shown)
	if shown.Hidden || shown.Text != tip || !strings.Contains(tip, "mean ") {
		t.Errorf("hovering over a cell that says %q shows %+v", tip, shown)
	}
	b.do(t, chromedp.MouseEvent("mouseMoved", 3, 400))
	b.ask(t, `({Hidden: document.getElementById("tip").hidden})`, &shown)
	if !shown.Hidden {
		t.Error("the tip stays when the pointer has gone")
	}
	// By the keyboard too.
	b.do(t, chromedp.Focus(chromedp.CSS("#segments-behaviour svg")), chromedp.KeyEvent(kb.ArrowRight))
	b.ask(t, `({Hidden: document.getElementById("tip").hidden, Text: document.getElementById("tip").textContent})`, &shown)
	if shown.Hidden || !strings.Contains(shown.Text, "Customers: ") {
		t.Errorf("the arrow key shows %+v", shown)
	}

	// Sort: a number column by its numbers, both ways.
	sorted := func(up bool) {
		t.Helper()
		var vs []float64
		b.ask(t, `(() => { const t = document.querySelector("#distributions table"); Array.from(t.querySelectorAll("th button"))[1].click();
			return Array.from(t.querySelectorAll("tbody tr")).map(r => parseFloat(r.cells[1].dataset.v || r.cells[1].textContent.replace(/,/g, ""))) })()`, &vs)
		if len(vs) < 10 {
			t.Fatalf("%d rows", len(vs))
		}
		for i := range len(vs) - 1 {
			if up && vs[i] > vs[i+1] || !up && vs[i] < vs[i+1] {
				t.Fatalf("sorted (rising: %v): %v", up, vs)
			}
		}
	}
	sorted(true)
	sorted(false)

	// Filter.
	var rows []int
	b.ask(t, `(() => { const d = document.querySelector("#columns details"); d.open = true; const n = () => Array.from(d.querySelectorAll("tbody tr")).filter(r => !r.hidden).length;
		const all = n(), i = d.querySelector(".filter"); i.value = "churn probability"; i.dispatchEvent(new Event("input")); const some = n(); i.value = ""; i.dispatchEvent(new Event("input")); return [all, some, n()] })()`, &rows)
	if len(rows) != 3 || rows[0] < 400 || rows[1] == 0 || rows[1] > 20 || rows[2] != rows[0] {
		t.Errorf("rows before, filtered and after: %v", rows)
	}

	// Theme: three states, dark is dark and light is light.
	shade := func() (v float64) {
		b.ask(t, `(() => { const c = getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number); return (c[0] + c[1] + c[2]) / 3 })()`, &v)
		return v
	}
	for _, w := range []struct {
		name string
		dark bool
	}{{"light", false}, {"dark", true}, {"automatic", false}} {
		var name string
		b.ask(t, `(() => { const t = document.getElementById("theme"); t.click(); return t.textContent })()`, &name)
		if v := shade(); name != "Theme: "+w.name || (v < 60) != w.dark {
			t.Errorf("theme %q: the page's shade is %.0f", name, v)
		}
	}
	b.prefers(t, "dark")
	if v := shade(); v > 60 {
		t.Errorf("the automatic theme follows no dark preference: %.0f", v)
	}

	// What a budget buys.
	var pays string
	b.ask(t, `(() => { const f = document.querySelector("form.pays"); f.cost.value = "1"; f.worth.value = "10"; f.dispatchEvent(new Event("input")); return f.querySelector("output").textContent })()`, &pays)
	if !strings.Contains(pays, "profit") {
		t.Errorf("the calculator says %q", pays)
	}
	// Copy.
	var copied string
	b.ask(t, `(() => { const b = document.querySelector(".fig .copy"); b.closest("details").open = true; b.click(); return new Promise(r => setTimeout(() => r(b.textContent), 300)) })()`, &copied)
	if copied == "Copy" {
		t.Error("the copy button does nothing")
	}
	b.quiet(t)
}

// The keyboard alone is enough, and nothing moves by itself.
func TestPageByKeyboard(t *testing.T) {
	b := open(t, samplePage(t), 1280, 900)
	var at string
	b.do(t, chromedp.KeyEvent(kb.Tab))
	if b.ask(t, `document.activeElement.className`, &at); at != "skip" {
		t.Errorf("the first stop is %q, not the link past the header", at)
	}
	press := func(selector, key string) {
		t.Helper()
		b.ask(t, fmt.Sprintf(`document.querySelector(%q).focus()`, selector), nil)
		b.do(t, chromedp.KeyEvent(key))
	}
	var open bool
	press("#quality-churn details.numbers summary", kb.Enter)
	if b.ask(t, `document.querySelector("#quality-churn details.numbers").open`, &open); !open {
		t.Error("Enter opens no numbers")
	}
	press("#quality-churn th button", kb.Enter)
	if b.ask(t, `document.querySelector("#quality-churn th").getAttribute("aria-sort") || ""`, &at); at != "ascending" {
		t.Errorf("Enter on a heading sorts %q", at)
	}
	press("#quality-churn svg", kb.ArrowRight)
	if b.ask(t, `document.getElementById("tip").hidden ? "" : document.getElementById("tip").getAttribute("role")`, &at); at != "status" {
		t.Error("an arrow key tells of no mark")
	}
	b.do(t, chromedp.KeyEvent(kb.Escape))
	if b.ask(t, `document.getElementById("tip").hidden ? "hidden" : ""`, &at); at == "" {
		t.Error("Escape leaves the tip")
	}
	// What cannot be reached: a thing to click that takes no focus.
	var unreached []string
	b.ask(t, `Array.from(document.querySelectorAll("a, button, summary, input, select, .scroll, .chart svg")).filter(e => e.tabIndex < 0).map(e => e.outerHTML.slice(0, 80))`, &unreached)
	for _, u := range unreached {
		t.Errorf("the keyboard does not reach %s", u)
	}
	var moving int
	b.ask(t, `document.getAnimations().length + Array.from(document.querySelectorAll("*")).filter(e => { const s = getComputedStyle(e); return s.animationName !== "none" || s.transitionDuration !== "0s" || s.scrollBehavior === "smooth" }).length`, &moving)
	if moving > 0 {
		t.Errorf("%d things move, also for who has asked for no motion", moving)
	}
	b.quiet(t)
}

// On a phone nothing is wider than the screen but what scrolls by itself, and text in
// charts can be read.
func TestPageOnAPhone(t *testing.T) {
	b := open(t, samplePage(t), 400, 800)
	var wide []string
	b.ask(t, `(() => { const scrolls = e => e.closest(".scroll, pre, nav"); return Array.from(document.querySelectorAll("body *")).filter(e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.right > 401 && !scrolls(e) && e.id !== "tip" && !e.classList.contains("skip") }).slice(0, 9).map(e => e.tagName + " " + (e.className.baseVal || e.className || "") + " in " + (e.closest("article") || {}).id + ": " + e.textContent.slice(0, 40)) })()`, &wide)
	for _, w := range wide {
		t.Errorf("beyond the right edge: %s", w)
	}
	var body, least float64
	b.ask(t, `document.documentElement.scrollWidth`, &body)
	if body > 400 {
		t.Errorf("the page is %.0f pixels wide", body)
	}
	b.ask(t, `Math.min(...Array.from(document.querySelectorAll(".chart svg")).map(s => 12 * s.getBoundingClientRect().width / 440))`, &least)
	if least < 9 {
		t.Errorf("charts' text is %.1f pixels high", least)
	}
	b.quiet(t)
}

// No text of a chart touches another or is cut by the chart's edge.
func TestChartTextsDoNotOverlap(t *testing.T) {
	b := open(t, samplePage(t), 1280, 900)
	overlaps(t, b)
}

func overlaps(t testing.TB, b *tab) {
	t.Helper()
	var faults []string
	b.ask(t, `(() => { const out = []; for (const svg of document.querySelectorAll(".chart svg")) {
		const id = svg.closest("article").id, all = svg.getBoundingClientRect();
		const boxes = Array.from(svg.querySelectorAll("text")).filter(t => !t.getAttribute("transform")).map(t => ({ r: t.getBoundingClientRect(), s: t.textContent }));
		for (const b of boxes) if (b.r.left < all.left - 1 || b.r.right > all.right + 1 || b.r.bottom > all.bottom + 2 || b.r.top < all.top - 2) out.push(id + ": cut off: " + b.s);
		for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) { const a = boxes[i].r, c = boxes[j].r;
			if (Math.min(a.right, c.right) - Math.max(a.left, c.left) > 1 && Math.min(a.bottom, c.bottom) - Math.max(a.top, c.top) > 4) out.push(id + ": " + boxes[i].s + " touches " + boxes[j].s); } }
		return out })()`, &faults)
	for _, f := range faults {
		t.Error(f)
	}
}

func TestPagePrints(t *testing.T) {
	b := open(t, samplePage(t), 1280, 900)
	background := true
	pdf := call(t, b, cdpage.PrintToPDF, cdpage.PrintToPDFParams{PrintBackground: &background}).Data
	if dir := os.Getenv("SHOAL_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "print.pdf"), pdf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if pages := strings.Count(string(pdf), "/Type /Page\n") + strings.Count(string(pdf), "/Type /Page "); len(pdf) < 50_000 || pages > 60 {
		t.Errorf("printed: %d bytes on %d pages", len(pdf), pages)
	}
	// On paper tables are whole and light.
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	var cut int
	b.ask(t, `Array.from(document.querySelectorAll("details[open] .scroll")).filter(e => e.scrollHeight > e.clientHeight + 2 && getComputedStyle(e).overflowY !== "visible").length`, &cut)
	if cut > 0 {
		t.Errorf("%d tables are cut off on paper", cut)
	}
	// And none is wider than A4 between its margins.
	b.do(t, chromedp.EmulateViewport(718, 1000))
	var wide []string
	b.ask(t, `Array.from(document.querySelectorAll("details[open] .scroll")).filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 2).map(e => e.closest("article").id + ": " + e.scrollWidth + " of " + e.clientWidth)`, &wide)
	for _, w := range wide {
		t.Errorf("a table is wider than paper: %s", w)
	}
}

// axe-core finds nothing to complain of, in either theme.
func TestPageIsAccessible(t *testing.T) {
	page := samplePage(t)
	var axe string
	pyoracle.Run(t, `import json, os, axe_core_python
print(json.dumps(open(os.path.join(os.path.dirname(axe_core_python.__file__), "axe.min.js"), encoding="utf-8").read()))`, nil, &axe)
	for _, scheme := range []string{"light", "dark"} {
		b := open(t, page, 1280, 900)
		b.prefers(t, scheme)
		call(t, b, cdpage.SetBypassCSP, cdpage.SetBypassCSPParams{Enabled: true})
		b.ask(t, `document.querySelectorAll("details").forEach(d => { if (d.querySelectorAll("tr").length < 60) d.open = true })`, nil)
		b.ask(t, axe+";0", nil)
		var found string
		b.ask(t, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, n: v.nodes.length, first: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " + (n.failureSummary || ""))}))))`, &found)
		var violations []struct {
			ID, Impact, Help string
			N                int
			First            []string
		}
		if err := json.Unmarshal([]byte(found), &violations); err != nil {
			t.Fatal(err)
		}
		for _, v := range violations {
			t.Errorf("%s: %s (%s), %d times: %s", scheme, v.Help, v.Impact, v.N, strings.Join(v.First, "\n"))
		}
	}
}

// With SHOAL_SCREENSHOTS, pictures of the page's sections for somebody to look at; of
// other pages too with SHOAL_PAGES=name=file,….
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SHOAL_SCREENSHOTS")
	if dir == "" {
		t.Skip("for looking: SHOAL_SCREENSHOTS names the directory")
	}
	pages := map[string]string{}
	for _, p := range strings.Split(os.Getenv("SHOAL_PAGES"), ",") {
		if name, file, ok := strings.Cut(p, "="); ok {
			pages[name] = file
		}
	}
	if len(pages) == 0 {
		pages["sample"] = samplePage(t)
	}
	for name, page := range pages {
		for _, look := range []struct {
			name  string
			width int64
			theme string
		}{{"light", 1280, "light"}, {"dark", 1280, "dark"}, {"phone", 400, "light"}, {"deuteranopia", 1280, "light"}, {"protanopia", 1280, "dark"}} {
			if only := os.Getenv("SHOAL_LOOKS"); only != "" && !strings.Contains(only, look.name) {
				continue
			}
			b := open(t, page, look.width, 1200)
			b.prefers(t, look.theme)
			overlaps(t, b)
			b.quiet(t)
			if of := emulation.SetEmulatedVisionDeficiencyType(look.name); strings.HasSuffix(look.name, "opia") {
				call(t, b, emulation.SetEmulatedVisionDeficiency, emulation.SetEmulatedVisionDeficiencyParams{Type: of})
			}
			var boxes []struct {
				ID     string
				Y, End float64
			}
			b.ask(t, drawn, nil)
			b.ask(t, `(() => { document.querySelector("header").style.position = "static"; return Array.from(document.querySelectorAll("main > section")).map(s => { const r = s.getBoundingClientRect(); return {ID: s.id, Y: r.top + scrollY, End: r.bottom + scrollY} }) })()`, &boxes)
			for _, box := range boxes {
				for part := 0; ; part++ {
					const tall = 1700
					from := box.Y + float64(part*tall)
					if from >= box.End || part > 9 {
						break
					}
					beyond := true
					png := call(t, b, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{CaptureBeyondViewport: &beyond, Clip: &cdpage.Viewport{Y: from, Width: float64(look.width), Height: min(tall, box.End-from), Scale: 1}}).Data
					if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%d.png", name, look.name, box.ID, part)), png, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}
