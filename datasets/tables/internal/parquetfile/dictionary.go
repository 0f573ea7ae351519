package parquetfile

import "slices"

// maxDictionary is the most values a column chunk's dictionary holds: their
// indexes and the hash table's slots fit 16 bits. The chunk's pages after it
// is full have plain values.
const maxDictionary = 1<<16 - 1

// maxDictionaryText bounds a dictionary of text in bytes.
const maxDictionaryText = 1 << 20

// words is a dictionary of values of fixed width, by their bits. Values keep
// the order in which they came.
type words struct {
	values []uint64
	slots  []uint16 // of a hash table, open addressing: 0, or 1 + an index into values
	shift  uint     // a hash's slot is in its upper 64-shift bits
}

func (d *words) reset() {
	if d.slots == nil {
		d.slots, d.shift = make([]uint16, 64), 64-6
	}
	clear(d.slots)
	d.values = d.values[:0]
}

// hash spreads the bits of small integers, of floats with few significant
// digits and of consecutive identifiers over the upper bits.
func hash(v uint64) uint64 {
	return (v ^ v>>32) * 0x9E3779B97F4A7C15
}

// appendIndexes appends the index of every value, new ones included, and
// returns how many it did before the dictionary was full.
func (d *words) appendIndexes(dst []uint16, values []uint64) ([]uint16, int) {
	from := len(dst)
	dst = slices.Grow(dst, len(values))[:from+len(values)]
	slots, known, shift := d.slots, d.values, d.shift
	for i, v := range values {
		// As a rule the value is known, and where its hash says: one way through, whose
		// loads overlap with those of the values that follow.
		at := hash(v) >> shift & uint64(len(slots)-1)
		if entry := slots[at]; entry > 0 && int(entry) <= len(known) && known[entry-1] == v {
			dst[from+i] = entry - 1
			continue
		}
		entry, ok := d.find(v, at)
		if !ok {
			return dst[:from+i], i
		}
		dst[from+i] = entry
		slots, known, shift = d.slots, d.values, d.shift
	}
	return dst, len(values)
}

// find is the index of a value, new or not, whose hash is that of a slot. ok is false
// when it is new and the dictionary is full.
func (d *words) find(v, at uint64) (index uint16, ok bool) {
	for mask := uint64(len(d.slots) - 1); d.slots[at] > 0; at = (at + 1) & mask {
		if index = d.slots[at] - 1; d.values[index] == v {
			return index, true
		}
	}
	if len(d.values) == maxDictionary {
		return 0, false
	}
	index = uint16(len(d.values))
	d.values = append(d.values, v)
	d.slots[at] = index + 1
	if 2*len(d.values) > len(d.slots) {
		d.grow()
	}
	return index, true
}

func (d *words) grow() {
	d.slots = make([]uint16, 2*len(d.slots))
	d.shift--
	for i, v := range d.values {
		at := hash(v) >> d.shift
		for d.slots[at] != 0 {
			at = (at + 1) & uint64(len(d.slots)-1)
		}
		d.slots[at] = uint16(i + 1)
	}
}

// texts is a dictionary of text, in the order in which it came.
type texts struct {
	values  []string
	indexes map[string]uint16
	bytes   int
}

func (d *texts) reset() {
	if d.indexes == nil {
		d.indexes = map[string]uint16{}
	}
	clear(d.indexes)
	clear(d.values)
	d.values, d.bytes = d.values[:0], 0
}

// index returns false when the dictionary is full.
func (d *texts) index(v []byte) (uint16, bool) {
	if i, ok := d.indexes[string(v)]; ok {
		return i, true
	}
	if len(d.values) == maxDictionary || d.bytes+len(v) > maxDictionaryText {
		return 0, false
	}
	s, i := string(v), uint16(len(d.values))
	d.values, d.bytes = append(d.values, s), d.bytes+len(v)
	d.indexes[s] = i
	return i, true
}
