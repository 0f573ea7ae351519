package clustercount

import "slices"

// dip is Hartigan's dip of x, which is sorted in place: the least greatest
// distance of its distribution function to that of any distribution with one
// mode. It is in [1/2n, 1/4]; √n times it hardly depends on n where there is
// one mode (Hartigan and Hartigan, Ann. Statist. 13, 1985; the algorithm is
// that of Hartigan, Appl. Statist. 34, 1985, AS 217, with its later corrections).
// Cost: O(n log n).
func dip(x []float64) float64 {
	n := len(x)
	slices.Sort(x)
	if n < 4 || x[0] == x[n-1] {
		return 1 / float64(2*max(n, 1))
	}
	// A distribution with its mode in [low, high] is convex before and concave
	// after: below[j] is where the convex minorant of the points up to j turns
	// last, above[k] where the concave majorant of those from k on turns next.
	below, above := make([]int, n), make([]int, n)
	for j := 1; j < n; j++ {
		at := j - 1
		for at > 0 && (x[j]-x[at])*float64(at-below[at]) >= (x[at]-x[below[at]])*float64(j-at) {
			at = below[at]
		}
		below[j] = at
	}
	above[n-1] = n - 1
	for k := n - 2; k >= 0; k-- {
		at := k + 1
		for at < n-1 && (x[k]-x[at])*float64(at-above[at]) >= (x[at]-x[above[at]])*float64(k-at) {
			at = above[at]
		}
		above[k] = at
	}
	low, high := 0, n-1
	best := 1.0 // in counts, twice the dip
	minorant, majorant := make([]int, 0, n), make([]int, 0, n)
	for {
		minorant = append(minorant[:0], high) // descending
		for at := high; at > low; {
			at = below[at]
			minorant = append(minorant, at)
		}
		majorant = append(majorant[:0], low) // ascending
		for at := low; at < high; {
			at = above[at]
			majorant = append(majorant, at)
		}
		gap, left, right := widest(x, minorant, majorant)
		if gap < best {
			break
		}
		for j := left; j < len(minorant)-1; j++ {
			from, to := minorant[j+1], minorant[j]
			best = max(best, farthest(x, from, to, func(i int, chord float64) float64 { return float64(i-from+1) - chord }))
		}
		for j := right; j < len(majorant)-1; j++ {
			from, to := majorant[j], majorant[j+1]
			best = max(best, farthest(x, from, to, func(i int, chord float64) float64 { return chord - float64(i-from-1) }))
		}
		if low == minorant[left] && high == majorant[right] {
			break
		}
		low, high = minorant[left], majorant[right]
	}
	return best / float64(2*n)
}

// widest is the greatest distance between minorant and majorant, and where it
// lies in each of them.
func widest(x []float64, minorant, majorant []int) (gap float64, left, right int) {
	if len(minorant) == 2 && len(majorant) == 2 {
		return 1, 1, 1
	}
	left, right = len(minorant)-1, len(majorant)-1
	i, v := len(minorant)-2, 1
	for {
		g, m := minorant[i], majorant[v]
		var d float64
		if g > m { // the next turn is the majorant's
			from := minorant[i+1]
			d = float64(m-from+1) - (x[m]-x[from])*float64(g-from)/(x[g]-x[from])
			v++
			if d >= gap {
				gap, left, right = d, i+1, v-1
			}
		} else {
			from := majorant[v-1]
			d = (x[g]-x[from])*float64(m-from)/(x[m]-x[from]) - float64(g-from-1)
			i--
			if d >= gap {
				gap, left, right = d, i+1, v
			}
		}
		i, v = max(i, 0), min(v, len(majorant)-1)
		if minorant[i] == majorant[v] {
			return gap, left, right
		}
	}
}

// farthest is the greatest distance of the points between two turns to the chord.
func farthest(x []float64, from, to int, distance func(i int, chord float64) float64) float64 {
	most := 1.0
	if to-from <= 1 || x[to] == x[from] {
		return most
	}
	slope := float64(to-from) / (x[to] - x[from])
	for i := from; i <= to; i++ {
		most = max(most, distance(i, (x[i]-x[from])*slope))
	}
	return most
}
