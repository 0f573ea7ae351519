package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config/conditions"
	"github.com/shoal-data/shoal/jobs/config/internal/describe"
	"github.com/shoal-data/shoal/jobs/config/internal/nodes"
	"github.com/shoal-data/shoal/jobs/config/measures"
	"github.com/shoal-data/shoal/jobs/config/units"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if intended:\n%s", file, diff)
	}
}

func unset(string) (string, bool) { return "", false }

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("shoal.yaml", []byte(text), unset)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

const minimal = `
sources:
  - path: s3://lake/events/ds=*/*.parquet
    columns: {customer_id: user_id, event_time: ts, event_type: name, amount: price}
    roles:   {purchase: [order_completed], view: [page_view, product_view], cart_add: [add_to_cart]}
out: s3://lake/shoal
`

// Everything has a default except where the data are.
func TestMinimalTakesDefaults(t *testing.T) {
	want := Default()
	src := DefaultSource(0)
	src.Path = OneOrMany{"s3://lake/events/ds=*/*.parquet"}
	src.Columns = Columns{datasets.CustomerID: "user_id", datasets.EventTime: "ts", datasets.EventType: "name", datasets.Amount: "price"}
	src.Roles = Roles{
		datasets.Purchase: {"order_completed"}, datasets.View: {"page_view", "product_view"}, datasets.CartAdd: {"add_to_cart"},
	}
	want.Sources = []Source{src}
	want.Out = "s3://lake/shoal"
	if diff := cmp.Diff(want, mustParse(t, minimal)); diff != "" {
		t.Error(diff)
	}
}

// Lists replace the defaults rather than adding to them, an empty one too.
func TestListsReplaceDefaults(t *testing.T) {
	c := mustParse(t, minimal+"segmentations: []\ntargets: [{name: x, kind: churn}]\n")
	if len(c.Segmentations) != 0 || len(c.Targets) != 1 || c.Targets[0].Role != RoleAuto || !c.Targets[0].Horizon.Auto {
		t.Errorf("segmentations %v, targets %v", c.Segmentations, c.Targets)
	}
}

func TestFaultsGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/faults/*.yaml")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("shoal.yaml", data, unset)
			var faults *Error
			if !errors.As(err, &faults) {
				t.Fatalf("error %v (%T), want *Error", err, err)
			}
			for _, f := range faults.Faults {
				if f.Line == 0 && len(data) > 0 {
					t.Errorf("no line: %v", f)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}

func TestFamiliesAreChecked(t *testing.T) {
	_, err := Parse("f", []byte(minimal+"features: {families: [recency, frequnecy]}\n"), unset)
	if err == nil || !strings.Contains(err.Error(), `features.families[1] ("frequnecy") is no feature family; did you mean "frequency"?`) {
		t.Errorf("error %v", err)
	}
	mustParse(t, minimal+"features: {families: ["+strings.Join(features.Names(), ", ")+"]}\n")
	for _, name := range features.Names() {
		for _, families := range []string{"[-" + name + "]", "[all, -" + name + "]", "\n  - -" + name} {
			c, err := Parse("f", []byte(minimal+"features:\n  families: "+strings.ReplaceAll(families, "\n", "\n  ")+"\n"), unset)
			if (err != nil) != features.IsCore(name) {
				t.Errorf("%s: %v", families, err)
			}
			if err != nil {
				continue
			}
			fs, err := features.Select(c.FeatureParams(), c.Features.Families)
			if err != nil || slices.ContainsFunc(fs, func(f features.Family) bool { return f.Name == name }) {
				t.Errorf("%s: %v, or still among the families", families, err)
			}
		}
	}
}

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "x", "EMPTY": "", "N": "7"}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	for _, tc := range []struct{ in, want, err string }{
		{"plain", "plain", ""},
		{"a${A}b${A}", "axbx", ""},
		{"${EMPTY}", "", ""},
		{"${EMPTY:-d}", "d", ""},
		{"${NO:-}", "", ""},
		{"${NO:-/a:-b}", "/a:-b", ""},
		{"$${A}", "${A}", ""},
		{"$$$$", "$$", ""},
		{"$A$", "$A$", ""},
		{"${NO}", "", "NO is not set"},
		{"${A", "", "no closing }"},
		{"${}", "", "not an environment variable"},
		{"${A-b}", "", "not an environment variable"},
	} {
		got, _, err := nodes.Expand(tc.in, lookup)
		if tc.err == "" && (err != nil || got != tc.want) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("expand(%q) = %q, %v; want %q, %q", tc.in, got, err, tc.want, tc.err)
		}
	}
	// What a variable holds is typed as if written in its place, quoted or not.
	for _, value := range []string{"${N}000", `"${N}000"`} {
		doc := strings.Replace(minimal, "s3://lake/shoal", "${N}", 1) + "limits:\n  sample_rows: " + value + "\n"
		c, err := Parse("f", []byte(doc), lookup)
		if err != nil || c.Limits.SampleRows != 7000 || c.Out != "7" {
			t.Errorf("%s: %+v, %v", value, c, err)
		}
	}
	if _, err := Parse("f", []byte(minimal+"models:\n  snapshots: ${A}\n"), lookup); err == nil || !strings.Contains(err.Error(), `models.snapshots: expected a whole number, found the text "x"`) {
		t.Errorf("error %v", err)
	}
}

func TestUnexpandInverts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[${}A:-]{0,12}`).Draw(t, "s")
		if got, _, err := nodes.Expand(nodes.Unexpand(s), unset); err != nil || got != s {
			t.Fatalf("%q → %q → %q, %v", s, nodes.Unexpand(s), got, err)
		}
	})
}

// anyConfig draws valid configurations that visit every key.
func anyConfig(t *rapid.T) *Config {
	text := rapid.OneOf(rapid.StringMatching(`[a-z${}\\"':# é\x{1F600}\x{2028}\x{85}\x{7f}]{1,8}`), rapid.SampledFrom([]string{"1", "true", "null", "~", "2020-01-01", "a: b", "- x", "yes", "{", "${A}", "$${A:-b}"}))
	days := rapid.Map(rapid.IntRange(1, 3650), func(n int) Days { return Days(n) })
	name := func(i int) string {
		return rapid.StringMatching(`[a-z][a-z0-9_]{0,10}`).Draw(t, "name") + fmt.Sprint(i)
	}
	autoInt := func(lo, hi int) AutoInt {
		if rapid.Bool().Draw(t, "auto") {
			return AutoInt{Auto: true}
		}
		return AutoInt{N: rapid.IntRange(lo, hi).Draw(t, "n")}
	}
	c := Default()
	c.Out = text.Draw(t, "out")
	c.TimeZone = rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "Asia/Kolkata"}).Draw(t, "zone")
	c.Dedupe = rapid.SampledFrom([]string{"auto", "none", "exact"}).Draw(t, "dedupe")
	for i := range rapid.IntRange(1, 3).Draw(t, "sources") {
		s := DefaultSource(i)
		s.Name = name(i)
		s.Path = rapid.SliceOfN(rapid.StringMatching(`/data/[a-z$ :#é"'*]{1,8}\.parquet`), 1, 3).Draw(t, "path")
		for _, f := range datasets.Fields() {
			if f <= datasets.EventTime || rapid.Bool().Draw(t, "mapped") {
				s.Columns[f] = text.Draw(t, "column")
			}
		}
		if _, ok := s.Columns[datasets.EventType]; ok {
			for j, r := range datasets.Roles() {
				for n := range rapid.IntRange(0, 2).Draw(t, "types") {
					s.Roles[r] = append(s.Roles[r], text.Draw(t, "type")+fmt.Sprint(j, n))
				}
			}
		} else {
			s.Role = rapid.SampledFrom(datasets.Roles()).Draw(t, "role").String()
		}
		if _, ok := s.Columns[datasets.Currency]; !ok {
			s.Currency = rapid.SampledFrom([]string{"", "EUR"}).Draw(t, "currency")
		}
		s.TimeUnit = rapid.SampledFrom([]string{"auto", "s", "ms", "us", "ns", "yyyymmdd"}).Draw(t, "unit")
		s.RequireDate = rapid.Bool().Draw(t, "require")
		c.Sources = append(c.Sources, s)
	}
	c.Currency = rapid.SampledFrom([]string{"", "EUR"}).Draw(t, "currency")
	c.Limits = Limits{
		RejectedShare:  rapid.Float64Range(0, 1).Draw(t, "share"),
		Workers:        autoInt(1, 64),
		Memory:         rapid.SampledFrom([]Memory{{Percent: 12.5}, {Bytes: 3 * units.GiB}, {Bytes: 20_000_001}}).Draw(t, "memory"),
		SampleRows:     rapid.IntRange(1000, 1e8).Draw(t, "rows"),
		RejectedSample: rapid.IntRange(0, 1e5).Draw(t, "sample"),
	}
	c.Features.Families = rapid.SliceOfNDistinct(rapid.SampledFrom(features.Names()), 1, 4, rapid.ID[string]).Draw(t, "families")
	c.Features.Windows = rapid.SliceOfNDistinct(days, 1, 6, rapid.ID[Days]).Draw(t, "windows")
	slices.Sort(c.Features.Windows)
	c.Features.SessionGap = Duration(rapid.Int64Range(60, 86400).Draw(t, "gap") * int64(time.Second))
	c.Features.CartHours = rapid.IntRange(1, 8760).Draw(t, "cart")
	texts := func(label string, n int) OneOrMany {
		return append(OneOrMany{}, rapid.SliceOfNDistinct(text, 0, n, rapid.ID[string]).Draw(t, label)...)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "custom") {
		var x Custom
		x.SetDefaults(0)
		x.Name, x.Meaning = "x_"+name(i), text.Draw(t, "meaning")
		x.Aggregate = rapid.SampledFrom([]string{"count", "share", "gap_mean"}).Draw(t, "aggregate")
		x.Where.EventType = append(texts("types", 2), "and this")
		if slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Columns[datasets.EventType] == "" }) || len(c.Sources) == 0 {
			x.Where.EventType = OneOrMany{}
			x.Aggregate = "count"
		}
		if x.Aggregate != "gap_mean" && rapid.Bool().Draw(t, "windowed") {
			x.Windows = []units.Window{units.Window(days.Draw(t, "window")), 0}
		}
		c.Features.Custom = append(c.Features.Custom, x)
		if i == 0 && rapid.Bool().Draw(t, "ratio") {
			var r Custom
			r.SetDefaults(0)
			r.Name, r.Ratio = "r_"+name(i), measures.Ratio{Of: x.Name, To: x.Name}
			c.Features.Custom = append(c.Features.Custom, r)
		}
	}
	c.Occasions = []Occasion{}
	for i := range rapid.IntRange(0, 2).Draw(t, "occasions") {
		var o Occasion
		o.SetDefaults(0)
		o.Name = "o_" + name(i)
		o.Calendar = rapid.SampledFrom([]string{"easter", "christmas", "cyber_monday"}).Draw(t, "calendar")
		o.Dates = append(o.Dates, rapid.SliceOfN(rapid.SampledFrom([]measures.Dates{"02-29", "12-27..01-06", "2025-05-20", "2025-12-20..2026-01-03"}), 0, 3).Draw(t, "dates")...)
		o.DaysOfMonth = append(o.DaysOfMonth, rapid.SliceOfN(rapid.SampledFrom([]measures.MonthDay{1, 31, features.LastOfMonth}), 0, 2).Draw(t, "monthdays")...)
		o.Before, o.After = Days(rapid.IntRange(0, 5).Draw(t, "before")), Days(rapid.IntRange(0, 5).Draw(t, "after"))
		c.Occasions = append(c.Occasions, o)
	}
	c.Segmentations = []Segmentation{}
	for i := range rapid.IntRange(0, 2).Draw(t, "segmentations") {
		s := DefaultSegmentation(name(i))
		s.K = autoInt(2, 40)
		s.KMin = rapid.IntRange(2, 10).Draw(t, "kmin")
		s.KMax = rapid.IntRange(s.KMin, 100).Draw(t, "kmax")
		s.Features = rapid.SliceOfNDistinct(text, 0, 3, rapid.ID[string]).Draw(t, "features")
		s.MinShare = rapid.Float64Range(0, 0.02).Draw(t, "minshare")
		s.Seed = rapid.Uint64().Draw(t, "seed")
		c.Segmentations = append(c.Segmentations, s)
	}
	c.Rules = []Rule{}
	for i := range rapid.IntRange(0, 2).Draw(t, "rules") {
		c.Rules = append(c.Rules, Rule{Name: "rule_" + name(i), Otherwise: "rest", Cells: []Cell{
			{Name: "some", When: []conditions.Text{rapid.SampledFrom([]conditions.Text{"a >= 0.5", "a in top 5%", "a is unknown"}).Draw(t, "condition")}}}})
	}
	c.Targets = []Target{}
	for i := range rapid.IntRange(0, 3).Draw(t, "targets") {
		g := DefaultTarget(name(i), rapid.SampledFrom([]string{"churn", "propensity"}).Draw(t, "kind"))
		g.Role = rapid.SampledFrom([]string{"auto", "any"}).Draw(t, "trole")
		g.Horizon = rapid.SampledFrom([]AutoDays{{Auto: true}, {Days: 45}}).Draw(t, "horizon")
		g.Gap = Days(rapid.IntRange(0, 365).Draw(t, "gap"))
		g.ActiveWithin = rapid.SampledFrom([]Within{{Mode: WithinAuto}, {Mode: WithinEver}, {Days: 77}}).Draw(t, "active")
		c.Targets = append(c.Targets, g)
	}
	c.Models = Models{
		Snapshots: rapid.IntRange(1, 52).Draw(t, "snapshots"), Retrain: rapid.SampledFrom([]string{"every_run", "weekly"}).Draw(t, "mretrain"), Seed: rapid.Uint64().Draw(t, "mseed"),
		L2: rapid.Float64Range(0, 1e6).Draw(t, "l2"), MinPositives: rapid.IntRange(10, 999).Draw(t, "positives"),
		ValueHorizon: days.Draw(t, "value"),
	}
	c.Monitoring.MetricsFile = rapid.SampledFrom([]string{"", "a b.prom"}).Draw(t, "metrics")
	c.Monitoring.Pushgateway = rapid.SampledFrom([]string{"", "https://push.example:9091/x"}).Draw(t, "push")
	bound := func() units.Bound {
		return rapid.SampledFrom([]units.Bound{{Off: true}, {Value: 0.25}}).Draw(t, "bound")
	}
	c.Gates.Action = rapid.SampledFrom([]string{GatesFail, GatesWarn, GatesOff}).Draw(t, "action")
	c.Gates.NullRise, c.Gates.Rows = Gate{bound(), bound()}, Gate{bound(), bound()}
	for range rapid.IntRange(0, 2).Draw(t, "nulls") {
		c.Gates.NullShare = append(c.Gates.NullShare, NullGate{"amount", "purchase", bound(), bound()})
	}
	c.Publish.FileSize = Size(rapid.Int64Range(units.MiB, 4*units.GiB).Draw(t, "size"))
	return c
}

// The effective configuration reads back to an equal one, alone and from
// inside a manifest, and marshals to the same bytes again.
func TestEffectiveRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		text, err := c.Effective()
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := json.Marshal(map[string]any{"manifest_version": 1, "config": c, "files": []string{"a"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{text, manifest} {
			back, err := Parse("effective", form, unset)
			if err != nil {
				t.Fatalf("%v\n%s", err, form)
			}
			if diff := cmp.Diff(c, back); diff != "" {
				t.Fatalf("%s\n%s", diff, form)
			}
			if back.Hash() != c.Hash() {
				t.Fatal("hash changed in a round trip")
			}
		}
	})
}

func TestLoadManifest(t *testing.T) {
	c := mustParse(t, minimal)
	text, err := c.Effective()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "manifest.json")
	if err := os.WriteFile(file, []byte(`{"files": [], "config": `+string(text)+`, "manifest_version": 3}`), 0o644); err != nil {
		t.Fatal(err)
	}
	back, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, back); diff != "" {
		t.Error(diff)
	}
	// Faults inside it are located in the manifest itself.
	broken := strings.Replace(string(text), `"dedupe"`, `"dedup"`, 1)
	_, err = Parse("m.json", []byte("{\"manifest_version\": 1,\n\"config\": "+broken+"}"), unset)
	if err == nil || !regexp.MustCompile(`m\.json:\d+:3: dedup: unknown key; did you mean "dedupe"`).MatchString(err.Error()) {
		t.Errorf("error %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// A flag replaces the file's value before the whole is validated.
func TestLoadWith(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shoal.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(minimal, "out: s3://lake/shoal", "limits: {workers: 3}", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := LoadWith(file, Overrides{Out: "x", Memory: "1GiB"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Out != "x" || c.Limits.Workers.Count() != 3 || c.Limits.Memory.Of(1) != units.GiB {
		t.Errorf("%+v", c)
	}
	c, err = LoadWith(file, Overrides{Out: "x", Workers: "auto"})
	if err != nil || !c.Limits.Workers.Auto || c.Limits.Workers.Count() < 1 {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = LoadWith(file, Overrides{Workers: "many", Memory: "1MiB"})
	for _, want := range []string{"out: missing", `limits.workers: --workers "many" is neither auto nor a whole number`, "limits.memory (1MiB) must be >= 16MiB"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

// Text that a manifest could not record is refused, wherever it comes from.
func TestTextIsUTF8(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shoal.yaml")
	text := strings.NewReplacer("events/", "${SHOAL_TEST_DIR}/", "user_id", `"${SHOAL_TEST_DIR}"`, "view: [page_view", `view: ["${SHOAL_TEST_DIR}"`).Replace(minimal)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHOAL_TEST_DIR", "caf\xe9")
	_, err := LoadWith(file, Overrides{Out: "\xff"})
	for _, want := range []string{
		`sources[0].path[0] ("s3://lake/caf\xe9/ds=*/*.parquet") is not UTF-8 text`, `sources[0].columns.customer_id ("caf\xe9") is`,
		`sources[0].roles.view[0] ("caf\xe9") is`, `out ("\xff") is`, "correct the variable",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

