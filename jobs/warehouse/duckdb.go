package warehouse

import (
	"fmt"
	"strings"
)

var duckdb = dialect{
	reads: []string{""}, hint: "files and URLs",
	refuses: func(location string) error {
		if strings.Contains(location, `\`) && unglobbed.Replace(location) != location {
			return fmt.Errorf("location %q holds a backslash beside one of * ? [, and DuckDB has no spelling for both: copy the files elsewhere", location)
		}
		return nil
	},
	ident: doubled(`"`), text: doubled(`'`),
	types: map[string]string{
		"float64": "DOUBLE", "int64": "BIGINT", "int32": "INTEGER", "bool": "BOOLEAN", "string": "VARCHAR",
		"date": "DATE", "timestamp": "TIMESTAMP WITH TIME ZONE", "decimal(18,4)": "DECIMAL(18,4)", "uuid": "UUID", "binary": "BLOB",
	},
	howTo: "duckdb -bail warehouse.duckdb < this file; all of it is one transaction",
	write: func(s *script) {
		s.add("", "BEGIN TRANSACTION")
		for _, t := range s.tables {
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s", t.target, s.defined(t, true))
			for _, c := range t.Columns {
				s.add("", "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", t.target, s.ident(c.Name), s.typeOf(c))
			}
		}
		for _, t := range s.tables {
			s.add(t.Name, "DELETE FROM %s WHERE %s", t.target, s.ofDate())
			if len(t.filled()) > 0 {
				var files []string
				for _, f := range t.filled() {
					files = append(files, "  "+s.text(unglobbed.Replace(s.file(f))))
				}
				s.add("", "INSERT INTO %s (%s, %s)\nSELECT %s, %s\nFROM read_parquet([\n%s\n], hive_partitioning = false)",
					t.target, s.ident(dateColumn), s.names(t, ""), s.date(), s.names(t, ""), strings.Join(files, ",\n"))
			}
			s.add("", "SELECT CASE WHEN count(*) = %d THEN %s ELSE error(%s) END AS loaded FROM %s WHERE %s",
				t.Rows, s.text(fmt.Sprintf("%s: %d rows", t.Name, t.Rows)), s.text(s.incomplete(t)), t.target, s.ofDate())
		}
		s.add("", "COMMIT")
	},
}

// unglobbed takes the meaning of a pattern from characters of a file's name.
var unglobbed = strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]")
