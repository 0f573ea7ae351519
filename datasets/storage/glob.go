package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// QuoteMeta returns a glob pattern that matches the path s and nothing else.
func QuoteMeta(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`).Replace(s)
}

// Match reports whether a file at path is one that Glob lists for pattern, for
// stores that list names and filter them. Both are absolute or both relative.
func Match(pattern, path string) (bool, error) {
	alternatives, err := Alternatives(pattern)
	if err != nil {
		return false, err
	}
	for _, p := range alternatives {
		if strings.HasPrefix(p, "/") == strings.HasPrefix(path, "/") && matchElems(elements(p), elements(path)) {
			return true, nil
		}
	}
	return false, nil
}

// Alternatives writes the braces of a pattern out: {a,b}/c is a/c and b/c.
func Alternatives(pattern string) ([]string, error) {
	all := expandBraces(pattern)
	for _, p := range all {
		if !doublestar.ValidatePattern(p) {
			return nil, fmt.Errorf("storage: glob %q: %w", pattern, doublestar.ErrBadPattern)
		}
	}
	return all, nil
}

// LiteralPrefix returns what every name that one element of a pattern matches
// begins with, and whether it is the whole name.
func LiteralPrefix(elem string) (prefix string, whole bool) {
	var b strings.Builder
	for i := 0; i < len(elem); i++ {
		switch c := elem[i]; c {
		case '*', '?', '[', '{':
			return b.String(), false
		case '\\':
			if i++; i < len(elem) {
				b.WriteByte(elem[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// MatchName reports whether one element of a pattern matches a name.
func MatchName(elem, name string) bool {
	if literal, ok := unquote(elem); ok {
		return literal == name
	}
	return matchElem(elem, name)
}

func matchElems(elems, names []string) bool {
	switch {
	case len(names) == 0, len(elems) == 0:
		return false
	case elems[0] == "**" && len(elems) == 1:
		return matchElems([]string{"**", "*"}, names)
	case elems[0] == "**":
		return matchElems(elems[1:], names) || !hidden(names[0]) && matchElems(elems, names[1:])
	}
	if name, literal := unquote(elems[0]); literal && name != names[0] || !literal && !matchElem(elems[0], names[0]) {
		return false
	}
	return len(elems) == 1 && len(names) == 1 || matchElems(elems[1:], names[1:])
}

func elements(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(e string) bool { return e == "" })
}

// globLocal walks only the directories that pattern can match. Symbolic links
// are followed except by **, so a link cannot make a loop; a file reached
// through two paths is listed once, because its rows must count once.
func globLocal(ctx context.Context, pattern string) ([]Info, error) {
	if strings.ContainsAny(pattern, `*?[{\`) { // a file may really be called so
		if st, err := os.Stat(pattern); err == nil && st.Mode().IsRegular() {
			pattern = QuoteMeta(pattern)
		}
	}
	found := map[string]match{}
	alternatives, err := Alternatives(pattern)
	if err != nil {
		return nil, err
	}
	for _, p := range alternatives {
		g := globber{ctx: ctx, found: found}
		base := ""
		if strings.HasPrefix(p, "/") {
			base = "/"
		}
		if err := g.walk(base, elements(p), false); err != nil {
			return nil, fmt.Errorf("storage: glob %q: %w", pattern, err)
		}
	}
	return dropAliases(found)
}

type match struct {
	info   Info
	linked bool // a symbolic link was followed on the way
}

type globber struct {
	ctx   context.Context
	found map[string]match
}

// walk matches elems against what lies below dir ("" is the working directory).
func (g *globber) walk(dir string, elems []string, linked bool) error {
	if err := g.ctx.Err(); err != nil {
		return err
	}
	if len(elems) == 0 {
		return nil
	}
	elem, rest := elems[0], elems[1:]
	if elem == "**" {
		// ** stands for no directory at all, or for one more below this one.
		if len(rest) == 0 {
			rest = []string{"*"}
		}
		if err := g.walk(dir, rest, linked); err != nil {
			return err
		}
		entries, err := readDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() && !hidden(e.Name()) { // a link is not IsDir
				if err := g.walk(join(dir, e.Name()), elems, linked); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if name, literal := unquote(elem); literal {
		return g.visit(join(dir, name), rest, linked)
	}
	entries, err := readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if matchElem(elem, e.Name()) {
			if err := g.visit(join(dir, e.Name()), rest, linked); err != nil {
				return err
			}
		}
	}
	return nil
}

// visit takes path as a match of one element: a file when none are left, else
// a directory to walk.
func (g *globber) visit(path string, rest []string, linked bool) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil // a literal element that is not there, or gone since it was listed
	}
	if err != nil {
		return err
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		linked = true
		if fi, err = os.Stat(path); err != nil {
			return fmt.Errorf("symbolic link leads nowhere (repair or remove it): %w", err)
		}
	}
	switch {
	case len(rest) > 0 && fi.IsDir():
		return g.walk(path, rest, linked)
	case len(rest) == 0 && fi.Mode().IsRegular():
		g.found[path] = match{Info{Path: path, Size: fi.Size(), ModTime: fi.ModTime()}, linked}
	}
	return nil
}

// dropAliases sorts what was found and keeps one path for each file: the one
// that needs no symbolic link, else the first by name.
func dropAliases(found map[string]match) ([]Info, error) {
	all := make([]match, 0, len(found))
	anyLinked := false
	for _, m := range found {
		all = append(all, m)
		anyLinked = anyLinked || m.linked
	}
	slices.SortFunc(all, func(a, b match) int { return strings.Compare(a.info.Path, b.info.Path) })
	infos := make([]Info, 0, len(all))
	if !anyLinked {
		for _, m := range all {
			infos = append(infos, m.info)
		}
		return infos, nil
	}
	real := make([]string, len(all))
	keep := map[string]int{} // real path → index of the path kept
	for i, m := range all {
		r, err := filepath.EvalSymlinks(m.info.Path)
		if err != nil {
			return nil, fmt.Errorf("storage: %w", err)
		}
		real[i] = r
		if k, seen := keep[r]; !seen || all[k].linked && !m.linked {
			keep[r] = i
		}
	}
	for i, m := range all {
		if keep[real[i]] == i {
			infos = append(infos, m.info)
		}
	}
	return infos, nil
}

func readDir(dir string) ([]os.DirEntry, error) {
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil, nil
	}
	return entries, err
}

func join(dir, name string) string {
	if dir == "" || strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

func hidden(name string) bool { return name[0] == '.' || name[0] == '_' }

// matchElem matches one name. A hidden name is matched only by an element that
// begins with its first character.
func matchElem(elem, name string) bool {
	if hidden(name) && strings.TrimPrefix(elem, `\`)[0] != name[0] {
		return false
	}
	return doublestar.MatchUnvalidated(elem, name)
}

// unquote returns the name a pattern element without wildcards stands for.
func unquote(elem string) (name string, literal bool) {
	name, literal = LiteralPrefix(elem)
	if !literal {
		name = ""
	}
	return name, literal
}

// expandBraces writes {a,b} out as separate patterns, because alternatives may
// differ in depth: {x,y/z}/*.parquet. An unclosed brace is left for
// doublestar to refuse.
func expandBraces(p string) []string {
	open, depth, class := -1, 0, false
	var commas []int
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case class:
		case c == '{':
			if depth++; depth == 1 {
				open, commas = i, nil
			}
		case c == ',' && depth == 1:
			commas = append(commas, i)
		case c == '}' && depth > 0:
			if depth--; depth > 0 {
				continue
			}
			var out []string
			from := open + 1
			for _, to := range append(commas, i) {
				out = append(out, expandBraces(p[:open]+p[from:to]+p[i+1:])...)
				from = to + 1
			}
			return out
		}
	}
	return []string{p}
}
