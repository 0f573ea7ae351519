package history

import (
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
)

// Alike counts the customer ids that are another's but for capitals and for spaces around
// them: one person that two systems write differently is two customers.
func Alike(ids *datasets.Dict) (n int64) {
	all := make([]string, 0, ids.Len())
	for s := range datasets.DictShards {
		for local := range ids.ShardLen(s) {
			all = append(all, strings.ToLower(strings.TrimSpace(ids.Value(datasets.ShardCode(s, local)))))
		}
	}
	slices.Sort(all)
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && all[j] == all[i] {
			j++
		}
		if j > i+1 {
			n += int64(j - i)
		}
		i = j
	}
	return n
}
