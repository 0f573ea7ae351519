// Package describe reads the tags of a configuration's structs and writes what
// follows from them: a JSON Schema for editors and a page of reference.
//
// The tags are yaml (the key), doc (its meaning), min and max (bounds, written
// as the value is), enum (names, parted by |), required ("true") and optional
// ("true" for an enum that may be left empty).
package describe

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/shoal-data/shoal/jobs/config/units"
)

// A Field is one key of a struct.
type Field struct {
	Index int
	Key   string
	Tag   reflect.StructTag
	Type  reflect.Type
}

// Fields lists the keys of a struct in order.
func Fields(t reflect.Type) []Field {
	fs := make([]Field, t.NumField())
	for i := range fs {
		f := t.Field(i)
		fs[i] = Field{Index: i, Key: f.Tag.Get("yaml"), Tag: f.Tag, Type: f.Type}
	}
	return fs
}

// Bound reads a min or max tag the way a value of type t is written.
func Bound(t reflect.Type, tag string) float64 {
	if p, ok := reflect.New(t).Interface().(units.Scalar); ok {
		if err := p.(encoding.TextUnmarshaler).UnmarshalText([]byte(tag)); err != nil {
			panic(fmt.Sprintf("describe: bound %q of a %v: %v", tag, t, err))
		}
		f, _ := p.Number()
		return f
	}
	f, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic(fmt.Sprintf("describe: bound %q of a %v: %v", tag, t, err))
	}
	return f
}

// Number writes a number the shortest way that reads back.
func Number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// A Writer knows what the tags do not say of a configuration.
type Writer struct {
	Encode  func(reflect.Value) []byte            // canonical JSON of a value
	Element func(reflect.Type) reflect.Value      // a list's element, defaults filled in
	Schema  func(reflect.Type) *jsonschema.Schema // of types with a form of their own; nil for others
	Text    func(reflect.Type) string             // the same in words; "" for others
}

// JSONSchema is the schema (draft 2020-12) of the struct whose value holds the
// defaults. Any value but a list or section may also be written as ${VAR}.
func (w Writer) JSONSchema(defaults reflect.Value, id, title string) []byte {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     w.schemaOf,
	}
	s := r.ReflectFromType(defaults.Type())
	s.ID, s.Title = jsonschema.ID(id), title
	w.describe(s, defaults)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		panic(fmt.Sprintf("describe: schema: %v", err))
	}
	return b.Bytes()
}

// variable is a text that holds an environment variable.
func variable() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `\$\{`}
}

// schemaOf describes the types that reflection alone would describe wrongly.
func (w Writer) schemaOf(t reflect.Type) *jsonschema.Schema {
	if s := w.Schema(t); s != nil {
		return s
	}
	if v, ok := reflect.Zero(t).Interface().(units.Scalar); ok {
		pattern, least := v.Pattern()
		s := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: pattern}, variable()}}
		switch v.(type) {
		case units.Decimal, units.Bound:
			s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: "number"})
		default:
			if !math.IsNaN(least) {
				s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: "integer"})
			}
		}
		return s
	}
	return nil
}

// describe adds meaning, bounds, names and default to the properties of a
// struct, whose value holds the defaults.
func (w Writer) describe(s *jsonschema.Schema, defaults reflect.Value) {
	for _, f := range Fields(defaults.Type()) {
		p, _ := s.Properties.Get(f.Key)
		def := defaults.Field(f.Index)
		if f.Tag.Get("required") == "true" {
			s.Required = append(s.Required, f.Key)
		} else if b := w.Encode(def); !saysNothing(b) {
			p.Default = json.RawMessage(b)
		}
		if names := f.Tag.Get("enum"); names != "" {
			e := &jsonschema.Schema{Type: "string"}
			for n := range strings.SplitSeq(names, "|") {
				e.Enum = append(e.Enum, n)
			}
			if f.Tag.Get("optional") == "true" {
				e.Enum = append(e.Enum, "")
			}
			p.Type, p.AnyOf = "", []*jsonschema.Schema{e, variable()}
		}
		switch {
		case f.Type.Kind() == reflect.Struct && p.Properties != nil:
			w.describe(p, def)
			p.Default = nil // its keys have theirs
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && p.Items.Properties != nil:
			w.describe(p.Items, w.Element(f.Type.Elem()))
		case f.Type.Kind() == reflect.Slice && p.Items != nil:
			limit(p.Items, f.Type.Elem(), f.Tag)
		case f.Type.Kind() != reflect.String:
			limit(p, f.Type, f.Tag)
		}
		p.Description = f.Tag.Get("doc")
	}
}

