"""Compare exported feature tables with published ones.

stdin: {"exports": directory of FORMAT/ds=DATE/features.FORMAT, "published": a job's out, "dates", "formats"}
stdout: JSON list of faults
"""

import glob
import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

job = json.load(sys.stdin)
faults = []
con = duckdb.connect()
for date in job["dates"]:
    files = glob.glob(f"{job['published']}/features/ds={date}/run=*/*.parquet")
    con.execute(f"CREATE OR REPLACE TABLE published AS SELECT * EXCLUDE (as_of, run_id) FROM read_parquet({files}, hive_partitioning=false)")
    want = con.execute("SELECT * FROM published ORDER BY customer_id").to_arrow_table()
    for format in job["formats"]:
        path = f"{job['exports']}/{format}/ds={date}/features.{format}"
        if format == "arrow":
            with pa.memory_map(path) as source:
                table = ipc.open_file(source).read_all()
            field = table.schema.field("spend_lifetime")
            if field.metadata.get(b"unit") != b"currency" or not field.metadata.get(b"meaning"):
                faults.append(f"{path}: spend_lifetime carries {field.metadata}")
            con.register("exported", table)
        elif format == "parquet":
            pq.ParquetFile(path, page_checksum_verification=True).read()
            con.execute(f"CREATE OR REPLACE VIEW exported AS SELECT * FROM read_parquet('{path}', hive_partitioning=false)")
        else:
            kind = con.execute("SELECT typeof(customer_id) FROM published LIMIT 1").fetchone()[0]
            columns = ", ".join(f"'{n}': '{kind if n == 'customer_id' else 'DOUBLE'}'" for n in want.schema.names)
            con.execute(f"CREATE OR REPLACE VIEW exported AS SELECT * FROM read_csv('{path}', header=true, hive_partitioning=false, columns={{{columns}}})")
        got = con.execute("SELECT * FROM exported ORDER BY customer_id").to_arrow_table()
        if format == "arrow":
            con.unregister("exported")
        else:
            con.execute("DROP VIEW exported")
        if got.schema.names != want.schema.names:
            faults.append(f"{path}: columns differ")
        elif got.num_rows != want.num_rows or want.num_rows == 0:
            faults.append(f"{path}: {got.num_rows} rows, published {want.num_rows}")
        else:
            for name in want.schema.names:
                a, b = got.column(name).to_pylist(), want.column(name).to_pylist()
                if a != b:
                    at = next(i for i in range(len(a)) if a[i] != b[i])
                    faults.append(f"{path}: {name} of row {at} is {a[at]}, published {b[at]}")
json.dump(faults, sys.stdout)
