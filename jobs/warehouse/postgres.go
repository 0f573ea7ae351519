package warehouse

import (
	"fmt"
	"strings"
)

// PostgreSQL reads no Parquet: the rows themselves come with the script. What
// locks readers out, adding columns, is done before and in no time; the
// transaction that replaces the rows keeps only other writers waiting.
var postgres = dialect{
	ident: doubled(`"`), text: func(s string) string {
		if strings.Contains(s, `\`) { // the same whatever standard_conforming_strings is
			return "E" + doubled(`'`)(strings.ReplaceAll(s, `\`, `\\`))
		}
		return doubled(`'`)(s)
	},
	types: map[string]string{
		"float64": "double precision", "int64": "bigint", "int32": "integer", "bool": "boolean", "string": "text",
		"date": "date", "timestamp": "timestamp with time zone", "decimal(18,4)": "numeric(18,4)", "uuid": "uuid", "binary": "bytea",
	},
	howTo: "psql -X -v ON_ERROR_STOP=1 -f this file; the rows come with it, and shoal load --target postgres sends the same",
	write: func(s *script) {
		s.add("", "SET client_encoding = 'UTF8'")
		s.add("", "SET client_min_messages = warning")
		for _, t := range s.tables {
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s", t.target, s.defined(t, true))
			s.add("", "CREATE INDEX IF NOT EXISTS %s ON %s (%s)", s.ident(indexName(s.opts.Prefix+t.Name)), t.target, s.ident(dateColumn))
			s.add("", "ALTER TABLE %s\n%s", t.target, s.added(t))
		}
		s.add("", "BEGIN")
		for _, t := range s.tables {
			t.staging = s.ident(s.opts.Prefix + t.Name + stagingSuffix) // temporary: it has a schema of its own
			s.add(t.Name, "CREATE TEMPORARY TABLE %s %s ON COMMIT DROP", t.staging, s.defined(t, false))
			s.steps = append(s.steps, step{sql: fmt.Sprintf("COPY %s (%s) FROM STDIN", t.staging, s.names(t, "")), of: t})
			s.add("", "DO %s", s.text(fmt.Sprintf("BEGIN IF (SELECT count(*) FROM %s) <> %d THEN RAISE EXCEPTION USING MESSAGE = %s; END IF; END",
				t.staging, t.Rows, s.text(s.incomplete(t)))))
		}
		for _, t := range s.tables {
			s.add(t.Name+": readers go on, other loads wait", "LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", t.target)
			s.add("", "DELETE FROM %s WHERE %s", t.target, s.ofDate())
			s.add("", "INSERT INTO %s (%s, %s)\nSELECT %s, %s FROM %s", t.target, s.ident(dateColumn), s.names(t, ""), s.date(), s.names(t, ""), t.staging)
		}
		s.add("", "COMMIT")
	},
}

// indexName is a name of at most 63 bytes.
func indexName(table string) string { return table[:min(len(table), 60)] + "_ds" }
