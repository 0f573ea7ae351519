package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// distance is how many letters two names differ by, letters' case counting
// nothing; close is whether the one may have been meant by the other.
func distance(a, b string) (d int, close bool) {
	limit := max(1, min(3, len(b)/4))
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return 0, false
	}
	d = levenshtein.ComputeDistance(strings.ToLower(a), strings.ToLower(b))
	return d, d <= limit
}

// neighbours are the names nearest to what was asked for.
type neighbours struct {
	ids []neighbour // nearest first
}

type neighbour struct {
	name     string
	distance int
}

// keptNeighbours is how many are remembered.
const keptNeighbours = 8

func (n *neighbours) add(name string, distance int) {
	new := neighbour{name, distance}
	at, known := slices.BinarySearchFunc(n.ids, new, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	if !known {
		n.ids = slices.Insert(n.ids, at, new)
		n.ids = n.ids[:min(len(n.ids), keptNeighbours)]
	}
}

func (n *neighbours) best(most int) []string {
	var names []string
	for _, v := range n.ids[:min(most, len(n.ids))] {
		names = append(names, v.name)
	}
	return names
}
