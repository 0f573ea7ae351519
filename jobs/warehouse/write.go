package warehouse

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/publish"
)

// Write writes the statements that load a run, and for PostgreSQL the rows.
// They may be run as often as one likes.
func Write(ctx context.Context, w io.Writer, fsys storage.FS, out string, m *publish.Manifest, opts Options) error {
	s, err := plan(m, opts)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(w, 1<<16)
	fmt.Fprintf(buf, "-- Run %s of %s, published by shoal %s, for %s.\n", oneLine(m.RunID), oneLine(m.Date), oneLine(m.ToolVersion), opts.Target)
	fmt.Fprintf(buf, "-- To be run with %s.\n", s.howTo)
	for _, step := range s.steps {
		if step.why != "" {
			fmt.Fprintf(buf, "\n-- %s\n", oneLine(step.why))
		}
		fmt.Fprintf(buf, "%s;\n", step.sql)
		if step.of == nil {
			continue
		}
		if err := writeRows(ctx, buf, fsys, out, step.of.Table); err != nil {
			return err
		}
		fmt.Fprint(buf, "\\.\n")
	}
	return buf.Flush()
}
