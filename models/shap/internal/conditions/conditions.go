// Package conditions asks many rows one of a tree's questions at a time.
package conditions

// Lanes is what the number of rows is a multiple of.
const Lanes = 4

// Meet sets bit in met for the rows whose value is at most the threshold, and for those
// whose value is missing when missing is set. There are as many rows as values in
// column, a multiple of Lanes.
func Meet(met []uint64, column []float64, threshold float64, missing bool, bit uint64) {
	if len(column)%Lanes != 0 {
		panic("conditions: rows are no multiple of Lanes")
	}
	if len(column) > 0 {
		meet(met[:len(column)], column, threshold, missing, bit)
	}
}

func meetGo(met []uint64, column []float64, threshold float64, missing bool, bit uint64) {
	var ofMissing uint64
	if missing {
		ofMissing = bit
	}
	for i, v := range column {
		if v <= threshold {
			met[i] |= bit
		}
		if v != v {
			met[i] |= ofMissing
		}
	}
}