// What determines results changes the hash; where and with what resources a
// run happens, and in what order sets are written, does not.
func TestHash(t *testing.T) {
	base := mustParse(t, minimal).Hash()
	if len(base) != 64 {
		t.Fatalf("hash %q", base)
	}
	for name, same := range map[string]string{
		"path":     strings.Replace(minimal, "s3://lake/events", "/mnt/events", 1),
		"out":      strings.Replace(minimal, "out: s3", "out: gs", 1),
		"workers":  minimal + "limits: {workers: 3, memory: 1GiB}\n",
		"order":    strings.Replace(minimal, "[page_view, product_view]", "[product_view, page_view]", 1),
		"defaults": minimal + "time_zone: UTC\nmodels: {snapshots: 3}\n",
	} {
		if got := mustParse(t, same).Hash(); got != base {
			t.Errorf("%s changed the hash", name)
		}
	}
	seen := map[string]string{base: "base"}
	for _, change := range []string{
		"time_zone: Asia/Tokyo", "currency: EUR", "dedupe: exact", "limits: {rejected_share: 0.1}", "limits: {sample_rows: 1001}",
		"limits: {rejected_sample: 5}", "features: {windows: [7]}", "features: {session_gap: 1h}", "features: {families: [recency]}", "features: {cart_hours: 48}",
		"features: {custom: [{name: x, aggregate: count}]}", "features: {custom: [{name: x, aggregate: count, where: {role: view}}]}", "occasions: []", "occasions: [{name: easter}]",
		"segmentations: []",
		"targets: []", "models: {seed: 2}", "models: {l2: 2}", "publish: {file_size: 1MiB}",
	} {
		h := mustParse(t, minimal+change+"\n").Hash()
		if other, dup := seen[h]; dup {
			t.Errorf("%q hashes as %q does", change, other)
		}
		seen[h] = change
	}
	// Stability between versions: the hash is stored in manifests and compared
	// with those of later nights. A deliberate change of the defaults or of a
	// key's meaning is what may change it.
	golden(t, "testdata/hash.txt", []byte(base+"\n"))
}

