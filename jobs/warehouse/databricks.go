package warehouse

import (
	"slices"
	"strings"
)

var databricks = dialect{
	reads: []string{"s3://", "gs://", "abfss://", "/Volumes/", "dbfs:/"}, hint: "an external location (s3://, gs://, abfss://) or /Volumes/…",
	ident: doubled("`"), text: escaped("'"),
	types: map[string]string{
		"float64": "DOUBLE", "int64": "BIGINT", "int32": "INT", "bool": "BOOLEAN", "string": "STRING",
		"date": "DATE", "timestamp": "TIMESTAMP", "decimal(18,4)": "DECIMAL(18, 4)", "uuid": "BINARY", "binary": "BINARY",
	},
	howTo: "a SQL warehouse or a notebook, which stop at the first fault. Each table changes at once, one after the other",
	write: func(s *script) {
		for _, t := range s.tables {
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s\nUSING DELTA PARTITIONED BY (%s)", t.target, s.defined(t, true), s.ident(dateColumn))
			s.add("", "CREATE OR REPLACE TABLE %s %s\nUSING DELTA", t.staging, s.defined(t, false))
			for _, group := range slices.Collect(slices.Chunk(t.filled(), 1_000)) { // as many as one statement may name
				var dir string
				var files []string
				for _, f := range group { // a table's files are in one directory
					var name string
					dir, name = s.split(f)
					files = append(files, "  "+s.text(name))
				}
				s.add("", "COPY INTO %s\nFROM (SELECT %s FROM %s)\nFILEFORMAT = PARQUET\nFILES = (\n%s\n)\nCOPY_OPTIONS ('force' = 'true')",
					t.staging, s.names(t, ""), s.text(dir), strings.Join(files, ",\n"))
			}
			s.add("", "SELECT assert_true(COUNT(*) = %d, %s) FROM %s", t.Rows, s.text(s.incomplete(t)), t.staging)
			s.add("", "INSERT WITH SCHEMA EVOLUTION INTO TABLE %s BY NAME\nREPLACE WHERE %s\nSELECT %s AS %s, %s FROM %s",
				t.target, s.ofDate(), s.date(), s.ident(dateColumn), s.names(t, ""), t.staging)
			s.add("", "DROP TABLE %s", t.staging)
		}
	},
}
