package erase

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
)

// A Sought is ids that should be nowhere.
type Sought struct {
	texts map[string]bool
	// long are texts that are looked for among other bytes, by their first bytes; filter
	// tells quickly that a text begins nowhere here.
	long   map[[probe]byte][]string
	filter []uint64
}

// probe is the length of the shortest id that is looked for among other bytes: anything
// shorter is part of too much. Shorter ids, and those of digits alone, which are like any
// other number, are compared with whole values.
const probe = 5

// NewSought seeks ids as people write them.
func NewSought(ids []string) *Sought {
	s := &Sought{texts: map[string]bool{}, long: map[[probe]byte][]string{}, filter: make([]uint64, 1<<filterBits/64)}
	for _, id := range ids {
		if s.texts[id] || id == "" {
			continue
		}
		s.texts[id] = true
		if len(id) < probe || strings.Trim(id, "0123456789") == "" {
			continue
		}
		key := [probe]byte([]byte(id[:probe]))
		s.long[key] = append(s.long[key], id)
		at := place(key[:])
		s.filter[at/64] |= 1 << (at % 64)
	}
	return s
}

const filterBits = 20

func place(b []byte) uint32 {
	h := uint32(2166136261) // FNV-1a
	for _, c := range b[:probe] {
		h = (h ^ uint32(c)) * 16777619
	}
	return (h ^ h>>filterBits) & (1<<filterBits - 1)
}

// in counts the ids that begin at from up to until among bytes, as words of their own:
// c0001 is not in c00012.
func (s *Sought) in(b []byte, from, until int) (hits int) {
	if len(s.long) == 0 {
		return 0
	}
	for i := from; i < until && i+probe <= len(b); i++ {
		if at := place(b[i:]); s.filter[at/64]&(1<<(at%64)) == 0 {
			continue
		}
		for _, id := range s.long[[probe]byte(b[i:i+probe])] {
			end := i + len(id)
			if end <= len(b) && string(b[i:end]) == id && !(i > 0 && wordy(b[i-1])) && !(end < len(b) && wordy(b[end])) {
				hits++
			}
		}
	}
	return hits
}

