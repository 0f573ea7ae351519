package warehouse

import (
	"fmt"
	"slices"
	"strings"
)

// Names are quoted in upper case: those are the ones that queries may leave
// unquoted.
var snowflake = dialect{
	reads: []string{"@"}, hint: "a stage, such as @db.schema.stage/path, whose URL is the output's",
	ident: func(name string) string { return doubled(`"`)(strings.ToUpper(name)) }, text: escaped("'"),
	types: map[string]string{
		"float64": "FLOAT", "int64": "NUMBER(19, 0)", "int32": "NUMBER(10, 0)", "bool": "BOOLEAN", "string": "VARCHAR",
		"date": "DATE", "timestamp": "TIMESTAMP_LTZ(6)", "decimal(18,4)": "NUMBER(18, 4)", "uuid": "BINARY(16)", "binary": "BINARY",
	},
	howTo: "snow sql -f this file, in one session; a date is only deleted when the rows to replace it are all there, and all tables change at once",
	write: func(s *script) {
		s.add("instants are read as UTC", "ALTER SESSION SET TIMEZONE = 'UTC'")
		for _, t := range s.tables {
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s", t.target, s.defined(t, true))
			for _, c := range t.Columns {
				s.add("", "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", t.target, s.ident(c.Name), s.typeOf(c))
			}
			s.add("", "CREATE OR REPLACE TEMPORARY TABLE %s %s", t.staging, s.defined(t, false))
			for _, group := range slices.Collect(slices.Chunk(t.filled(), 1_000)) { // as many as one statement may name
				var dir string
				var files []string
				for _, f := range group { // a table's files are in one directory
					var name string
					dir, name = s.split(f)
					files = append(files, "  "+s.text(name))
				}
				s.add("", "COPY INTO %s\nFROM %s\nFILES = (\n%s\n)\nFILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE)\nMATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\nON_ERROR = ABORT_STATEMENT",
					t.staging, s.text(dir+"/"), strings.Join(files, ",\n"))
			}
			s.add("fails, dividing by zero, unless every row is there", "SELECT 1 / IFF(COUNT(*) = %d, 1, 0) AS COMPLETE FROM %s", t.Rows, t.staging)
		}
		var all []string
		for _, t := range s.tables {
			all = append(all, fmt.Sprintf("(SELECT COUNT(*) FROM %s) = %d", t.staging, t.Rows))
		}
		s.add("", "BEGIN TRANSACTION")
		for _, t := range s.tables {
			s.add(t.Name, "DELETE FROM %s WHERE %s\n  AND %s", t.target, s.ofDate(), strings.Join(all, "\n  AND "))
			s.add("", "INSERT INTO %s (%s, %s)\nSELECT %s, %s FROM %s\nWHERE %s", t.target, s.ident(dateColumn), s.names(t, ""), s.date(), s.names(t, ""), t.staging, strings.Join(all, "\n  AND "))
		}
		s.add("", "COMMIT")
	},
}
