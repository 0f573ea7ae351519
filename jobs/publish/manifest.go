package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
)

// ManifestVersion is the version of Manifest that this program writes. It
// reads that one and older ones.
const ManifestVersion = 1

const pointerVersion = 1

const maxManifest = 256 << 20 // bytes: a guard, not a target

// A Manifest is the record of one run: what it read, what it was told, what it
// wrote. Started and Finished are the only readings of a clock in a run.
type Manifest struct {
	ManifestVersion int       `json:"manifest_version"`
	ToolVersion     string    `json:"tool_version"`
	Date            string    `json:"date"`  // YYYY-MM-DD, the data interval
	AsOf            time.Time `json:"as_of"` // customers are described at this instant
	RunID           string    `json:"run_id"`
	Started         time.Time `json:"started"`
	Finished        time.Time `json:"finished"`

	Tables        []Table `json:"tables"`              // sorted by name
	Models        []File  `json:"models"`              // files of what was fitted, sorted by path
	Audiences     []File  `json:"audiences,omitempty"` // CSV files of who is addressed, sorted by path; absent when none is configured
	Report        *File   `json:"report,omitempty"`    // the page that shows the run; absent from runs older than reports
	ContentDigest string  `json:"content_digest"`      // SHA-256 over every table's files and the models'; the same for the same content

	Inputs           []Input         `json:"inputs"`
	InputFingerprint string          `json:"input_fingerprint"`
	ConfigHash       string          `json:"config_hash"`
	Config           json.RawMessage `json:"config"` // the effective configuration

	DataUse *DataUse `json:"data_use,omitempty"`

	Counters map[string]int64 `json:"counters"`
	Summary  json.RawMessage  `json:"summary,omitempty"` // what the run said of itself
	Warnings []Warning        `json:"warnings"`

	Environment Environment `json:"environment"`
}

// A Table is what a run wrote of one table.
type Table struct {
	Name          string          `json:"name"`
	SchemaVersion int             `json:"schema_version"`
	SchemaHash    string          `json:"schema_hash"` // of names and types in order
	Columns       []tables.Column `json:"columns"`
	Rows          int64           `json:"rows"`
	Files         []File          `json:"files"` // in row order
}

