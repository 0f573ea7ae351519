package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/jobs/config/internal/describe"
	"github.com/shoal-data/shoal/jobs/config/internal/nodes"
	"github.com/shoal-data/shoal/jobs/config/units"
)

// Effective is the whole configuration, defaults included, as canonical JSON:
// the keys of the file in declaration order, indented. Parse reads it back to
// an equal Config.
func (c *Config) Effective() ([]byte, error) {
	var b bytes.Buffer
	if err := encode(&b, reflect.ValueOf(*c), false); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("config: effective configuration: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// MarshalJSON is Effective, so that encoding/json writes the file's keys.
func (c *Config) MarshalJSON() ([]byte, error) { return c.Effective() }

// Hash identifies what of the configuration determines results, as 64
// hexadecimal digits. Locations (sources[].path, out) and resources
// (limits.workers, limits.memory) are left out: the same data read elsewhere
// or on another machine give the same results. The order in which a role's
// event types or the families are listed does not matter either.
func (c *Config) Hash() string {
	b := bytes.NewBufferString("shoal config 1\n")
	if err := encode(b, reflect.ValueOf(*c), true); err != nil {
		// Only a duration of broken seconds fails, which Validate refuses.
		fmt.Fprintf(b, "%+v", *c)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// encode writes v as compact JSON. For a hash, fields tagged hash:"-" are left
// out and lists that are sets are sorted.
func encode(b *bytes.Buffer, v reflect.Value, forHash bool) error {
	if s, ok := v.Interface().(units.Scalar); ok {
		text, err := s.MarshalText()
		if err != nil {
			return err
		}
		if s.Bare() {
			b.Write(text)
			return nil
		}
		return quote(b, string(text))
	}
	switch x := v.Interface().(type) {
	case Columns:
		b.WriteByte('{')
		n := 0
		for _, f := range datasets.Fields() {
			if col, ok := x[f]; ok {
				comma(b, &n)
				fmt.Fprintf(b, "%q:", f.String())
				if err := quote(b, col); err != nil {
					return err
				}
			}
		}
		b.WriteByte('}')
		return nil
	case Roles:
		b.WriteByte('{')
		n := 0
		for _, r := range datasets.Roles() {
			if types, ok := x[r]; ok {
				comma(b, &n)
				fmt.Fprintf(b, "%q:", r.String())
				if err := quoteAll(b, types, forHash); err != nil {
					return err
				}
			}
		}
		b.WriteByte('}')
		return nil
	case OneOrMany:
		return quoteAll(b, x, false)
	}
	switch v.Kind() {
	case reflect.Struct:
		b.WriteByte('{')
		n := 0
		for _, f := range describe.Fields(v.Type()) {
			if forHash && f.Tag.Get("hash") == "-" {
				continue
			}
			comma(b, &n)
			fmt.Fprintf(b, "%q:", f.Key)
			if f.Key == "families" {
				if err := quoteAll(b, v.Field(f.Index).Interface().([]string), forHash); err != nil {
					return err
				}
				continue
			}
			if err := encode(b, v.Field(f.Index), forHash); err != nil {
				return fmt.Errorf("%w (%s)", err, f.Key)
			}
		}
		b.WriteByte('}')
	case reflect.Slice:
		b.WriteByte('[')
		n := 0
		for i := range v.Len() {
			comma(b, &n)
			if err := encode(b, v.Index(i), forHash); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case reflect.String:
		return quote(b, v.String())
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint64:
		b.WriteString(strconv.FormatUint(v.Uint(), 10))
	case reflect.Float64:
		b.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	default:
		panic(fmt.Sprintf("config: no encoder for %v", v.Type()))
	}
	return nil
}

func comma(b *bytes.Buffer, n *int) {
	if *n > 0 {
		b.WriteByte(',')
	}
	*n++
}

func quoteAll(b *bytes.Buffer, list []string, sorted bool) error {
	if sorted {
		list = slices.Clone(list)
		slices.Sort(list)
	}
	b.WriteByte('[')
	n := 0
	for _, s := range list {
		comma(b, &n)
		if err := quote(b, s); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// quote writes a JSON string that Parse expands back to s.
func quote(b *bytes.Buffer, s string) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(nodes.Unexpand(s)); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // Encode ends with a line feed
	return nil
}

// SameEvents reports whether two configurations read rows alike, wherever they lie:
// what they count of the same rows can be compared.
func (c *Config) SameEvents(o *Config) bool {
	return alike([]any{c.Sources, c.TimeZone, c.Currency, c.CurrencyRates, c.Identity, c.Dedupe},
		[]any{o.Sources, o.TimeZone, o.Currency, o.CurrencyRates, o.Identity, o.Dedupe})
}

// SameFeatures reports whether two configurations that read rows alike also mean the
// same by every feature.
func (c *Config) SameFeatures(o *Config) bool {
	return alike([]any{c.Features.Windows, c.Features.SessionGap, c.Features.CartHours, c.Features.Custom, c.Occasions},
		[]any{o.Features.Windows, o.Features.SessionGap, o.Features.CartHours, o.Features.Custom, o.Occasions})
}

func alike(a, b []any) bool {
	for i := range a {
		var x, y bytes.Buffer
		if encode(&x, reflect.ValueOf(a[i]), true) != nil || encode(&y, reflect.ValueOf(b[i]), true) != nil || !bytes.Equal(x.Bytes(), y.Bytes()) {
			return false
		}
	}
	return true
}
