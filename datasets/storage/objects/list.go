package objects

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/datasets/storage"
)

// Glob lists the objects that match. It asks only for keys with the pattern's
// beginning; beyond the first wildcard it goes from "/" to "/" while a name
// without wildcards is still to come (tables/*/ds=2026-01-31/**), and else takes
// all there are, a thousand at a time (events/ds=*/*.parquet).
func (f *FS) Glob(ctx context.Context, pattern string) ([]storage.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("glob", pattern, err)
	}
	if strings.ContainsAny(pattern, `?[{\`) && !strings.Contains(pattern, "*") { // a key may really be so
		if info, err := f.Stat(ctx, pattern); err == nil {
			return []storage.Info{info}, nil
		}
	}
	alternatives, err := storage.Alternatives(pattern)
	if err != nil {
		return nil, err
	}
	found := map[string]storage.Info{}
	for _, p := range alternatives {
		key, err := f.key("glob", p)
		if err != nil {
			return nil, err
		}
		elems := strings.FieldsFunc(key, func(r rune) bool { return r == '/' })
		if len(elems) == 0 {
			continue
		}
		if err := f.walk(ctx, p, "", elems, found); err != nil {
			return nil, failed("glob", pattern, err)
		}
	}
	infos := make([]storage.Info, 0, len(found))
	for _, info := range found {
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b storage.Info) int { return strings.Compare(a.Path, b.Path) })
	return infos, nil
}

// walk adds the objects that match elems below base, which is "" or ends in "/".
func (f *FS) walk(ctx context.Context, pattern, base string, elems []string, found map[string]storage.Info) error {
	for len(elems) > 1 {
		name, whole := storage.LiteralPrefix(elems[0])
		if !whole {
			break
		}
		base, elems = base+name+"/", elems[1:]
	}
	prefix, whole := storage.LiteralPrefix(elems[0])
	if !narrows(elems) {
		return f.list(ctx, base+prefix, whole && len(elems) == 1, func(o Object) error {
			if strings.HasSuffix(o.Key, "/") {
				return nil // what lies below, or the empty object by which some tools mark a directory
			}
			path := f.root + o.Key
			ok, err := storage.Match(pattern, path)
			if ok {
				found[path] = storage.Info{Path: path, Size: o.Size, ModTime: o.ModTime}
			}
			return err
		})
	}
	var below []string
	err := f.list(ctx, base+prefix, true, func(o Object) error {
		if dir, ok := strings.CutSuffix(strings.TrimPrefix(o.Key, base), "/"); ok && dir != "" && storage.MatchName(elems[0], dir) {
			below = append(below, o.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range below {
		if err := f.walk(ctx, pattern, dir, elems[1:], found); err != nil {
			return err
		}
	}
	return nil
}

// narrows reports whether a directory without wildcards follows the first element,
// before anything that stands for any depth.
func narrows(elems []string) bool {
	for i, e := range elems[:len(elems)-1] {
		if e == "**" {
			return false
		}
		if _, whole := storage.LiteralPrefix(e); whole && i > 0 {
			return true
		}
	}
	return false
}

// list lists page by page.
func (f *FS) list(ctx context.Context, prefix string, delimited bool, visit func(Object) error) error {
	for token, more := "", true; more; more = token != "" {
		var page []Object
		err := f.again(ctx, func(ctx context.Context, _ func()) (err error) {
			var next string
			if page, next, err = f.bucket.List(ctx, prefix, delimited, token); err == nil {
				token = next
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := visit(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// atOnce is how many objects are removed at once.
const atOnce = 16

// RemoveAll removes the object at path and all below it. Names that begin with "_"
// go first: a mark never outlives what it speaks of.
func (f *FS) RemoveAll(ctx context.Context, path string) error {
	key, err := f.key("remove", path)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && key == "" {
		err = &Fault{Refused, errors.New("a whole bucket is not removed")}
	}
	if err != nil {
		return failed("remove", path, err)
	}
	var marks, rest []string
	err = f.list(ctx, key, false, func(o Object) error {
		switch {
		case o.Key != key && !strings.HasPrefix(o.Key, key+"/"): // it only begins alike
		case strings.Contains(strings.TrimPrefix(o.Key, key), "/_"):
			marks = append(marks, o.Key)
		default:
			rest = append(rest, o.Key)
		}
		return nil
	})
	for _, keys := range [][]string{marks, rest} {
		if err != nil {
			break
		}
		g, all := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		for _, k := range keys {
			g.Go(func() error {
				return f.again(all, func(ctx context.Context, _ func()) error {
					if err := f.bucket.Delete(ctx, k); !is(err, Missing) {
						return err
					}
					return nil
				})
			})
		}
		err = g.Wait()
	}
	if err != nil {
		return failed("remove", path, err)
	}
	return nil
}