func TestSchemaGolden(t *testing.T) { golden(t, "testdata/shoal.schema.json", Schema()) }

func TestReferenceGolden(t *testing.T) {
	ref := Reference()
	golden(t, "testdata/reference.md", []byte(ref))
}

// Every key of every struct has a meaning and is in schema and reference.
func TestEveryKeyIsDocumented(t *testing.T) {
	ref := Reference()
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for _, f := range describe.Fields(typ) {
			if f.Key == "" || len(f.Tag.Get("doc")) < 15 || !strings.HasSuffix(f.Tag.Get("doc"), ".") {
				t.Errorf("%s%s: key %q, meaning %q", path, typ.Field(f.Index).Name, f.Key, f.Tag.Get("doc"))
			}
			if !strings.Contains(ref, "| `"+path+f.Key+"` |") {
				t.Errorf("reference lacks %s", path+f.Key)
			}
			el, suffix := f.Type, "."
			if el.Kind() == reflect.Slice {
				el, suffix = el.Elem(), "[]."
			}
			if _, isScalar := reflect.Zero(el).Interface().(units.Scalar); el.Kind() == reflect.Struct && !isScalar && describer.Text(el) == "" {
				walk(el, path+f.Key+suffix)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestExamples(t *testing.T) {
	files, _ := filepath.Glob("testdata/examples/*.yaml")
	if len(files) < 2 {
		t.Fatalf("examples: %v", files)
	}
	schema := parseSchema(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(file, data, unset)
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if err := yaml.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
			for _, problem := range conforms(schema, doc, "") {
				t.Error(problem)
			}
			eff, err := c.Effective()
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(eff, &doc); err != nil {
				t.Fatal(err)
			}
			for _, problem := range conforms(schema, doc, "") {
				t.Error("effective:", problem)
			}
			if strings.HasSuffix(file, "full.yaml") {
				// It must go on visiting every key.
				if err := yaml.Unmarshal(data, &doc); err != nil {
					t.Fatal(err)
				}
				d := Default()
				for _, f := range describe.Fields(reflect.TypeFor[Config]()) {
					if reflect.DeepEqual(reflect.ValueOf(*c).Field(f.Index).Interface(), reflect.ValueOf(*d).Field(f.Index).Interface()) {
						t.Errorf("full.yaml leaves %s at its default", f.Key)
					}
				}
			}
		})
	}
}

// The faulty examples fail against the schema too, so editors flag them.
func TestSchemaRefusesFaults(t *testing.T) {
	schema := parseSchema(t)
	for _, bad := range []string{
		"sorces: []", "sources: 5", "sources: [{path: a, columns: {customer_id: a}}]", "dedupe: maybe", "limits: {workers: many}",
		"limits: {rejected_share: 2}", "models: {snapshots: 0}", "targets: [{name: x}]", "features: {windows: [30h]}", "features: {custom: [{aggregate: count}]}",
		"features: {custom: [{name: x, aggregate: average}]}", "features: {custom: [{name: x, windows: [ever]}]}", "features: {custom: [{name: x, where: {size: 4}}]}", "occasions: [{name: x, dates: [May]}]",
		"occasions: [{name: x, days_of_month: [32]}]", "occasions: [{name: x, calendar: xmas}]", "publish: {file_size: 5}",
	} {
		var doc any
		text := bad
		if !strings.HasPrefix(bad, "s") {
			text = strings.TrimSpace(minimal) + "\n" + bad
		}
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		if len(conforms(schema, doc, "")) == 0 {
			t.Errorf("schema accepts %s", bad)
		}
	}
}

// Schema bounds and validator bounds are the same ones: one step outside each
// bound is a fault at that key, the bound itself is not.
func TestBoundsHold(t *testing.T) {
	n := 0
	var walk func(v reflect.Value, path string, faults func() []Fault)
	walk = func(v reflect.Value, path string, faults func() []Fault) {
		for _, f := range describe.Fields(v.Type()) {
			fv, at := v.Field(f.Index), path+f.Key
			if fv.Kind() == reflect.Slice {
				if fv.Len() == 0 {
					continue
				}
				fv, at = fv.Index(0), at+"[0]"
			}
			if f.Tag.Get("min") == "" {
				if _, isScalar := fv.Interface().(units.Scalar); fv.Kind() == reflect.Struct && !isScalar {
					walk(fv, at+".", faults)
				}
				continue
			}
			old := reflect.New(fv.Type()).Elem()
			old.Set(fv)
			for _, tc := range []struct {
				bound string
				step  float64
				fault bool
			}{{"min", 0, false}, {"min", -1, true}, {"max", 0, false}, {"max", 1, true}} {
				value := describe.Bound(fv.Type(), f.Tag.Get(tc.bound)) + tc.step
				switch p := fv.Addr().Interface().(type) {
				case *Days:
					*p = Days(value)
				case *Duration:
					*p = Duration(value + tc.step*(float64(time.Second)-1))
				case *Size:
					*p = Size(value)
				case *AutoInt:
					*p = AutoInt{N: int(value)}
				case *AutoDays:
					*p = AutoDays{Days: Days(value)}
				case *Within:
					*p = Within{Days: Days(value)}
				case *units.Window:
					*p = units.Window(value)
				case *units.Bound:
					*p = units.Bound{Value: value}
				case *int:
					*p = int(value)
				case *float64:
					*p = value
				default:
					t.Fatalf("%s: %T", at, p)
				}
				found := slices.ContainsFunc(faults(), func(g Fault) bool {
					return g.Path == at && (strings.HasPrefix(g.Message, "must be >= "+f.Tag.Get("min")) || g.Message == "must be <= "+f.Tag.Get("max"))
				})
				if found != tc.fault {
					t.Errorf("%s at %s%+g: fault %v", at, tc.bound, tc.step, found)
				}
				n++
			}
			fv.Set(old)
		}
	}
	c := mustParse(t, minimal)
	walk(reflect.ValueOf(c).Elem(), "", func() []Fault { return c.faults() })
	if n < 4*18 {
		t.Errorf("only %d checks", n)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("not restored: %v", err)
	}
	c.Limits.RejectedShare = math.NaN()
	if c.Validate() == nil {
		t.Error("NaN share accepted")
	}
}

func TestHelpers(t *testing.T) {
	c := mustParse(t, minimal+"time_zone: Europe/Berlin\n")
	roles := c.Sources[0].EventRoles()
	want := map[string]datasets.Role{"order_completed": datasets.Purchase, "page_view": datasets.View, "product_view": datasets.View, "add_to_cart": datasets.CartAdd}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Error(diff)
	}
	if !c.MapsRole(datasets.View) || c.MapsRole(datasets.Renew) {
		t.Error("MapsRole")
	}
	if loc, err := c.Location(); err != nil || loc.String() != "Europe/Berlin" {
		t.Errorf("%v %v", loc, err)
	}
	if _, ok := c.Sources[0].ConstantRole(); ok {
		t.Error("role of a source with event types")
	}
	till := mustParse(t, "sources: [{path: a, columns: {customer_id: a, event_time: b}, role: purchase}]\nout: o")
	if r, ok := till.Sources[0].ConstantRole(); !ok || r != datasets.Purchase || !till.MapsRole(datasets.Purchase) {
		t.Error("constant role")
	}
}

