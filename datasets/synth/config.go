package synth

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/synth/internal/partition"
)

// Config is the text of a shoal.yaml that reads the history below dir and
// publishes to out. Event types of no role stay unmapped: they count as activity.
func Config(dir, out string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sources:\n  - path: %s\n    columns:\n", yamlString(filepath.ToSlash(dir)+"/events/ds=*/*.parquet"))
	for _, name := range partition.ColumnNames() {
		fmt.Fprintf(&b, "      %s: %s\n", name, name)
	}
	b.WriteString("    roles:\n")
	for _, role := range datasets.Roles() {
		var names []string
		for _, t := range EventTypes() {
			if t.Role == role {
				names = append(names, t.Name)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, "      %s: [%s]\n", role, strings.Join(names, ", "))
		}
	}
	fmt.Fprintf(&b, "out: %s\n", yamlString(filepath.ToSlash(out)))
	return b.String()
}

// yamlString is s as a double-quoted YAML scalar, whose escapes are a superset
// of those strconv.Quote uses.
func yamlString(s string) string { return strconv.Quote(s) }
