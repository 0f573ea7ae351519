// Package nodes turns the text of a configuration, YAML or JSON, into YAML
// nodes that know their position, and expands environment variables.
package nodes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

// Line parts the line number that the YAML reader puts before a message.
func Line(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	return line, message
}

// Parse reads one YAML document, or JSON, into nodes that know their
// position. JSON has its own reader, since not every JSON text is YAML.
func Parse(data []byte) (*yaml.Node, error) {
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && t[0] == '{' && json.Valid(data) {
		return jsonNodes(data)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("is empty: sources and out are required; shoal init writes a configuration from your files")
		}
		return nil, err
	}
	if err := dec.Decode(&more); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins here; keep one", max(1, more.Line))
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc.Content[0], nil
}

// ManifestConfig is the config node of a run manifest, nil when root is none.
func ManifestConfig(root *yaml.Node) *yaml.Node {
	var version, config *yaml.Node
	if root.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(root.Content); i += 2 {
			switch root.Content[i].Value {
			case "manifest_version":
				version = root.Content[i+1]
			case "config":
				config = root.Content[i+1]
			}
		}
	}
	if version == nil {
		return nil
	}
	return config
}

// Expand replaces ${VAR} and ${VAR:-default}, and $$ by $. expanded reports
// whether a variable was replaced. A $ before anything else stands for itself.
func Expand(s string, lookup func(string) (string, bool)) (out string, expanded bool, err error) {
	if !strings.Contains(s, "$") {
		return s, false, nil
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String(), expanded, nil
		}
		b.WriteString(s[:i])
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			s = s[i+2:]
		case '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return "", false, fmt.Errorf("%q has no closing }; write $${ for a literal ${", s[i:])
			}
			name, def, hasDefault := strings.Cut(s[i+2:i+end], ":-")
			if !varName.MatchString(name) {
				return "", false, fmt.Errorf("%q is not an environment variable; write ${NAME}, ${NAME:-default}, or $${ for a literal ${", s[i:i+end+1])
			}
			v, set := lookup(name)
			// As in a shell, :- also replaces an empty value.
			if hasDefault && v == "" {
				v, set = def, true
			}
			if !set {
				return "", false, fmt.Errorf("environment variable %s is not set; set it, or write ${%s:-default}", name, name)
			}
			b.WriteString(v)
			expanded = true
			s = s[i+end+1:]
		default:
			b.WriteByte('$')
			s = s[i+1:]
		}
	}
}

var varName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Unexpand writes a text so that Expand gives it back.
func Unexpand(s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		b.WriteByte(s[i])
		if s[i] == '$' && i+1 < len(s) && (s[i+1] == '{' || s[i+1] == '$') {
			b.WriteByte('$')
		}
	}
	return b.String()
}

// jsonNodes reads valid JSON into the nodes the decoder walks, keeping
// positions and repeated keys.
func jsonNodes(data []byte) (*yaml.Node, error) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.dec.UseNumber()
	n, err := r.next()
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the JSON object; keep one")
	}
	return n, nil
}

type jsonReader struct {
	data      []byte
	dec       *json.Decoder
	from      int // offset up to which line and lineStart are counted
	line      int
	lineStart int // offset at which the line begins
}

// position moves to the first byte of the token the decoder reads next.
func (r *jsonReader) position() (line, column int) {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && (r.data[at] == ' ' || r.data[at] == '\t' || r.data[at] == '\r' || r.data[at] == '\n' || r.data[at] == ',' || r.data[at] == ':') {
		at++
	}
	for ; r.from < at; r.from++ {
		if r.data[r.from] == '\n' {
			r.line++
			r.lineStart = r.from + 1
		}
	}
	return r.line, at - r.lineStart + 1
}

func (r *jsonReader) next() (*yaml.Node, error) {
	n := &yaml.Node{}
	n.Line, n.Column = r.position()
	tok, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n.Kind = yaml.ScalarNode
	switch t := tok.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for r.dec.More() {
			child, err := r.next()
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err = r.dec.Token()
		return n, err
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if _, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}
