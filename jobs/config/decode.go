package config

import (
	"encoding"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/jobs/config/internal/describe"
	"github.com/shoal-data/shoal/jobs/config/internal/nodes"
	"github.com/shoal-data/shoal/jobs/config/units"
)

// Load reads a configuration file, expanding environment variables. A run
// manifest (JSON with manifest_version and config) is accepted too: its
// effective configuration is used, so a run can be repeated from its record.
func Load(path string) (*Config, error) { return LoadWith(path, Overrides{}) }

// LoadWith is Load with some keys given on the command line.
func LoadWith(path string, o Overrides) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w; name a configuration file, or write one with shoal init", err)
	}
	return parse(path, data, os.LookupEnv, o)
}

// Parse decodes and validates a configuration in YAML or JSON. name is used in
// messages. ${VAR} and ${VAR:-default} in values are replaced through lookup,
// and $$ is a literal $; the effective configuration inside a manifest has
// been expanded already and reads back unchanged. The error, if any, is an
// *Error with every fault.
func Parse(name string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	return parse(name, data, lookup, Overrides{})
}

func parse(name string, data []byte, lookup func(string) (string, bool), o Overrides) (*Config, error) {
	var secrets masked
	d := &decoder{file: name, lookup: secrets.noting(lookup), at: map[string]*yaml.Node{}}
	root, err := nodes.Parse(data)
	if err != nil {
		line, msg := nodes.Line(err)
		f := Fault{File: name, Line: line, Message: msg}
		if line > 0 {
			f.Column = 1
		}
		return nil, &Error{Faults: []Fault{f}}
	}
	if c := nodes.ManifestConfig(root); c != nil {
		root = c
	}
	cfg := Default()
	d.value(root, reflect.ValueOf(cfg).Elem(), "")
	d.faults = append(d.faults, o.apply(cfg)...)

	for _, f := range cfg.faults() {
		if d.alreadyFaulty(f.Path) {
			continue
		}
		f.File = name
		if n := d.nearestNode(f.Path); n != nil {
			f.Line, f.Column = n.Line, n.Column
		}
		d.faults = append(d.faults, f)
	}
	if len(d.faults) > 0 {
		sortFaults(d.faults)
		secrets.hide(d.faults)
		return nil, &Error{Faults: d.faults}
	}
	return cfg, nil
}

type decoder struct {
	file   string
	lookup func(string) (string, bool)
	faults []Fault
	at     map[string]*yaml.Node // key path → where its value is
}

