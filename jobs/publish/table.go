package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
)

// A TableWriter writes one table of a run, in as many files as its size asks
// for. What the files hold depends on the rows and on FileSize alone, not on
// how the rows are divided into records.
type TableWriter struct {
	s      *Staging
	schema *arrow.Schema
	opts   tables.Options
	dir    string
	table  Table

	file *part
	rows *tables.Writer // into file
	done bool
	err  error
}

// part is a file being written; it hashes what goes by.
type part struct {
	w     storage.Writer
	path  string
	hash  hash.Hash
	bytes int64
}

func (p *part) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.hash.Write(b[:n])
	p.bytes += int64(n)
	return n, output("writing", p.path, err)
}

// Write appends a record of the table's schema. Nothing of it is kept.
func (t *TableWriter) Write(rec arrow.Record) error {
	if t.done && t.err == nil {
		return fmt.Errorf("publish: table %s is closed", t.table.Name)
	}
	for from := int64(0); from < rec.NumRows() && t.err == nil; {
		var n int64
		if n, t.err = t.write(rec, from); t.err == nil {
			from += n
		}
	}
	return t.err
}

func (t *TableWriter) write(rec arrow.Record, from int64) (int64, error) {
	if err := t.s.ctx.Err(); err != nil {
		return 0, fmt.Errorf("publish: table %s: %w", t.table.Name, err)
	}
	if t.rows != nil && t.rows.Size() >= t.s.opts.FileSize {
		if err := t.endFile(); err != nil {
			return 0, err
		}
	}
	if t.rows == nil {
		if err := t.beginFile(); err != nil {
			return 0, err
		}
	}
	n, err := t.rows.Fill(rec, from)
	if err != nil {
		return 0, fmt.Errorf("publish: %w", err)
	}
	return n, nil
}

func (t *TableWriter) beginFile() error {
	path := fmt.Sprintf("%s/part-%05d.parquet", t.dir, len(t.table.Files))
	w, err := t.s.fsys.Create(t.s.ctx, path)
	if err != nil {
		return output("creating", path, err)
	}
	t.file = &part{w: w, path: path, hash: sha256.New()}
	t.rows, err = tables.NewWriter(t.file, t.schema, t.opts)
	return err
}

// endFile writes the footer and waits until the file is on the disk.
func (t *TableWriter) endFile() error {
	p := t.file
	err := t.rows.Close()
	if err == nil {
		err = output("syncing", p.path, p.w.Sync())
	}
	err = errors.Join(err, output("closing", p.path, p.w.Close()))
	t.file = nil
	if err != nil {
		return fmt.Errorf("publish: table %s: %w", t.table.Name, err)
	}
	name := fmt.Sprintf("part-%05d.parquet", len(t.table.Files))
	t.table.Files = append(t.table.Files, File{
		Path:  runDir(t.table.Name, t.s.opts.Date, t.s.runID) + "/" + name,
		Bytes: p.bytes, Rows: t.rows.Rows(), SHA256: hex.EncodeToString(p.hash.Sum(nil)),
	})
	t.table.Rows += t.rows.Rows()
	t.rows = nil
	return nil
}

// Close ends the table's last file. A table without rows has one file that says
// its schema.
func (t *TableWriter) Close() error {
	if t.done || t.err != nil {
		return t.err
	}
	t.done = true
	if len(t.table.Files) == 0 && t.rows == nil {
		t.err = t.beginFile()
	}
	if t.err == nil && t.rows != nil {
		t.err = t.endFile()
	}
	return t.err
}

// drop closes a file that is not wanted any more.
func (t *TableWriter) drop() {
	if t.file != nil {
		t.file.w.Close() // its content does not matter: the staging directory goes
		t.file = nil
	}
	t.done = true
}
