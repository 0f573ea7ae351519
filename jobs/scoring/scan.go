package scoring

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/models"
)

// A Block is some kept rows of one part of a table.
type Block struct {
	Rows []int           // of the table, rising
	X    []models.Matrix // as many rows, one for each set of columns
}

// Scan hands the rows of a table for which keep is true to work, block by block
// and from several goroutines, each with its own number. sets are the columns
// that work wants.
func Scan(ctx context.Context, t *features.Table, workers int, keep func(row int) bool, sets [][]string, work func(worker int, b *Block) error) error {
	g, ctx := errgroup.WithContext(ctx)
	blocks := make(chan *Block, workers)
	free := make(chan *Block, 2*workers+1)
	for range cap(free) {
		b := &Block{X: make([]models.Matrix, len(sets))}
		for k, names := range sets {
			b.X[k].Names = names
		}
		free <- b
	}
	g.Go(func() error {
		defer close(blocks)
		row := 0
		for part := range t.Parts() {
			var b *Block
			select {
			case b = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			b.Rows = b.Rows[:0]
			for i := range part.Rows() {
				if keep(row + i) {
					b.Rows = append(b.Rows, row+i)
				}
			}
			of := func(i int) bool { return keep(row + i) }
			for k, names := range sets {
				var err error
				if b.X[k].Data, err = part.Matrix(b.X[k].Data[:0], names, of); err != nil {
					return err
				}
			}
			row += part.Rows()
			if len(b.Rows) == 0 {
				free <- b
				continue
			}
			select {
			case blocks <- b:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for w := range workers {
		g.Go(func() error {
			for b := range blocks {
				if err := work(w, b); err != nil {
					return fmt.Errorf("rows %d to %d: %w", b.Rows[0], b.Rows[len(b.Rows)-1], err)
				}
				free <- b
			}
			return nil
		})
	}
	return g.Wait()
}