func (d *decoder) fault(n *yaml.Node, path, format string, args ...any) {
	d.faults = append(d.faults, Fault{File: d.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// alreadyFaulty reports whether decoding refused the value at path or one it
// lies in, so that validating what was left there would only mislead.
func (d *decoder) alreadyFaulty(path string) bool {
	for _, f := range d.faults {
		if rest, ok := strings.CutPrefix(path, f.Path); ok && (f.Path == "" || rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// nearestNode is where path, or the closest part around it that the file has, stands.
func (d *decoder) nearestNode(path string) *yaml.Node {
	for {
		if n := d.at[path]; n != nil || path == "" {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

type defaulter interface{ SetDefaults(i int) }

// value decodes n into v, which already holds the default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.at[path] = n
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.fault(n, path, "has no value; give one, or delete the key to take its default")
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *OneOrMany:
		if n.Kind == yaml.ScalarNode {
			if s, ok := d.text(n, path); ok {
				*p = OneOrMany{s}
			}
			return
		}
		d.texts(n, (*[]string)(p), path)
		return
	case *[]string:
		d.texts(n, p, path)
		return
	case *Columns:
		d.mapping(n, path, fieldNames(), func(key string, val *yaml.Node, at string) {
			f, _ := datasets.ParseField(key)
			s, ok := d.text(val, at)
			if !ok {
				s = "?" // refused already; present, so that validating does not call it missing
			}
			(*p)[f] = s
		})
		return
	case *Roles:
		d.mapping(n, path, roleNames(), func(key string, val *yaml.Node, at string) {
			r, _ := datasets.ParseRole(key)
			var types OneOrMany
			d.value(val, reflect.ValueOf(&types).Elem(), at)
			(*p)[r] = types
		})
		return
	case units.Scalar:
		s, _, ok := d.scalar(n, path, p.Want())
		if !ok {
			return
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
			d.fault(n, path, "%v; expected %s", err, p.Want())
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := describe.Fields(v.Type())
		known := make([]string, len(fields))
		for i, f := range fields {
			known[i] = f.Key
		}
		d.mapping(n, path, known, func(key string, val *yaml.Node, at string) {
			for _, f := range fields {
				if f.Key == key {
					d.value(val, v.Field(f.Index), at)
				}
			}
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fault(n, path, "expected a list, found %s", kindOf(n))
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			if e, ok := list.Index(i).Addr().Interface().(defaulter); ok {
				e.SetDefaults(i)
			}
			d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		v.Set(list)
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		const want = "true or false"
		if s, tag, ok := d.scalar(n, path, want); ok {
			if tag != "!!bool" || (s != "true" && s != "false") {
				d.fault(n, path, "expected %s, found %q", want, s)
				return
			}
			v.SetBool(s == "true")
		}
	case reflect.Int, reflect.Uint64, reflect.Float64:
		d.numeric(n, v, path)
	default:
		panic(fmt.Sprintf("config: no decoder for %v", v.Type()))
	}
}

func (d *decoder) numeric(n *yaml.Node, v reflect.Value, path string) {
	want := "a whole number"
	if v.Kind() == reflect.Float64 {
		want = "a number"
	} else if v.Kind() == reflect.Uint64 {
		want = "a whole number from 0 to 18446744073709551615"
	}
	s, tag, ok := d.scalar(n, path, want)
	if !ok {
		return
	}
	if tag != "!!int" && tag != "!!float" {
		d.fault(n, path, "expected %s, found %s %q", want, tagName(tag), s)
		return
	}
	digits := strings.ReplaceAll(s, "_", "")
	var err error
	switch v.Kind() {
	case reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(digits, 64); err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
			err = strconv.ErrRange
		}
		v.SetFloat(f)
	case reflect.Uint64:
		var u uint64
		u, err = strconv.ParseUint(digits, 10, 64)
		v.SetUint(u)
	default:
		var i int64
		i, err = strconv.ParseInt(digits, 10, 64)
		v.SetInt(i)
	}
	if err != nil {
		d.fault(n, path, "expected %s, found %s", want, s)
	}
}

// mapping walks a mapping's keys, reporting unknown and repeated ones.
func (d *decoder) mapping(n *yaml.Node, path string, known []string, each func(key string, val *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "expected keys and values (%s), found %s", strings.Join(known, ", "), kindOf(n))
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		if key.Kind != yaml.ScalarNode {
			d.fault(key, path, "a key must be plain text, found %s", kindOf(key))
			continue
		}
		if key.Value == "<<" && key.Style == 0 {
			d.fault(key, at, "merge keys are not supported; write the keys out")
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.fault(key, at, "appears twice (first on line %d); keep one", first.Line)
			continue
		}
		seen[key.Value] = key
		ok := false
		for _, k := range known {
			ok = ok || k == key.Value
		}
		if !ok {
			d.fault(key, at, "unknown key; %s", oneOf(key.Value, known))
			continue
		}
		each(key.Value, val, at)
	}
}

func (d *decoder) texts(n *yaml.Node, p *[]string, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "expected a list of texts, found %s", kindOf(n))
		return
	}
	list := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		d.at[at] = item
		if s, ok := d.text(item, at); ok {
			list = append(list, s)
		}
	}
	*p = list
}

func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.at[path] = n
	s, tag, ok := d.scalar(n, path, "a text")
	if ok && tag != "!!str" && !strings.Contains(n.Value, "${") {
		d.fault(n, path, "expected a text, found %s %s; write it in quotes: %q", tagName(tag), s, s)
		return "", false
	}
	return s, ok
}

// scalar is the text of a scalar after expansion and the tag it then has.
func (d *decoder) scalar(n *yaml.Node, path, want string) (text, tag string, ok bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "expected %s, found %s", want, kindOf(n))
		return "", "", false
	}
	text, expanded, err := nodes.Expand(n.Value, d.lookup)
	if err != nil {
		d.fault(n, path, "%v", err)
		return "", "", false
	}
	if !expanded {
		return text, n.ShortTag(), true
	}
	// What a variable holds is typed as if it had been written in its place.
	plain := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	return text, plain.ShortTag(), true
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("%s %q", tagName(n.ShortTag()), n.Value)
	case yaml.AliasNode:
		return kindOf(n.Alias)
	}
	return "something else"
}

func tagName(tag string) string {
	switch tag {
	case "!!str":
		return "the text"
	case "!!int", "!!float":
		return "the number"
	case "!!bool":
		return "the truth value"
	case "!!null":
		return "no value"
	case "!!timestamp":
		return "the date"
	}
	return "the value"
}

func fieldNames() []string {
	var names []string
	for _, f := range datasets.Fields() {
		names = append(names, f.String())
	}
	return names
}

func roleNames() []string {
	var names []string
	for _, r := range datasets.Roles() {
		names = append(names, r.String())
	}
	return names
}
