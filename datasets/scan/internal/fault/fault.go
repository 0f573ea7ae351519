// Package fault says what went wrong with a file, where in it, and whether to
// retry, to fetch the file again or to correct the configuration.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// A Kind says what is to be done about an Error.
type Kind uint8

// The kinds of error.
const (
	BadData   Kind = iota + 1 // the files are damaged or contradict each other: do not retry
	NoInput                   // nothing matches
	Transient                 // storage failed: retry
	Config                    // the mapping does not fit the files: correct the configuration
)

func (k Kind) String() string {
	switch k {
	case BadData:
		return "bad data"
	case NoInput:
		return "no input"
	case Transient:
		return "transient"
	case Config:
		return "configuration"
	}
	return "unknown"
}

// An Error is a fatal fault, located as closely as it can be. RowGroup and Row
// count from 0 and are -1 where they do not apply.
type Error struct {
	Kind     Kind
	Source   string
	File     string
	RowGroup int
	Column   string
	Row      int64 // of the file
	Value    string
	Err      error // what is wrong, and what to do
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("scan: ")
	switch {
	case e.File != "":
		b.WriteString(e.File + ": ")
	case e.Source != "":
		b.WriteString("source " + e.Source + ": ")
	}
	var at []string
	if e.RowGroup >= 0 {
		at = append(at, fmt.Sprintf("row group %d", e.RowGroup))
	}
	if e.Column != "" {
		at = append(at, "column "+e.Column)
	}
	if e.Row >= 0 {
		at = append(at, fmt.Sprintf("row %d", e.Row))
	}
	if len(at) > 0 {
		b.WriteString(strings.Join(at, ", ") + ": ")
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "value %q: ", e.Value)
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Faults of a file that call for something other than fetching it again.
var (
	ErrNotParquet = errors.New("it is not a Parquet file")
	ErrEncrypted  = errors.New("it is encrypted")
)

// An UnsupportedError is a fault of a file that may be sound, and is not read. Its text
// says what to do.
type UnsupportedError struct{ what string }

// Unsupported makes an *UnsupportedError.
func Unsupported(format string, args ...any) error {
	return &UnsupportedError{fmt.Sprintf(format, args...)}
}

func (e *UnsupportedError) Error() string { return e.what }

// A StorageError is a failure to read, as opposed to a fault of what was read.
type StorageError struct{ Err error }

func (e *StorageError) Error() string { return e.Err.Error() }

// Unwrap returns the storage's error.
func (e *StorageError) Unwrap() error { return e.Err }

// ReadAt fills b from the given byte of a file on. A file that ends within b has
// changed or was cut short; any other failure is a *StorageError.
func ReadAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("it ends at byte %d, where %d more were expected", at+int64(n), len(b)-n)
	}
	return &StorageError{err}
}

// InSource is an error of a whole source.
func InSource(kind Kind, source, format string, args ...any) *Error {
	return &Error{Kind: kind, Source: source, RowGroup: -1, Row: -1, Err: fmt.Errorf(format, args...)}
}

// InFile classifies a failure to open or read a file, in row group rowGroup or
// -1, and column or "". A cancelled context stays what it is.
func InFile(source, path string, rowGroup int, column string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("scan: %s: %w", path, err)
	}
	e := &Error{Source: source, File: path, RowGroup: rowGroup, Column: column, Row: -1}
	var storage *StorageError
	var unsupported *UnsupportedError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Err = Transient, fmt.Errorf("%w: the file was removed after it was listed; run again", err)
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Err = Config, fmt.Errorf("%w: grant this process read access", err)
	case errors.As(err, &storage):
		e.Kind, e.Err = Transient, fmt.Errorf("cannot read: %w", err)
	case errors.Is(err, ErrEncrypted):
		e.Kind, e.Err = Config, fmt.Errorf("%w, which cannot be read; write the source without encryption", err)
	case errors.Is(err, ErrNotParquet):
		e.Kind, e.Err = BadData, fmt.Errorf("%w; narrow the path to Parquet files or remove it", err)
	case errors.As(err, &unsupported):
		e.Kind, e.Err = BadData, fmt.Errorf("%w, or fetch it again if others like it can be read", err)
	default:
		e.Kind, e.Err = BadData, fmt.Errorf("%w: the file is damaged; fetch it again or remove it", err)
	}
	return e
}