func saysNothing(json []byte) bool {
	return bytes.Equal(json, []byte(`""`)) || bytes.Equal(json, []byte("{}")) || bytes.Equal(json, []byte("[]"))
}

// limit sets minimum and maximum of the numeric form, and allows a variable
// in its place.
func limit(p *jsonschema.Schema, t reflect.Type, tag reflect.StructTag) {
	switch p.Type {
	case "integer", "number", "boolean":
		p.AnyOf = []*jsonschema.Schema{{Type: p.Type}, variable()}
		p.Type = ""
	}
	for _, alt := range p.AnyOf {
		if alt.Type != "integer" && alt.Type != "number" {
			continue
		}
		if b := tag.Get("min"); b != "" {
			alt.Minimum = json.Number(Number(Bound(t, b)))
		} else if t.Kind() == reflect.Uint64 {
			alt.Minimum = "0"
		}
		if b := tag.Get("max"); b != "" {
			alt.Maximum = json.Number(Number(Bound(t, b)))
		}
	}
}

// Tables is the reference in Markdown: a table a section, a row a key with its
// type, default and meaning. defaults is the value that holds the defaults.
func (w Writer) Tables(defaults reflect.Value) string {
	var b strings.Builder
	w.section(&b, "", "Top level", defaults)
	return b.String()
}

func (w Writer) section(b *strings.Builder, path, title string, defaults reflect.Value) {
	fmt.Fprintf(b, "\n## %s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title)
	type sub struct {
		path, title string
		v           reflect.Value
	}
	var subs []sub
	for _, f := range Fields(defaults.Type()) {
		def := defaults.Field(f.Index)
		key := path + f.Key
		_, isScalar := def.Interface().(units.Scalar)
		isSection := f.Type.Kind() == reflect.Struct && !isScalar && w.Text(f.Type) == "" // what has words needs no section
		isSections := f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct
		shown := ""
		switch {
		case f.Tag.Get("required") == "true":
			shown = "required"
		case isSections && def.Len() > 0:
			var names []string
			for i := range def.Len() {
				names = append(names, "`"+def.Index(i).FieldByName("Name").String()+"`")
			}
			shown = strings.Join(names, ", ")
		case isSection, isSections:
			shown = "see below"
		default:
			shown = "none"
			if j := w.Encode(def); !saysNothing(j) {
				shown = "`" + strings.ReplaceAll(string(j), `"`, "") + "`"
			}
		}
		switch {
		case isSection:
			subs = append(subs, sub{key + ".", "`" + key + "`", def})
		case isSections:
			subs = append(subs, sub{key + "[].", "`" + key + "[]`", w.Element(f.Type.Elem())})
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, w.typeText(f), shown, strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`))
	}
	for _, s := range subs {
		w.section(b, s.path, s.title, s.v)
	}
}

// typeText names a key's type with its bounds or names.
func (w Writer) typeText(f Field) string {
	if names := f.Tag.Get("enum"); names != "" {
		return "`" + strings.Join(strings.Split(names, "|"), "`, `") + "`"
	}
	t, list := f.Type, ""
	text := w.Text(t)
	if text == "" && t.Kind() == reflect.Slice {
		t, list = t.Elem(), "list of "
	}
	if text == "" {
		text = nameOf(t)
	}
	switch {
	case list == "":
	case text == "text" || text == "section":
		text += "s"
	}
	if lo, hi := f.Tag.Get("min"), f.Tag.Get("max"); lo != "" && hi != "" {
		text += fmt.Sprintf(", %s to %s", lo, hi)
	}
	return list + text
}

func nameOf(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(interface{ Noun() string }); ok {
		return n.Noun()
	}
	switch reflect.Zero(t).Interface().(type) {
	case units.Days:
		return "days"
	case units.Duration:
		return "duration"
	case units.Size:
		return "size"
	case units.Memory:
		return "size or share"
	case units.AutoInt:
		return "`auto` or integer"
	case units.AutoDays:
		return "`auto` or days"
	case units.Within:
		return "`auto`, `ever` or days"
	case units.Date:
		return "date"
	case units.Decimal:
		return "number"
	case units.Bound:
		return "`off` or number"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "`true`, `false`"
	case reflect.Int, reflect.Uint64:
		return "integer"
	case reflect.Float64:
		return "number"
	}
	return "section"
}