// A File is one file of a table.
type File struct {
	Path   string `json:"path"` // relative to out
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`   // of a table; 0 of a model
	SHA256 string `json:"sha256"` // hexadecimal
}

// An Input is a file that the run read.
type Input struct {
	Path       string    `json:"path"`
	Bytes      int64     `json:"bytes"`
	Modified   time.Time `json:"modified"`
	FooterHash string    `json:"footer_hash"`
}

// A Warning is something an analyst should know about the run.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Environment is where the run was made. The bytes do not depend on it.
type Environment struct {
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
}

// Table returns the named table, or nil.
func (m *Manifest) Table(name string) *Table {
	for i := range m.Tables {
		if m.Tables[i].Name == name {
			return &m.Tables[i]
		}
	}
	return nil
}

// Path is where the manifest lies, relative to out.
func (m *Manifest) Path() string { return manifestDir(m.Date, m.RunID) + "/manifest.json" }

// Paths are the files of a table, in row order, under out.
func (m *Manifest) Paths(out, table string) []string {
	t := m.Table(table)
	if t == nil {
		return nil
	}
	var paths []string
	for _, f := range t.Files {
		paths = append(paths, Join(Clean(out), f.Path))
	}
	return paths
}

// contentDigest is over names and contents, not over paths: it tells whether two
// runs wrote the same content.
func contentDigest(m *Manifest) string {
	h := sha256.New()
	for _, t := range m.Tables {
		for _, f := range t.Files {
			fmt.Fprintf(h, "%s %s %d %s\n", t.Name, path.Base(f.Path), f.Rows, f.SHA256)
		}
	}
	for _, f := range m.Models {
		fmt.Fprintf(h, "%s %s %s\n", modelFiles, path.Base(f.Path), f.SHA256)
	}
	for _, f := range m.Audiences {
		fmt.Fprintf(h, "%s %s %d %s\n", AudienceFiles, path.Base(f.Path), f.Rows, f.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// HashConfig is the ConfigHash of a configuration in JSON, white space aside.
func HashConfig(config json.RawMessage) (string, error) {
	canonical, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("publish: Config: %w", err)
	}
	return sum(canonical), nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// A Pointer says which run of each date a reader should see. It is replaced as
// a whole, atomically: <out>/current.json.
type Pointer struct {
	PointerVersion int                `json:"pointer_version"`
	Latest         string             `json:"latest"` // the last date of Dates
	Dates          map[string]Current `json:"dates"`
	// Writes counts the times that it was replaced in an object store, so that no
	// two of its versions have the same bytes.
	Writes int64 `json:"writes,omitempty"`
}

// Current is the run that a date points at.
type Current struct {
	Run      string `json:"run"`
	Manifest string `json:"manifest"` // path relative to out
	SHA256   string `json:"sha256"`   // of the manifest
}

// Success is the content of _SUCCESS.
type Success struct {
	Date   string `json:"date"`
	Run    string `json:"run"`
	SHA256 string `json:"manifest_sha256"`
}

// ReadPointer reads <out>/current.json. Before the first run there is none,
// and the pointer has no dates.
func ReadPointer(ctx context.Context, fsys storage.FS, out string) (Pointer, error) {
	data, err := storage.ReadFile(ctx, fsys, Join(out, "current.json"), maxManifest)
	return pointerOf(out, data, err)
}

// readPointer is ReadPointer of an object store, with the version that it has there.
func readPointer(ctx context.Context, objects storage.Objects, out string) (Pointer, string, error) {
	data, version, err := objects.ReadVersion(ctx, Join(out, "current.json"), maxManifest)
	p, err := pointerOf(out, data, err)
	return p, version, err
}

func pointerOf(out string, data []byte, err error) (Pointer, error) {
	p := Pointer{PointerVersion: pointerVersion, Dates: map[string]Current{}}
	file := Join(out, "current.json")
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return Pointer{}, output("reading", file, err)
	}
	if err := decode(file, data, &p); err != nil {
		return Pointer{}, err
	}
	if p.PointerVersion > pointerVersion {
		return Pointer{}, fmt.Errorf("publish: %s has version %d, this program knows %d; update it", file, p.PointerVersion, pointerVersion)
	}
	return p, nil
}

// ReadManifest reads the manifest of a published run, whether or not the
// pointer still names it. The error of a run that is not published wraps
// fs.ErrNotExist.
func ReadManifest(ctx context.Context, fsys storage.FS, out, date, run string) (*Manifest, error) {
	dir := Join(out, manifestDir(date, run))
	var done Success
	data, err := storage.ReadFile(ctx, fsys, dir+"/_SUCCESS", maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("publish: no run %s of %s is published under %s: %w", run, date, out, err)
	}
	if err != nil {
		return nil, output("reading", dir+"/_SUCCESS", err)
	}
	if err := decode(dir+"/_SUCCESS", data, &done); err != nil {
		return nil, err
	}
	return readManifest(ctx, fsys, dir+"/manifest.json", done.SHA256)
}

// readManifest reads a manifest whose checksum is known.
func readManifest(ctx context.Context, fsys storage.FS, file, sha string) (*Manifest, error) {
	data, err := storage.ReadFile(ctx, fsys, file, maxManifest)
	if err != nil {
		return nil, output("reading", file, err)
	}
	if got := sum(data); got != sha {
		return nil, fmt.Errorf("%w: %s has SHA-256 %s, was written with %s: it was changed since; run the date again", ErrDamaged, file, got, sha)
	}
	var m Manifest
	if err := decode(file, data, &m); err != nil {
		return nil, err
	}
	if m.ManifestVersion > ManifestVersion {
		return nil, fmt.Errorf("publish: %s has version %d, this program knows %d; update it", file, m.ManifestVersion, ManifestVersion)
	}
	return &m, nil
}

func decode(file string, data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %s: %w; restore it from a copy", ErrDamaged, file, err)
	}
	return nil
}

// ReadCurrent reads the manifest of the run that the pointer names for a date;
// ok is false when the date has none, and true beside an error that is about the
// run and not about the pointer.
func ReadCurrent(ctx context.Context, fsys storage.FS, out, date string) (m *Manifest, ok bool, err error) {
	p, err := ReadPointer(ctx, fsys, out)
	if err != nil {
		return nil, false, err
	}
	c, ok := p.Dates[date]
	if !ok {
		return nil, false, nil
	}
	if !fs.ValidPath(c.Manifest) {
		return nil, false, fmt.Errorf("%w: %s: date %s points outside out: %q", ErrDamaged, Join(out, "current.json"), date, c.Manifest)
	}
	m, err = readManifest(ctx, fsys, Join(out, c.Manifest), c.SHA256)
	return m, true, err
}

// FindNoop returns the current run of a date when it was made from the same
// inputs, with the same configuration and version, and its files are in place:
// then there is nothing to do.
func FindNoop(ctx context.Context, fsys storage.FS, out, date, inputFingerprint, configHash, toolVersion string) (*Manifest, bool, error) {
	m, ok, err := ReadCurrent(ctx, fsys, out, date)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) && ok {
		return nil, false, nil // the pointer survived its run: make another
	}
	if err != nil || !ok || m.InputFingerprint != inputFingerprint || m.ConfigHash != configHash || m.ToolVersion != toolVersion {
		return nil, false, err
	}
	problems, err := Verify(ctx, fsys, out, m, false)
	if err != nil || len(problems) > 0 {
		return nil, false, err
	}
	return m, true, nil
}

// A Problem is a way in which a run's files differ from its manifest.
type Problem struct {
	Path  string `json:"path"` // relative to out
	Fault string `json:"fault"`
}

func (p Problem) String() string { return p.Path + ": " + p.Fault }

// Verify compares a run's files with its manifest: that they are there and
// their sizes, and with readData every byte. The error is for what could not
// be looked at.
func Verify(ctx context.Context, fsys storage.FS, out string, m *Manifest, readData bool) ([]Problem, error) {
	var problems []Problem
	if got := contentDigest(m); got != m.ContentDigest {
		problems = append(problems, Problem{manifestDir(m.Date, m.RunID) + "/manifest.json", fmt.Sprintf("content digest is %s, of its files %s", m.ContentDigest, got)})
	}
	for _, t := range m.Tables {
		found, err := VerifyTable(ctx, fsys, out, t, readData)
		problems = append(problems, found...)
		if err != nil {
			return problems, err
		}
		rows := int64(0)
		for _, f := range t.Files {
			rows += f.Rows
		}
		if rows != t.Rows {
			problems = append(problems, Problem{manifestDir(m.Date, m.RunID) + "/manifest.json", fmt.Sprintf("table %s has %d rows, its files %d", t.Name, t.Rows, rows)})
		}
	}
	others := slices.Concat(m.Models, m.Audiences)
	if m.Report != nil {
		others = append(others, *m.Report)
	}
	for _, f := range others {
		fault, err := verifyFile(ctx, fsys, out, f, readData)
		if err != nil {
			return problems, err
		}
		if fault != "" {
			problems = append(problems, Problem{f.Path, fault})
		}
	}
	return problems, nil
}

// VerifyTable compares the files of one table with the manifest, as Verify does.
func VerifyTable(ctx context.Context, fsys storage.FS, out string, t Table, readData bool) ([]Problem, error) {
	var problems []Problem
	for _, f := range t.Files {
		fault, err := verifyFile(ctx, fsys, out, f, readData)
		if err != nil {
			return problems, err
		}
		if fault != "" {
			problems = append(problems, Problem{f.Path, fault})
		}
	}
	return problems, nil
}

func verifyFile(ctx context.Context, fsys storage.FS, out string, f File, readData bool) (fault string, err error) {
	if !fs.ValidPath(f.Path) {
		return "path leads outside out", nil
	}
	file := Join(out, f.Path)
	info, err := fsys.Stat(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return "missing", nil
	}
	if err != nil {
		return "", output("reading", file, err)
	}
	if info.Size != f.Bytes {
		return fmt.Sprintf("has %d bytes, was written with %d", info.Size, f.Bytes), nil
	}
	if !readData {
		return "", nil
	}
	r, err := fsys.Open(ctx, file)
	if err != nil {
		return "", output("reading", file, err)
	}
	defer r.Close()
	h := sha256.New()
	for off := int64(0); off < f.Bytes; off += 8 << 20 { // in pieces, so that ctx is heard
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if _, err := io.Copy(h, io.NewSectionReader(r, off, min(8<<20, f.Bytes-off))); err != nil {
			return "", output("reading", file, err)
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
		return fmt.Sprintf("has SHA-256 %s, was written with %s", got, f.SHA256), nil
	}
	return "", nil
}
