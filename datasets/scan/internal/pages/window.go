package pages

import (
	"io"

	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
)

// readSize is how many bytes are fetched at a time: a fair request to an object
// store, and 14 columns are 14 MiB a worker.
const readSize = 1 << 20

// A window is a buffered view of a range of a file.
type window struct {
	src      io.ReaderAt
	pos, end int64 // of the file: next byte to fetch, end of the range
	buf      []byte
	lo       int // of buf: next byte to hand out
}

func (w *window) reset(src io.ReaderAt, from, to int64) {
	w.src, w.pos, w.end, w.buf, w.lo = src, from, to, w.buf[:0], 0
}

// remaining is the number of bytes not yet handed out.
func (w *window) remaining() int64 { return w.end - w.pos + int64(len(w.buf)-w.lo) }

// peek returns the next n bytes or more, or all that remain.
func (w *window) peek(n int) ([]byte, error) {
	if have := w.buf[w.lo:]; len(have) >= n || w.pos == w.end {
		return have, nil
	}
	have := len(w.buf) - w.lo
	size := int(min(int64(max(n, readSize)), w.remaining()))
	if cap(w.buf) < size {
		b := make([]byte, have, size)
		copy(b, w.buf[w.lo:])
		w.buf = b
	} else {
		copy(w.buf[:have], w.buf[w.lo:])
	}
	w.lo = 0
	w.buf = w.buf[:size]
	if err := fault.ReadAt(w.src, w.buf[have:], w.pos); err != nil {
		w.buf = w.buf[:have]
		return nil, err
	}
	w.pos += int64(size - have)
	return w.buf, nil
}
