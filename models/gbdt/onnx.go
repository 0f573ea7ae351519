package gbdt

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// WriteONNX writes the model as an ONNX graph of doubles, operator sets 18 and
// ai.onnx.ml 5: input "x" is n×d in the order of Names, NaN where a value is
// missing; outputs "score" and "prediction", n×1, are those of Scores and Predict. The
// metadata's "columns" is Names as JSON.
func (m *Model) WriteONNX(w io.Writer) error {
	names, err := json.Marshal(m.Names)
	if err != nil {
		return err
	}
	base := m.Base
	var e ensemble
	for k := range m.Trees {
		if t := &m.Trees[k]; len(t.Column) > 0 {
			e.add(t)
		} else {
			base += t.Value[0]
		}
	}
	if len(e.roots) == 0 { // the operator wants a tree
		e.add(&Tree{Column: []int32{0}, Threshold: []float64{0}, MissingLeft: []bool{false}, Left: []int32{^0}, Right: []int32{^1}, Value: []float64{0, 0}})
	}
	node := func(op, domain string, inputs []string, output string, attributes ...message) message {
		n := message{}.text(4, op).text(7, domain).text(2, output)
		for _, in := range inputs {
			n = n.text(1, in)
		}
		for _, a := range attributes {
			n = n.embed(5, a)
		}
		return n
	}
	link := map[Loss]string{Logistic: "Sigmoid", Squared: "Identity", Tweedie: "Exp"}[m.Loss]
	graph := message{}.text(2, "boosted_trees").
		embed(1, node("TreeEnsemble", "ai.onnx.ml", []string{"x"}, "trees", e.attributes()...)).
		embed(1, node("Add", "", []string{"trees", "base"}, "score")).
		embed(1, node(link, "", []string{"score"}, "prediction")).
		embed(5, doubles([]float64{base}).text(8, "base")).
		embed(11, valueInfo("x", len(m.Names))).
		embed(12, valueInfo("score", 1)).
		embed(12, valueInfo("prediction", 1))
	const irVersion = 10
	_, err = w.Write(message{}.number(1, irVersion).text(2, "shoal").embed(7, graph).
		embed(8, message{}.text(1, "").number(2, 18)).
		embed(8, message{}.text(1, "ai.onnx.ml").number(2, 5)).
		embed(14, message{}.text(1, "columns").text(2, string(names))))
	return err
}

// An ensemble is the attributes of operator TreeEnsemble: nodes and leaves of all
// trees one after the other.
type ensemble struct {
	roots, columns, yes, yesLeaf, no, noLeaf, missingYes, targets []int64
	modes                                                         []byte
	splits, members, weights                                      []float64
}

// Comparisons of a node, as the operator numbers them.
const (
	atMost   = 0
	memberOf = 6
)

func (e *ensemble) add(t *Tree) {
	node, leaf := int64(len(e.columns)), int64(len(e.weights))
	e.roots = append(e.roots, node)
	child := func(c int32) (at, isLeaf int64) {
		if c < 0 {
			return leaf + int64(^c), 1
		}
		return node + int64(c), 0
	}
	for i, c := range t.Column {
		e.columns = append(e.columns, int64(c))
		yes, yesLeaf := child(t.Left[i])
		no, noLeaf := child(t.Right[i])
		e.yes, e.yesLeaf = append(e.yes, yes), append(e.yesLeaf, yesLeaf)
		e.no, e.noLeaf = append(e.no, no), append(e.noLeaf, noLeaf)
		missing := int64(0)
		if t.MissingLeft[i] {
			missing = 1
		}
		e.missingYes = append(e.missingYes, missing)
		if t.Categories != nil && t.Categories[i] != nil {
			e.modes, e.splits = append(e.modes, memberOf), append(e.splits, 0)
			for _, category := range t.Categories[i] {
				e.members = append(e.members, float64(category))
			}
			e.members = append(e.members, math.NaN()) // ends the set
			continue
		}
		e.modes, e.splits = append(e.modes, atMost), append(e.splits, t.Threshold[i])
	}
	for _, v := range t.Value {
		e.weights, e.targets = append(e.weights, v), append(e.targets, 0)
	}
}

func (e *ensemble) attributes() []message {
	const (
		isInt    = 2
		isTensor = 4
		isInts   = 7
	)
	ints := func(name string, v []int64) message {
		a := message{}.text(1, name).number(20, isInts)
		for _, i := range v {
			a = a.number(8, i)
		}
		return a
	}
	tensor := func(name string, t message) message {
		return message{}.text(1, name).number(20, isTensor).embed(5, t)
	}
	all := []message{
		message{}.text(1, "n_targets").number(20, isInt).number(3, 1),
		ints("tree_roots", e.roots), ints("nodes_featureids", e.columns),
		ints("nodes_truenodeids", e.yes), ints("nodes_trueleafs", e.yesLeaf),
		ints("nodes_falsenodeids", e.no), ints("nodes_falseleafs", e.noLeaf),
		ints("nodes_missing_value_tracks_true", e.missingYes), ints("leaf_targetids", e.targets),
		tensor("nodes_modes", message{}.number(1, int64(len(e.modes))).number(2, 2).text(9, string(e.modes))),
		tensor("nodes_splits", doubles(e.splits)), tensor("leaf_weights", doubles(e.weights)),
	}
	if e.members != nil {
		all = append(all, tensor("membership_values", doubles(e.members)))
	}
	return all
}

const elementDouble = 11

// doubles is a TensorProto of one dimension.
func doubles(v []float64) message {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	return message{}.number(1, int64(len(v))).number(2, elementDouble).text(9, string(raw))
}

// valueInfo is a ValueInfoProto of n×columns doubles.
func valueInfo(name string, columns int) message {
	shape := message{}.embed(1, message{}.text(2, "n")).embed(1, message{}.number(1, int64(columns)))
	tensor := message{}.number(1, elementDouble).embed(2, shape)
	return message{}.text(1, name).embed(2, message{}.embed(1, tensor))
}

// A message is a protocol buffer in the making; fields are those of onnx.proto.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) embed(field protowire.Number, o message) message { return m.text(field, string(o)) }

func (m message) number(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}
