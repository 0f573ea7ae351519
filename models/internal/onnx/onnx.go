// Package onnx writes ONNX graphs of doubles, operator sets 18 and ai.onnx.ml 5, as
// onnx.proto lays them out.
package onnx

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Graph takes "x", n×d, in the order of named columns, NaN where a value is
// missing. Methods that add a node return the name of its output.
type Graph struct {
	body    Message
	columns []string
	nodes   int
}

// New is a graph over the columns.
func New(name string, columns []string) *Graph {
	return &Graph{body: Message{}.Text(2, name).Embed(11, valueInfo("x", len(columns))), columns: columns}
}

// Input is the name of the rows.
const Input = "x"

// Node adds an operator of the default domain.
func (g *Graph) Node(op string, inputs ...string) string {
	return g.add(op, "", g.fresh(op), inputs, nil)
}

// Named is Node with a name for its output, which becomes one of the graph's, n×1.
func (g *Graph) Named(output, op string, inputs ...string) string {
	g.body = g.body.Embed(12, valueInfo(output, 1))
	return g.add(op, "", output, inputs, nil)
}

// Trees adds a TreeEnsemble.
func (g *Graph) Trees(input string, attributes []Message) string {
	return g.add("TreeEnsemble", "ai.onnx.ml", g.fresh("trees"), []string{input}, attributes)
}

// Gather picks columns of the input by place.
func (g *Graph) Gather(input string, columns []int64) string {
	raw := make([]byte, 0, 8*len(columns))
	for _, c := range columns {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(c))
	}
	const int64s = 7
	places := g.tensor(int64s, []int64{int64(len(columns))}, raw)
	const isInt = 2
	return g.add("Gather", "", g.fresh("columns"), []string{input, places}, []Message{Message{}.Text(1, "axis").Number(20, isInt).Number(3, 1)})
}

func (g *Graph) fresh(what string) string {
	g.nodes++
	return fmt.Sprintf("%s_%d", what, g.nodes)
}

func (g *Graph) add(op, domain, output string, inputs []string, attributes []Message) string {
	n := Message{}.Text(4, op).Text(7, domain).Text(2, output)
	for _, in := range inputs {
		n = n.Text(1, in)
	}
	for _, a := range attributes {
		n = n.Embed(5, a)
	}
	g.body = g.body.Embed(1, n)
	return output
}

// Row is a constant 1×k.
func (g *Graph) Row(v ...float64) string {
	return g.tensor(elementDouble, []int64{1, int64(len(v))}, rawDoubles(v))
}

// Column is a constant k×1.
func (g *Graph) Column(v ...float64) string {
	return g.tensor(elementDouble, []int64{int64(len(v)), 1}, rawDoubles(v))
}

// Mask is a constant 1×k of truth values.
func (g *Graph) Mask(v []bool) string {
	raw := make([]byte, len(v))
	for i, b := range v {
		if b {
			raw[i] = 1
		}
	}
	const booleans = 9
	return g.tensor(booleans, []int64{1, int64(len(v))}, raw)
}

func (g *Graph) tensor(element int64, shape []int64, raw []byte) string {
	name := g.fresh("constant")
	t := Message{}
	for _, n := range shape {
		t = t.Number(1, n)
	}
	g.body = g.body.Embed(5, t.Number(2, element).Text(9, string(raw)).Text(8, name))
	return name
}

// Write writes the model; its metadata's "columns" is the columns' names as JSON.
func (g *Graph) Write(w io.Writer) error {
	names, err := json.Marshal(g.columns)
	if err != nil {
		return err
	}
	const irVersion = 10
	_, err = w.Write(Message{}.Number(1, irVersion).Text(2, "shoal").Embed(7, g.body).
		Embed(8, Message{}.Text(1, "").Number(2, 18)).
		Embed(8, Message{}.Text(1, "ai.onnx.ml").Number(2, 5)).
		Embed(14, Message{}.Text(1, "columns").Text(2, string(names))))
	return err
}

const elementDouble = 11

func rawDoubles(v []float64) []byte {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	return raw
}

// Doubles is a TensorProto of one dimension.
func Doubles(v []float64) Message {
	return Message{}.Number(1, int64(len(v))).Number(2, elementDouble).Text(9, string(rawDoubles(v)))
}

// valueInfo is a ValueInfoProto of n×columns doubles.
func valueInfo(name string, columns int) Message {
	shape := Message{}.Embed(1, Message{}.Text(2, "n")).Embed(1, Message{}.Number(1, int64(columns)))
	tensor := Message{}.Number(1, elementDouble).Embed(2, shape)
	return Message{}.Text(1, name).Embed(2, Message{}.Embed(1, tensor))
}

// A Message is a protocol buffer in the making; fields are those of onnx.proto.
type Message []byte

// Text appends a string or bytes.
func (m Message) Text(field protowire.Number, s string) Message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

// Embed appends a message.
func (m Message) Embed(field protowire.Number, o Message) Message { return m.Text(field, string(o)) }

// Number appends an integer.
func (m Message) Number(field protowire.Number, v int64) Message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}