// The keys of a source and of the features reach the packages that honour them.
func TestConversions(t *testing.T) {
	data, err := os.ReadFile("testdata/examples/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, string(data))
	in, err := c.ScanInput()
	if err != nil {
		t.Fatal(err)
	}
	web, till := in.Sources[0], in.Sources[1]
	if web.Name != "web" || len(web.Paths) != 2 || web.Columns[datasets.CustomerID] != "user.id" || web.Roles["page_view"] != datasets.View ||
		web.TimeZone.String() != "Europe/Berlin" || web.TimeUnit != scan.UnitMilli || web.Currency != "" {
		t.Errorf("web: %+v", web)
	}
	if till.Role != datasets.Purchase || till.TimeUnit != scan.UnitYYYYMMDD || till.Currency != "EUR" || till.TimeZone.String() != "Europe/Berlin" || // the job's, as it names none
		len(till.Roles) != 0 {
		t.Errorf("till: %+v", till)
	}
	if web.IDKind != scan.CustomerKind || till.IDKind != "card" {
		t.Errorf("kinds of ids: %q, %q", web.IDKind, till.IDKind)
	}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	identity := []scan.IdentityTable{
		{Paths: []string{"/lake/crm/merges.parquet"}, Alias: "old_id", Customer: "new_id", Kind: "customer"},
		{Paths: []string{"/lake/crm/cards/*.parquet"}, Alias: "card_no", Customer: "customer_no", Kind: "card"},
		{Paths: []string{"/lake/graph.parquet"}, Alias: "alias", Customer: "customer", KindColumn: "id_type", Kind: "customer"},
	}
	rates := &scan.RateSpec{
		To: "EUR", Zone: berlin, Paths: []string{"/lake/rates/*.parquet"}, Date: "day", Currency: "ccy", Rate: "mid",
		Listed: []scan.Rate{{Date: "2024-01-01", Currency: "CHF", Rate: "0.93"}}, Inverse: true, MaxAge: 10,
	}
	if diff := cmp.Diff(identity, in.Identity); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(rates, in.Rates, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
		t.Error(diff)
	}
	if in, err := mustParse(t, minimal).ScanInput(); err != nil || in.Identity != nil || in.Rates != nil {
		t.Errorf("%+v, %v", in, err)
	}
	want := features.Params{
		Windows: []int{14, 56, 365}, SessionGap: time.Hour, CartHours: 48,
		Occasions: []features.Occasion{
			{Name: "halloween", Calendar: "halloween", Before: 7},
			{Name: "advent", Calendar: "christmas", Before: 30},
			{Name: "sales", After: 2, Dates: []features.Dates{
				{From: features.Date{Month: 12, Day: 27}, To: features.Date{Month: 1, Day: 6}},
				{From: features.Date{Month: 7, Day: 1}, To: features.Date{Month: 7, Day: 1}},
				{From: features.Date{Year: 2025, Month: 3, Day: 3}, To: features.Date{Year: 2025, Month: 3, Day: 3}},
				{From: features.Date{Year: 2025, Month: 5, Day: 20}, To: features.Date{Year: 2025, Month: 5, Day: 25}},
			}},
			{Name: "payday", After: 3, MonthDays: []int{15, features.LastOfMonth}},
		},
		Custom: []features.Custom{
			{Name: "shoe_spend", Meaning: "What shoes cost them.", Aggregate: features.Sum, Column: "amount",
				Where: features.Filter{Roles: []datasets.Role{datasets.Purchase}, Values: map[datasets.Field][]string{datasets.Category: {"shoes", "boots"}}}},
			{Name: "push_share", Aggregate: features.Share, Windows: []int{60, features.Lifetime}, Among: features.Filter{Roles: []datasets.Role{datasets.Purchase, datasets.View}},
				Where: features.Filter{Values: map[datasets.Field][]string{datasets.Channel: {"push"}, datasets.EventType: {"order_completed", "page_view"}, datasets.ProductID: {"A-1"}, datasets.CampaignID: {"spring"}}}},
			{Name: "shoe_to_spend", Ratio: features.Ratio{Of: "shoe_spend", To: "spend"}, Windows: []int{365}},
		},
	}
	if diff := cmp.Diff(want, c.FeatureParams()); diff != "" {
		t.Error(diff)
	}
	// The default is the one the features package documents.
	if diff := cmp.Diff(features.DefaultParams(), Default().FeatureParams()); diff != "" {
		t.Error(diff)
	}
	// Every unit that the reader knows is a unit of the file, and the other way round.
	for _, name := range strings.Split(describe.Fields(reflect.TypeFor[Source]())[6].Tag.Get("enum"), "|") {
		if _, err := scan.ParseUnit(name); err != nil {
			t.Error(err)
		}
	}
}

// Aliases work; they cannot make decoding run away.
func TestAliases(t *testing.T) {
	c := mustParse(t, `
sources:
  - path: a
    columns: &cols {customer_id: c, event_time: t}
    role: purchase
  - path: b
    columns: *cols
    role: view
out: &o x
`)
	if diff := cmp.Diff(c.Sources[0].Columns, c.Sources[1].Columns); diff != "" || c.Sources[1].Name != "events2" {
		t.Error(diff, c.Sources[1].Name)
	}
	if _, err := Parse("f", []byte("sources: &a [*a, *a]\nout: x"), unset); err == nil {
		t.Error("a list of itself is accepted")
	}
}

func parseSchema(t *testing.T) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(Schema()))
	var s map[string]any
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// conforms checks a document against the parts of JSON Schema that Schema uses.
func conforms(schema, doc any, at string) (problems []string) {
	s, isObject := schema.(map[string]any)
	if !isObject {
		if schema == false {
			return []string{at + ": not allowed"}
		}
		return nil
	}
	bad := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	if alts, ok := s["anyOf"].([]any); ok {
		fits := slices.ContainsFunc(alts, func(a any) bool { return len(conforms(a, doc, at)) == 0 })
		if !fits {
			bad("%v fits none of %v", doc, alts)
		}
	}
	num, isNum := doc.(float64)
	if i, ok := doc.(int); ok {
		num, isNum = float64(i), true
	}
	text, isText := doc.(string)
	obj, isObj := doc.(map[string]any)
	list, isList := doc.([]any)
	_, isBool := doc.(bool)
	if typ, ok := s["type"]; ok {
		is := map[string]bool{"string": isText, "number": isNum, "integer": isNum && num == math.Trunc(num), "object": isObj, "array": isList, "boolean": isBool}[typ.(string)]
		if !is {
			bad("%v is no %v", doc, typ)
			return problems
		}
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, doc) {
		bad("%v is not among %v", doc, enum)
	}
	if p, ok := s["pattern"].(string); ok && isText && !regexp.MustCompile(p).MatchString(text) {
		bad("%q does not match %s", text, p)
	}
	if lo, ok := s["minimum"].(float64); ok && isNum && num < lo {
		bad("%v < %v", num, lo)
	}
	if hi, ok := s["maximum"].(float64); ok && isNum && num > hi {
		bad("%v > %v", num, hi)
	}
	for i, item := range list {
		problems = append(problems, conforms(s["items"], item, fmt.Sprintf("%s[%d]", at, i))...)
	}
	if isObj {
		props, _ := s["properties"].(map[string]any)
		for k, v := range obj {
			if p, ok := props[k]; ok {
				problems = append(problems, conforms(p, v, at+"."+k)...)
			} else if s["additionalProperties"] == false {
				bad("key %s is not allowed", k)
			}
		}
		required, _ := s["required"].([]any)
		for _, k := range required {
			if _, ok := obj[k.(string)]; !ok {
				bad("key %s is missing", k)
			}
		}
	}
	return problems
}

// What lies under out as runs do is taken for a run's, and may be removed.
func TestSourceWhereRunsLie(t *testing.T) {
	for source, refused := range map[string]bool{
		"lake/events/ds=*/run=*/x.parquet": true, "./lake/events/ds=*/run=7/deep/*.parquet": true,
		"lake/events/ds=*/*.parquet": false, "lake/events/ds=*/hour=*/x.parquet": false, "other/events/ds=*/run=*/x.parquet": false,
	} {
		_, err := Parse("f", []byte("sources: [{path: "+source+", columns: {customer_id: a, event_time: b}, role: purchase}]\nout: lake"), unset)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "move out elsewhere") {
			t.Errorf("%s: %v", source, err)
		}
	}
}
