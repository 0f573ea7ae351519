package gbdt

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteLightGBM writes the model as LightGBM's text format, version 4, which its
// Python package loads with Booster(model_file=…): the same predictions, bit for
// bit before the link function. Spaces in column names become underscores.
func (m *Model) WriteLightGBM(w io.Writer) error {
	trees := m.Trees
	if len(trees) == 0 {
		trees = []Tree{{Value: []float64{0}, LeafCover: []float64{m.Rows}}}
	}
	var body bytes.Buffer
	sizes := make([]int, len(trees))
	for k := range trees {
		before := body.Len()
		base := 0.0
		if k == 0 {
			base = m.Base // the format knows no base but the first tree's leaves
		}
		trees[k].writeLightGBM(&body, k, base)
		sizes[k] = body.Len() - before
	}
	objective := map[Loss]string{
		Logistic: "binary sigmoid:1", Squared: "regression",
		Tweedie: "tweedie tweedie_variance_power:" + number(m.TweediePower),
	}[m.Loss]
	names, infos := make([]string, len(m.Names)), make([]string, len(m.Names))
	for j, name := range m.Names {
		names[j] = strings.Join(strings.Fields(name), "_")
		infos[j] = "none"
	}
	for k := range m.Trees {
		t := &m.Trees[k]
		for i, c := range t.Column {
			infos[c] = "[-1e308:1e308]"
			if t.Categories != nil && t.Categories[i] != nil {
				infos[c] = "0:1" // only marks the column as one of categories
			}
		}
	}
	_, err := fmt.Fprintf(w, "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=%d\n"+
		"objective=%s\nfeature_names=%s\nfeature_infos=%s\ntree_sizes=%s\n\n%send of trees\n\nparameters:\n\nend of parameters\n\npandas_categorical:null\n",
		len(names)-1, objective, strings.Join(names, " "), strings.Join(infos, " "), join(sizes, strconv.Itoa), body.Bytes())
	return err
}

func (t *Tree) writeLightGBM(w *bytes.Buffer, k int, base float64) {
	n := len(t.Column)
	line := func(key, value string) { fmt.Fprintf(w, "%s=%s\n", key, value) }
	whole := func(v float64) string { return strconv.FormatFloat(math.Round(v), 'f', 0, 64) }
	index := func(v int32) string { return strconv.Itoa(int(v)) }
	values := slices.Clone(t.Value)
	for l := range values {
		values[l] = base + values[l]
	}
	line("Tree", strconv.Itoa(k))
	line("num_leaves", strconv.Itoa(n+1))
	if n == 0 {
		line("num_cat", "0")
		line("leaf_value", number(values[0]))
		fmt.Fprint(w, "is_linear=0\nshrinkage=1\n\n\n")
		return
	}
	// Categories are bits of 32-bit words; a node's threshold is the number of its set.
	boundaries, words := []int{0}, []uint32(nil)
	decisions, thresholds := make([]int, n), make([]float64, n)
	for i := range n {
		thresholds[i] = t.Threshold[i]
		decisions[i] = 2 << 2 // missing values are NaN
		if t.MissingLeft[i] {
			decisions[i] |= 2
		}
		if t.Categories != nil && t.Categories[i] != nil {
			decisions[i] |= 1
			thresholds[i] = float64(len(boundaries) - 1)
			set := make([]uint32, t.Categories[i][len(t.Categories[i])-1]/32+1)
			for _, c := range t.Categories[i] {
				set[c/32] |= 1 << (c % 32)
			}
			words = append(words, set...)
			boundaries = append(boundaries, len(words))
		}
	}
	line("num_cat", strconv.Itoa(len(boundaries)-1))
	line("split_feature", join(t.Column, index))
	line("split_gain", join(t.Gain, number))
	line("threshold", join(thresholds, number))
	line("decision_type", join(decisions, strconv.Itoa))
	line("left_child", join(t.Left, index))
	line("right_child", join(t.Right, index))
	line("leaf_value", join(values, number))
	line("leaf_weight", join(t.LeafCover, number))
	line("leaf_count", join(t.LeafCover, whole))
	line("internal_value", join(make([]float64, n), number))
	line("internal_weight", join(t.Cover, number))
	line("internal_count", join(t.Cover, whole))
	if len(boundaries) > 1 {
		line("cat_boundaries", join(boundaries, strconv.Itoa))
		line("cat_threshold", join(words, func(v uint32) string { return strconv.FormatUint(uint64(v), 10) }))
	}
	fmt.Fprint(w, "is_linear=0\nshrinkage=1\n\n\n")
}

// number is v in as many digits as give it back.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func join[T any](values []T, text func(T) string) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = text(v)
	}
	return strings.Join(words, " ")
}
