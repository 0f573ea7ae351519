package pages

import (
	"fmt"

	"github.com/shoal-data/shoal/datasets/scan/internal/compact"
)

// A pageHeader says what a page holds, or claims to.
type pageHeader struct {
	typ                      int32
	compressed, uncompressed int32
	crc                      uint32
	hasCRC                   bool
	body                     bool // the header of typ is present
	values, nulls, rows      int32
	encoding, levelEncoding  int32
	defBytes, repBytes       int32
	isCompressed             bool
}

// Page types and encodings, as parquet.thrift numbers them.
const (
	dataPage       = 0
	indexPage      = 1
	dictionaryPage = 2
	dataPageV2     = 3

	plain                = 0
	plainDictionary      = 2
	rle                  = 3
	bitPacked            = 4
	deltaBinaryPacked    = 5
	deltaLengthByteArray = 6
	deltaByteArray       = 7
	rleDictionary        = 8
	byteStreamSplit      = 9
)

// parseHeader reads the page header at the start of b and returns its length.
// compact.ErrShort means that b holds only a part of it.
func parseHeader(b []byte) (h pageHeader, n int, err error) {
	c := compact.NewCursor(b)
	h.isCompressed = true
	var which int
	c.Fields(0, func(id int, typ byte) bool {
		switch {
		case typ == compact.I32 && id >= 1 && id <= 4:
			v := c.I32()
			switch id {
			case 1:
				h.typ = v
			case 2:
				h.uncompressed = v
			case 3:
				h.compressed = v
			case 4:
				h.crc, h.hasCRC = uint32(v), true
			}
			return true
		case typ == compact.Struct && (id == 5 || id == 7 || id == 8):
			which = id
			c.Fields(1, func(sub int, typ byte) bool {
				if id == 8 && sub == 7 && (typ == compact.True || typ == compact.False) {
					h.isCompressed = typ == compact.True
					return true
				}
				if typ != compact.I32 {
					return false
				}
				v := c.I32()
				switch id*10 + sub {
				case 51, 71, 81:
					h.values = v
				case 52, 72, 84:
					h.encoding = v
				case 53:
					h.levelEncoding = v
				case 82:
					h.nulls = v
				case 83:
					h.rows = v
				case 85:
					h.defBytes = v
				case 86:
					h.repBytes = v
				}
				return true
			})
			return true
		}
		return false
	})
	if c.Err() != nil {
		return h, 0, c.Err()
	}
	h.body = h.typ == dataPage && which == 5 || h.typ == dictionaryPage && which == 7 || h.typ == dataPageV2 && which == 8
	for _, v := range []int32{h.compressed, h.uncompressed, h.values, h.nulls, h.rows, h.defBytes, h.repBytes} {
		if v < 0 {
			return h, 0, fmt.Errorf("it holds the negative size %d", v)
		}
	}
	return h, c.At(), nil
}
