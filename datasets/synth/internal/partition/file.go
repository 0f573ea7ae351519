package partition

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// waiting is a list of rows in chunks, so that many open days take the memory
// of their rows and no more.
type waiting struct {
	chunks []*chunk
	n      int
}

const chunkRows = 1 << 11

type chunk [chunkRows]behaviour.Row

func (w *waiting) at(i int) *behaviour.Row { return &w.chunks[i/chunkRows][i%chunkRows] }

// A Pool hands out the memory of waiting rows and takes it back, from any
// goroutine.
type Pool struct {
	mu   sync.Mutex
	free []*chunk
}

func (p *Pool) get() *chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c
	}
	return new(chunk)
}

func (p *Pool) put(cs []*chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, cs...)
}

// A File is one partition in the making: rows wait until they fill a row
// group or the day is over.
type File struct {
	path   string
	file   *os.File
	pool   *Pool
	rows   waiting
	offset int64
	total  int64
	groups []format.RowGroup
}

const magic = "PAR1"

// NewFile is a file to be made at path, with the directories above it, once
// there are rows for it. Files that share a pool share memory.
func NewFile(path string, pool *Pool) *File { return &File{path: path, pool: pool} }

// Add appends rows, and writes row groups as they fill.
func (f *File) Add(e *Encoder, rows []behaviour.Row) error {
	for len(rows) > 0 {
		used := f.rows.n % chunkRows
		if used == 0 {
			f.rows.chunks = append(f.rows.chunks, f.pool.get())
		}
		n := copy(f.rows.chunks[len(f.rows.chunks)-1][used:], rows)
		f.rows.n += n
		rows = rows[n:]
		if f.rows.n == GroupRows {
			if err := f.flush(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes the waiting rows as a row group.
func (f *File) flush(e *Encoder) error {
	out := e.out[:0]
	if f.offset == 0 {
		out = append(out, magic...)
	}
	out, meta, err := e.group(out, f.offset, &f.rows)
	e.out = out
	if err != nil {
		return fmt.Errorf("partition: encode %s: %w", f.path, err)
	}
	meta.Ordinal = int16(len(f.groups)) // wraps beyond 32,767 groups; readers do not need it
	f.groups = append(f.groups, meta)
	f.total += int64(f.rows.n)
	f.pool.put(f.rows.chunks)
	f.rows.chunks, f.rows.n = f.rows.chunks[:0], 0
	return f.write(out)
}

func (f *File) write(b []byte) error {
	if f.file == nil {
		file, err := create(f.path)
		if err != nil {
			return err
		}
		f.file = file
	}
	n, err := f.file.Write(b)
	f.offset += int64(n)
	if err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	return nil
}

// Finish writes what is waiting and the footer, and closes the file. Without
// rows there is no file.
func (f *File) Finish(e *Encoder) error {
	if f.rows.n > 0 {
		if err := f.flush(e); err != nil {
			return err
		}
	}
	if f.file == nil {
		return nil
	}
	orders := make([]format.ColumnOrder, numColumns)
	for i := range orders {
		orders[i].Value = new(format.TypeDefinedOrder)
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &format.FileMetaData{
		Version:      1,
		Schema:       e.layout.eventSchema(),
		NumRows:      f.total,
		RowGroups:    f.groups,
		CreatedBy:    CreatedBy,
		ColumnOrders: orders,
	})
	if err != nil {
		return fmt.Errorf("partition: footer of %s: %w", f.path, err)
	}
	size := len(footer)
	footer = binary.LittleEndian.AppendUint32(footer, uint32(size))
	if err := f.write(append(footer, magic...)); err != nil {
		return err
	}
	err = f.file.Close()
	f.file = nil
	if err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	return nil
}

// CreatedBy is the footer's created_by, in the form that readers parse:
// application version number (build text).
const CreatedBy = "shoal-synth version 1.0.0 (build 1)"

// Size is the number of bytes written so far.
func (f *File) Size() int64 { return f.offset }

// Abandon closes the file as it is, unless it is finished.
func (f *File) Abandon() {
	if f.file != nil {
		_ = f.file.Close() // what it holds is thrown away
		f.file = nil
	}
}

// create makes a new file and the directories above it.
func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("partition: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("partition: %w", err)
	}
	return f, nil
}
