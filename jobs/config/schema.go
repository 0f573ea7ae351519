package config

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/shoal-data/shoal/jobs/config/internal/describe"
)

// SchemaID is the identifier the JSON Schema carries.
const SchemaID = "https://github.com/shoal-data/shoal/shoal.schema.json"

// Schema is the JSON Schema (draft 2020-12) of shoal.yaml, for editors: keys,
// meanings, types, names, bounds and defaults, from the same tags the
// validator reads. Values may also be written as ${VAR}.
func Schema() []byte {
	return describer.JSONSchema(reflect.ValueOf(*Default()), SchemaID, "Shoal configuration")
}

// Reference is the configuration page in Markdown: one table a section, one
// row a key with its type, default and meaning.
func Reference() string {
	return `# Configuration

Generated from the configuration's declaration; do not edit.

One YAML file, by custom shoal.yaml. Unknown keys, repeated keys and wrong types are errors, and all faults are
reported at once. Values may hold environment variables: ` + "`${VAR}`" + ` (an error when unset), ` + "`${VAR:-default}`" + `, and ` + "`$$`" + `
for a literal ` + "`$`" + `. Days are written ` + "`90d`, `12w`, `1y` (365 days) or `90`" + `; durations ` + "`45s`, `30m`, `12h`, `1d`" + `; sizes
` + "`512MiB`, `1.5GiB`, `200MB`" + `. A gate is written ` + "`{warn: 0.1, fail: 0.3}`" + `: the bounds from which a run warns and fails, either of which may be
` + "`off`" + `, or left out to keep its default. The file may also be the manifest of a run, whose effective configuration is then used.
` + describer.Tables(reflect.ValueOf(*Default()))
}

var describer = describe.Writer{
	Encode: func(v reflect.Value) []byte {
		var b bytes.Buffer
		if err := encode(&b, v, false); err != nil {
			panic(fmt.Sprintf("config: default: %v", err))
		}
		return b.Bytes()
	},
	Element: func(t reflect.Type) reflect.Value {
		v := reflect.New(t)
		v.Interface().(defaulter).SetDefaults(0)
		return v.Elem()
	},
	Schema: schemaOf,
	Text: func(t reflect.Type) string {
		switch t {
		case reflect.TypeFor[OneOrMany]():
			return "text or list"
		case reflect.TypeFor[Columns]():
			return "event field → column"
		case reflect.TypeFor[Roles]():
			return "role → event type or list"
		case reflect.TypeFor[Gate]():
			return "gate"
		}
		return ""
	},
}

// schemaOf describes the types of this package that are maps or unions.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	object := func(keys []string, value *jsonschema.Schema) *jsonschema.Schema {
		s := &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.FalseSchema, Properties: jsonschema.NewProperties()}
		for _, k := range keys {
			s.Properties.Set(k, value)
		}
		return s
	}
	switch t {
	case reflect.TypeFor[OneOrMany]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}}
	case reflect.TypeFor[Columns]():
		s := object(fieldNames(), text)
		s.Required = []string{"customer_id", "event_time"}
		return s
	case reflect.TypeFor[Roles]():
		return object(roleNames(), schemaOf(reflect.TypeFor[OneOrMany]()))
	}
	return nil
}
