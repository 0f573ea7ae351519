package report

import "context"

// RenderWithin is Render for another bound on the page's size.
func RenderWithin(ctx context.Context, r *Run, bytes int) ([]byte, error) {
	p, err := build(ctx, r)
	if err != nil {
		return nil, err
	}
	return p.fit(bytes)
}

// Shorten keeps the first rows of a figure's table.
func (f *Figure) Shorten(rows int) { f.shorten(rows) }
