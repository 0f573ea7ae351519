// Package bind finds where a file keeps what a name stands for: in a column, or in
// the key of a key=value directory of its path.
package bind

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

// Column is where a file keeps a name, and the leaf that holds it, -1 when it is
// constant in the file. A column of the file goes before a key of the path. why says,
// unless it is "", why the column cannot be read; meaning is what it would be read as,
// and unfit judges its type.
func Column(foot *footer.Footer, keys []files.PartitionKey, name, meaning string, unfit func(*column.Type) string) (b column.Binding, leaf int, why string) {
	leaf = foot.Find(name)
	switch at := slices.IndexFunc(keys, func(k files.PartitionKey) bool { return k.Key == name }); {
	case leaf >= 0:
		l := &foot.Leaves[leaf]
		b.Type = column.Describe(l)
		if l.Repeated {
			return b, leaf, fmt.Sprintf("it is %s: %s; unnest it", b.Type.Name, meaning)
		}
		if why := unfit(&b.Type); why != "" {
			return b, leaf, fmt.Sprintf("it is %s: %s", b.Type.Name, why)
		}
		b.Path = l.Path
		if b.Type.NullOnly {
			return column.Binding{Type: column.PartitionKey, Null: true}, -1, ""
		}
	case at >= 0:
		b = column.Binding{Type: column.PartitionKey, Constant: keys[at].Value, Null: keys[at].Null}
	case foot.IsGroup(name):
		return b, leaf, fmt.Sprintf("it is a group; name a column in it, as %s.x", name)
	default:
		b = column.Binding{Type: column.PartitionKey, Null: true, Missing: true}
	}
	return b, leaf, ""
}

// Missing says that a file of the given columns has none of a name that is mapped to
// something, and which the name may have been meant to be.
func Missing(columns []string, file, name, mappedTo string) error {
	names := slices.Clone(columns)
	for _, k := range files.PartitionKeys(file) {
		names = append(names, k.Key)
	}
	hint := ""
	if n := nearest(names, name); n != "" {
		hint = fmt.Sprintf("; did you mean %q?", n)
	}
	sort.Strings(names)
	more := ""
	if len(names) > 60 {
		more = fmt.Sprintf(" and %d more", len(names)-60)
		names = names[:60]
	}
	return fmt.Errorf("the file has no such column or partition key, which is mapped to %s%s (it has %s%s)",
		mappedTo, hint, strings.Join(names, ", "), more)
}

// nearest is the name closest to what was asked for, "" when none is close.
func nearest(names []string, want string) string {
	best, least := "", math.MaxInt
	for _, n := range names {
		d := levenshtein.ComputeDistance(strings.ToLower(n), strings.ToLower(want))
		if i := strings.LastIndexByte(n, '.'); i >= 0 && strings.EqualFold(n[i+1:], want) {
			d = 0
		}
		if d < least {
			best, least = n, d
		}
	}
	if least > max(1, len(want)/3) {
		return ""
	}
	return best
}
