package report

import (
	"slices"
	"testing"

	"github.com/shoal-data/shoal/jobs/publish"
)

// Figures with nothing to show come behind those beside them, and no further; two runs side by
// side stay in step.
func TestLaid(t *testing.T) {
	figure := func(id, missing string) Block { return Block{Figure: &Figure{ID: id, Missing: missing}} }
	s := &Section{Blocks: []Block{
		figure("a", "nothing yet"), figure("b", ""), figure("c", "nothing yet"), figure("d", ""),
		{ID: "heading", Heading: "More"}, figure("e", "nothing yet"), {ID: "text", Name: "Text"}, figure("f", ""),
	}}
	order := func(p *page) (ids []string) {
		for _, b := range laid(p, s) {
			if b.Figure != nil {
				ids = append(ids, b.Figure.ID)
			} else {
				ids = append(ids, b.ID)
			}
		}
		return ids
	}
	if got, want := order(&page{}), []string{"b", "d", "a", "c", "heading", "e", "text", "f"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := order(&page{Compared: &publish.Manifest{}}), []string{"a", "b", "c", "d", "heading", "e", "text", "f"}; !slices.Equal(got, want) {
		t.Errorf("compared: %v, want %v", got, want)
	}
}
