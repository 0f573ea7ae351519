package history

import (
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
)

// Alike counts the customer ids that are another's but for capitals and for spaces around
// them, and gives the first two such: one person that two systems write differently is
// two customers.
func Alike(ids *datasets.Dict) (n int64, first, second string) {
	type id struct{ folded, text string }
	all := make([]id, 0, ids.Len())
	for s := range datasets.DictShards {
		for local := range ids.ShardLen(s) {
			text := ids.Value(datasets.ShardCode(s, local))
			all = append(all, id{strings.ToLower(strings.TrimSpace(text)), text})
		}
	}
	slices.SortFunc(all, func(a, b id) int {
		if c := strings.Compare(a.folded, b.folded); c != 0 {
			return c
		}
		return strings.Compare(a.text, b.text)
	})
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && all[j].folded == all[i].folded {
			j++
		}
		if j > i+1 {
			if n == 0 {
				first, second = all[i].text, all[i+1].text
			}
			n += int64(j - i)
		}
		i = j
	}
	return n, first, second
}
