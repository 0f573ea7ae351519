"""Compare feature tables with the catalogue's own SQL, run by DuckDB.

stdin: JSON {"events": SQL, "setup": [SQL], "snapshots": [{"history": SQL,
"table": Arrow IPC file, "families": [{"name": str, "sql": SQL, "columns": [str]}]}]}
stdout: JSON list of {"snapshot", "family", "column", "customer", "shoal", "sql"}.
"""

import json
import math
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc as ipc


def same(a, b):
    if a is None or b is None:
        return a is None and b is None
    return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))


def main():
    job = json.load(sys.stdin)
    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute("SET TimeZone = 'UTC'")
    for statement in job.get("setup") or []:
        con.execute(statement)
    con.execute("CREATE TABLE events AS " + job["events"])
    wrong = []
    for at, snapshot in enumerate(job["snapshots"]):
        con.execute("CREATE OR REPLACE TABLE history AS " + snapshot["history"])
        with pa.memory_map(snapshot["table"]) as source:
            table = ipc.open_file(source).read_all()
            ours = {str(row["customer_id"]): row for row in table.to_pylist()}
        for family in snapshot["families"]:
            result = con.execute(family["sql"])
            names = [d[0] for d in result.description]
            theirs = {str(row[0]): dict(zip(names, row)) for row in result.fetchall()}
            for customer in sorted(set(ours) ^ set(theirs)):
                wrong.append({"snapshot": at, "family": family["name"], "column": "customer_id", "customer": customer,
                              "shoal": str(customer in ours), "sql": str(customer in theirs)})
            for customer, row in ours.items():
                want = theirs.get(customer)
                if want is None:
                    continue
                for column in family["columns"]:
                    b = want[column]
                    b = None if b is None or (isinstance(b, float) and math.isnan(b)) else float(b)
                    if not same(row[column], b):
                        wrong.append({"snapshot": at, "family": family["name"], "column": column, "customer": customer,
                                      "shoal": repr(row[column]), "sql": repr(b)})
    json.dump(wrong[:200], sys.stdout)


main()
