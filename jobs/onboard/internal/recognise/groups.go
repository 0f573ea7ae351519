package recognise

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
)

// Files says where to look.
type Files struct {
	FS      storage.FS
	Globs   []string                  // files, globs or directories
	Columns map[datasets.Field]string // fields whose column is known
	Inspect scan.InspectOptions
}

// A Group is files of one schema: a source in the making.
type Group struct {
	Name    string
	Paths   []string
	Profile scan.Profile
	Found   *Recognition
}

// A NeedsPersonError says what only a person can know, for each group of
// files: nothing could be written.
type NeedsPersonError struct{ Problems []string }

func (e *NeedsPersonError) Error() string {
	return "onboard: " + strings.Join(e.Problems, "\nonboard: ")
}

// Groups resolves the globs, gathers those whose files share a schema and takes
// their columns for fields. A group of which no source can be made has Problems.
func Groups(ctx context.Context, o Files) ([]*Group, error) {
	var paths []string
	for _, g := range o.Globs {
		p, err := resolve(ctx, o.FS, g)
		if err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	if len(paths) == 1 {
		profile, err := scan.Inspect(ctx, o.FS, paths, o.Inspect)
		if err != nil {
			return nil, err
		}
		g := &Group{Paths: paths, Profile: profile}
		if err := uniform(ctx, o, g); err != nil {
			return nil, err
		}
		return []*Group{g}, nil
	}
	// A shell may have expanded one glob into hundreds of files: look at a few
	// rows of each to tell schemas apart, then profile each group as a whole.
	var groups []*Group
	bySchema := map[string]*Group{}
	for _, p := range paths {
		few := o.Inspect
		few.MaxRows = 1
		profile, err := scan.Inspect(ctx, o.FS, []string{p}, few)
		if err != nil {
			return nil, err
		}
		key := schemaKey(&profile)
		g := bySchema[key]
		if g == nil {
			g = &Group{}
			bySchema[key] = g
			groups = append(groups, g)
		}
		if !slices.Contains(g.Paths, p) {
			g.Paths = append(g.Paths, p)
		}
	}
	for _, g := range groups {
		var err error
		if g.Profile, err = scan.Inspect(ctx, o.FS, g.Paths, o.Inspect); err != nil {
			return nil, err
		}
		if err := uniform(ctx, o, g); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// resolve turns a directory into the glob of the Parquet files below it.
func resolve(ctx context.Context, fsys storage.FS, pattern string) (string, error) {
	for _, p := range []string{pattern, strings.TrimSuffix(pattern, "/") + "/**/*.parquet"} {
		infos, err := fsys.Glob(ctx, p)
		if err != nil {
			return "", fmt.Errorf("onboard: %s: %w", p, err)
		}
		if len(infos) > 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("onboard: no file matches %s, nor is it a directory with .parquet files: %w", pattern, ErrNoFiles)
}

// ErrNoFiles is wrapped by the error of a glob that matches nothing.
var ErrNoFiles = errors.New("no input files")

func schemaKey(p *scan.Profile) string {
	var cols []string
	for _, c := range p.Columns {
		cols = append(cols, fmt.Sprintf("%q %v", c.Path, c.Kind))
	}
	slices.Sort(cols)
	return strings.Join(cols, "\n")
}

// uniform refuses a glob over files of which some lack the customer or the
// time: a source needs both in every file, and which files were meant only a
// person knows.
func uniform(ctx context.Context, o Files, g *Group) error {
	r := Columns(&g.Profile, o.Columns)
	g.Found = r
	for _, f := range []datasets.Field{datasets.CustomerID, datasets.EventTime} {
		c := r.Fields[f]
		if c == nil || c.Column.Files == g.Profile.Files {
			continue
		}
		var without []string
		for _, p := range g.Paths {
			infos, err := o.FS.Glob(ctx, p)
			if err != nil {
				return fmt.Errorf("onboard: %s: %w", p, err)
			}
			for _, info := range infos {
				profile, err := scan.Inspect(ctx, o.FS, []string{info.Path}, scan.InspectOptions{MaxRows: 1})
				if err != nil {
					return err
				}
				if !slices.ContainsFunc(profile.Columns, func(x scan.ColumnProfile) bool { return x.Path == c.Column.Path }) {
					without = append(without, info.Path)
				}
				if len(without) == 5 {
					break
				}
			}
		}
		return &NeedsPersonError{Problems: []string{fmt.Sprintf(
			"%s: %d of %d files have no column %s, from which %s is read in the others (first: %s); narrow the glob to the files that hold events, or name the files one by one",
			strings.Join(g.Paths, ", "), g.Profile.Files-c.Column.Files, g.Profile.Files, c.Column.Path, f, strings.Join(without, ", "))}}
	}
	return nil
}

var notIdentifier = regexp.MustCompile(`[^a-z0-9]+`)

// Name names sources after their files when there are several.
func Name(groups []*Group) {
	taken := map[string]bool{}
	for i, g := range groups {
		name := config.DefaultSource(i).Name
		if len(groups) > 1 {
			base := path.Base(g.Paths[0])
			if strings.Contains(base, "*") {
				base = path.Base(path.Dir(strings.TrimRight(g.Paths[0][:strings.IndexByte(g.Paths[0], '*')], "/") + "/x"))
			}
			base = strings.Trim(notIdentifier.ReplaceAllString(strings.ToLower(strings.TrimSuffix(base, ".parquet")), "_"), "_")
			if len(base) > 0 && len(base) <= 40 && base[0] >= 'a' && base[0] <= 'z' && !taken[base] {
				name = base
			}
		}
		taken[name] = true
		g.Name = name
	}
}

// Source is a group the way the reader takes it, with the fields that decide
// whether a row can be used. The currency is left out: a mixture of currencies
// is to be told, not to stop at.
func (g *Group) Source() scan.Source {
	s := scan.Source{Name: g.Name, Paths: g.Paths, Columns: map[datasets.Field]string{}}
	for _, f := range []datasets.Field{
		datasets.CustomerID, datasets.EventTime, datasets.EventType, datasets.Amount, datasets.Quantity,
		datasets.Rating, datasets.EventID, datasets.Consent,
	} {
		if c := g.Found.Fields[f]; c != nil {
			s.Columns[f] = c.Column.Path
		}
	}
	if g.Found.Fields[datasets.EventType] == nil {
		s.Role = g.Role()
	} else {
		s.Roles = map[string]datasets.Role{}
		for _, t := range g.Found.Types {
			if t.Role != datasets.Other {
				s.Roles[t.Type] = t.Role
			}
		}
	}
	s.TimeUnit, _ = scan.ParseUnit(g.unit())
	return s
}

// Role is what every row of a group without event types is taken for.
func (g *Group) Role() datasets.Role {
	if g.Found.Fields[datasets.Amount] != nil {
		return datasets.Purchase
	}
	return datasets.View
}

func (g *Group) unit() string {
	if g.Found.TimeUnit == "" {
		return "auto"
	}
	return g.Found.TimeUnit
}

// ByRole gathers a group's event types by role, in the order of roles, each
// by falling count.
func (g *Group) ByRole() map[datasets.Role][]TypeRole {
	m := map[datasets.Role][]TypeRole{}
	for _, t := range g.Found.Types {
		m[t.Role] = append(m[t.Role], t)
	}
	return m
}
