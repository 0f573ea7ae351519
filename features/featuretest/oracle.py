"""Compare feature tables with the catalogue's own SQL, run by DuckDB.

stdin: JSON {"events": [SQL that makes the table events], "snapshots": [{"history": SQL, "table": Arrow IPC
file, "families": [{"name": str, "sql": SQL, "columns": [str]}]}]}
stdout: JSON list of {"snapshot", "family", "column", "customer", "shoal", "sql"},
at most three for each column.
"""

import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc as ipc


def differs(column):
    ours, theirs = f'o."{column}"', f'CAST(t."{column}" AS DOUBLE)'
    return (f"(({ours} IS NULL) <> ({theirs} IS NULL)"
            f" OR NOT abs({ours} - {theirs}) < 1e-9 * greatest(1.0, abs({ours}), abs({theirs}))"  # an infinity is within no tolerance
            f" OR isnan({theirs}))")


def main():
    job = json.load(sys.stdin)
    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute("SET enable_progress_bar = false")
    con.execute("SET TimeZone = 'UTC'")
    for statement in job["events"]:
        con.execute(statement)
    wrong = []
    for at, snapshot in enumerate(job["snapshots"]):
        con.execute("CREATE OR REPLACE TABLE history AS " + snapshot["history"])
        con.register("ours", ipc.open_file(pa.memory_map(snapshot["table"])).read_all())
        for family in snapshot["families"]:
            # Arrow, since making DuckDB tables this wide takes longer than the SQL itself.
            con.register("theirs", con.sql(family["sql"]).to_arrow_table())

            def report(column, rows):
                for customer, ours, theirs in rows:
                    wrong.append({"snapshot": at, "family": family["name"], "column": column, "customer": str(customer),
                                  "shoal": repr(ours), "sql": repr(theirs)})

            report("customer_id", con.execute(
                "SELECT coalesce(o.customer_id, t.customer_id), o.customer_id IS NOT NULL, t.customer_id IS NOT NULL"
                " FROM ours o FULL JOIN theirs t ON o.customer_id = t.customer_id"
                " WHERE o.customer_id IS NULL OR t.customer_id IS NULL ORDER BY 1 LIMIT 3").fetchall())
            sums = ", ".join(f"count(*) FILTER (WHERE {differs(c)})" for c in family["columns"])
            counts = con.execute(f"SELECT {sums} FROM ours o JOIN theirs t ON o.customer_id = t.customer_id").fetchall()[0]
            for column, count in zip(family["columns"], counts):
                if count:
                    report(column, con.execute(
                        f'SELECT o.customer_id, o."{column}", t."{column}" FROM ours o JOIN theirs t'
                        f" ON o.customer_id = t.customer_id WHERE {differs(column)} ORDER BY 1 LIMIT 3").fetchall())
    json.dump(wrong, sys.stdout)


main()
