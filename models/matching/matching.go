// Package matching pairs the rows of a table of weights with its columns so
// that the weights of the pairs add up to the most: the assignment problem,
// solved exactly by the Hungarian method.
package matching

import (
	"fmt"
	"math"
)

// Maximise pairs each row with at most one column, and each column with at most
// one row, and returns the column of every row, -1 for a row without one. As
// many pairs are made as the shorter side has members. weights is rows × columns,
// row-major, finite. Cost: O(s² l) for the shorter side s and the longer l.
//
// It is the method of Kuhn (Nav. Res. Logist. Q. 2, 1955) with the shortest
// augmenting paths and dual prices of Jonker and Volgenant (Computing 38, 1987).
// Of several pairings of the same weight it always finds the same one.
func Maximise(rows, columns int, weights []float64) ([]int, error) {
	if rows < 0 || columns < 0 || len(weights) != rows*columns {
		return nil, fmt.Errorf("matching: %d weights do not fill %d rows of %d columns", len(weights), rows, columns)
	}
	for i, w := range weights {
		if math.IsNaN(w) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("matching: the weight of row %d and column %d is %v; weights must be finite", i/columns, i%columns, w)
		}
	}
	partner := make([]int, rows)
	for i := range partner {
		partner[i] = -1
	}
	if rows == 0 || columns == 0 {
		return partner, nil
	}
	if rows <= columns {
		return assign(rows, columns, func(i, j int) float64 { return -weights[i*columns+j] }), nil
	}
	for j, i := range assign(columns, rows, func(j, i int) float64 { return -weights[i*columns+j] }) {
		partner[i] = j
	}
	return partner, nil
}

// assign gives each of n rows a column of m ≥ n, at the least total cost. Rows
// join one at a time: the cheapest path that frees a column is found as Dijkstra
// would, on costs that the prices have made non-negative.
func assign(n, m int, cost func(i, j int) float64) []int {
	// Rows and columns count from 1; column 0 holds the row that is joining.
	rowPrice, columnPrice := make([]float64, n+1), make([]float64, m+1)
	owner, before := make([]int, m+1), make([]int, m+1) // of a column: its row, the column before it on the path
	for row := 1; row <= n; row++ {
		owner[0] = row
		at := 0
		dist, done := make([]float64, m+1), make([]bool, m+1)
		for j := range dist {
			dist[j] = math.Inf(1)
		}
		for owner[at] != 0 {
			done[at] = true
			i, next, step := owner[at], 0, math.Inf(1)
			for j := 1; j <= m; j++ {
				if done[j] {
					continue
				}
				if reduced := cost(i-1, j-1) - rowPrice[i] - columnPrice[j]; reduced < dist[j] {
					dist[j], before[j] = reduced, at
				}
				if dist[j] < step {
					step, next = dist[j], j
				}
			}
			for j := range m + 1 {
				if done[j] {
					rowPrice[owner[j]] += step
					columnPrice[j] -= step
				} else {
					dist[j] -= step
				}
			}
			at = next
		}
		for at != 0 {
			owner[at] = owner[before[at]]
			at = before[at]
		}
	}
	columns := make([]int, n)
	for j := 1; j <= m; j++ {
		if owner[j] != 0 {
			columns[owner[j]-1] = j - 1
		}
	}
	return columns
}