func wordy(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// A Find is a place where an id was found. It does not say which.
type Find struct {
	Path string `json:"path"` // relative to out
	What string `json:"what"` // a column, or the bytes of the file
	Hits int64  `json:"hits"`
}

// A Search is what was looked at, and what was found.
type Search struct {
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Values int64  `json:"values"` // of text columns and columns of ids, decompressed
	Found  []Find `json:"found"`
}

// every is the patterns of all files below a directory, hidden ones included.
var every = []string{"**", "**/_*", "**/.*", ".*/**", ".*/**/_*", ".*/**/.*"}

// Files lists all files under a directory, hidden ones too.
func Files(ctx context.Context, fsys storage.FS, dir string) ([]storage.Info, error) {
	seen := map[string]bool{}
	var all []storage.Info
	for _, p := range every {
		found, err := fsys.Glob(ctx, publish.Join(storage.QuoteMeta(dir), p))
		if err != nil {
			return nil, publish.OutputError("reading", dir, err)
		}
		for _, f := range found {
			if !seen[f.Path] {
				seen[f.Path] = true
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b storage.Info) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// Find searches every file under a directory: all bytes as they lie there, and of Parquet
// files every value of text and of ids.
func (s *Sought) Find(ctx context.Context, fsys storage.FS, dir string) (*Search, error) {
	files, err := Files(ctx, fsys, dir)
	if err != nil {
		return nil, err
	}
	r := &Search{Found: []Find{}}
	for _, f := range files {
		rel := strings.TrimPrefix(f.Path, dir+"/")
		finds, values, size, err := s.file(ctx, fsys, f.Path)
		if err != nil {
			return nil, err
		}
		r.Files++
		r.Bytes += size
		r.Values += values
		for _, find := range finds {
			find.Path = rel
			r.Found = append(r.Found, find)
		}
	}
	return r, nil
}

func (s *Sought) file(ctx context.Context, fsys storage.FS, path string) (finds []Find, values, size int64, err error) {
	f, err := fsys.Open(ctx, path)
	if err != nil {
		return nil, 0, 0, publish.OutputError("reading", path, err)
	}
	defer f.Close()
	hits, err := s.raw(ctx, f, f.Size())
	if err != nil {
		return nil, 0, 0, publish.OutputError("reading", path, err)
	}
	if hits > 0 {
		finds = append(finds, Find{What: "bytes", Hits: hits})
	}
	if !strings.HasSuffix(path, ".parquet") {
		return finds, 0, f.Size(), nil
	}
	in, err := tables.Open(f, f.Size())
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%w: %s: %w", publish.ErrDamaged, path, err)
	}
	var names []string
	for _, c := range in.Columns() {
		if isID(c.Name) || c.Type == "string" {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return finds, 0, f.Size(), nil
	}
	count := map[string]int64{}
	for rec, err := range in.Records(ctx, names...) {
		if err != nil {
			return nil, 0, 0, fmt.Errorf("%s: %w", path, err)
		}
		for j, name := range names {
			col := rec.Column(j)
			values += int64(col.Len())
			for i := range col.Len() {
				if s.has(col, i, isID(name)) {
					count[name]++
				}
			}
		}
	}
	for _, name := range names {
		if count[name] > 0 {
			finds = append(finds, Find{What: "column " + name, Hits: count[name]})
		}
	}
	return finds, values, f.Size(), nil
}

// has says whether a value is an id that is sought, or, of a text that is none, has one in
// it. Texts of other columns than of ids may be short words that are an id, too.
func (s *Sought) has(col arrow.Array, i int, id bool) bool {
	if col.IsNull(i) {
		return false
	}
	if id {
		return s.is(col, i)
	}
	text := col.(*array.String).Value(i)
	return len(text) >= probe && s.texts[text] || s.in([]byte(text), 0, len(text)) > 0
}

// raw searches a file's bytes piece by piece, pieces overlapping by the longest id.
func (s *Sought) raw(ctx context.Context, r io.ReaderAt, size int64) (hits int64, err error) {
	if len(s.long) == 0 {
		return 0, nil
	}
	const piece = 4 << 20
	longest := 0
	for _, ids := range s.long {
		for _, id := range ids {
			longest = max(longest, len(id))
		}
	}
	buf := make([]byte, 1+piece+longest+1) // with the bytes before and after an id
	for from := int64(0); from < size; from += piece {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		begin := max(from-1, 0)
		n := int(min(size-begin, int64(len(buf))))
		if _, err := r.ReadAt(buf[:n], begin); err != nil && err != io.EOF {
			return 0, err
		}
		hits += int64(s.in(buf[:n], int(from-begin), int(from-begin)+piece))
	}
	return hits, nil
}

// isID says whether a column holds customers' ids.
func isID(name string) bool { return strings.HasSuffix(name, "customer_id") }

// is says whether an id, as people write it, is one that is sought, whatever the type of its
// column: a run of years ago may have had another.
func (s *Sought) is(col arrow.Array, i int) bool {
	if col.IsNull(i) {
		return false
	}
	switch c := col.(type) {
	case *array.String:
		return s.texts[c.Value(i)]
	case *array.Int64:
		return s.texts[strconv.FormatInt(c.Value(i), 10)]
	case *array.Int32:
		return s.texts[strconv.FormatInt(int64(c.Value(i)), 10)]
	case *array.FixedSizeBinary:
		b := c.Value(i)
		uuid := datasets.IDType{Kind: datasets.IDFixed, Width: 16, UUID: true}
		return s.texts[hex.EncodeToString(b)] || len(b) == 16 && s.texts[uuid.Format(string(b))]
	}
	return s.texts[col.ValueStr(i)]
}
