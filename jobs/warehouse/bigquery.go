package warehouse

import (
	"slices"
	"strings"
)

var bigquery = dialect{
	reads: []string{"gs://"}, hint: "gs:// of a bucket", globs: "*",
	ident: escaped("`"), text: escaped("'"),
	types: map[string]string{
		"float64": "FLOAT64", "int64": "INT64", "int32": "INT64", "bool": "BOOL", "string": "STRING",
		"date": "DATE", "timestamp": "TIMESTAMP", "decimal(18,4)": "NUMERIC(18, 4)", "uuid": "BYTES", "binary": "BYTES",
	},
	howTo: "bq query --use_legacy_sql=false < this file, as one script: it stops at the first fault, and its transaction changes all tables at once",
	write: func(s *script) {
		for _, t := range s.tables {
			t.staging = s.ident(s.opts.Prefix + t.Name + stagingSuffix) // temporary: of the script alone
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s\nPARTITION BY %s", t.target, s.defined(t, true), s.ident(dateColumn))
			s.add("", "ALTER TABLE %s\n%s", t.target, s.added(t))
			if len(t.filled()) == 0 {
				s.add("", "CREATE TEMP TABLE %s %s", t.staging, s.defined(t, false))
			}
			for i, group := range slices.Collect(slices.Chunk(t.filled(), 10_000)) {
				how := "OVERWRITE"
				if i > 0 {
					how = "INTO"
				}
				var files []string
				for _, f := range group {
					files = append(files, "    "+s.text(s.file(f)))
				}
				s.add("", "LOAD DATA %s TEMP TABLE %s %s\nFROM FILES (\n  format = 'PARQUET',\n  uris = [\n%s\n  ]\n)", how, t.staging, s.defined(t, false), strings.Join(files, ",\n"))
			}
			s.add("", "ASSERT (SELECT COUNT(*) FROM %s) = %d AS %s", t.staging, t.Rows, s.text(s.incomplete(t)))
		}
		s.add("", "BEGIN TRANSACTION")
		for _, t := range s.tables {
			s.add(t.Name, "DELETE FROM %s WHERE %s", t.target, s.ofDate())
			s.add("", "INSERT INTO %s (%s, %s)\nSELECT %s, %s FROM %s", t.target, s.ident(dateColumn), s.names(t, ""), s.date(), s.names(t, ""), t.staging)
		}
		s.add("", "COMMIT TRANSACTION")
	},
}
