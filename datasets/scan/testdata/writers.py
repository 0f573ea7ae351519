"""Writes the same events with every writer at hand, in every form they know.

    writers.py write DIR    writes a directory a case into DIR and prints {"events", "days", "cases"} as JSON
    writers.py spark DIR    does so with Apache Spark, into DIR/<case>.parquet, and writes DIR/cases.json;
                            needs a JVM and pyspark (4.3.0 wrote the files beside this script), which
                            nothing else here does
    writers.py seeds DIR    writes a few small files, of which the fuzz corpus is made

An event is a row of texts, "" for null and "=" before all else, as the tests spell it. Numbers are
such that every form holds them exactly: times are whole milliseconds, amounts quarters.
"""

import datetime as dt
import decimal
import json
import os
import sys

D = decimal.Decimal
UTC = dt.timezone.utc
TYPES = ["order", "view", "basket", None, "view", "search"]
ROLES = {"order": "purchase", "view": "view", "search": "search"}
PRODUCTS = ["p-1", "émile", "日本", None, "", "a longer name of a product, to be cut into pages sooner", "p-2", "o'hara"]
FIELDS = {
    "customer_id": "cid", "event_time": "ts", "event_type": "typ", "amount": "amt", "quantity": "qty", "rating": "rat", "currency": "cur",
    "product_id": "prod", "category": "cat", "channel": "cha", "campaign_id": "cam", "session_id": "ses", "event_id": "evt", "consent": "ok",
}


def events(n):
    """n events as a dict of column lists; the first of more events are the same."""
    rows = range(n)
    null = lambda i, k, v: None if i % k == k - 1 else v
    return {
        "cid": [str(1000 + (i * 7919) % 97) for i in rows],
        "ms": [1_700_000_000_000 + (i * 86_399_977) % 40_000_000_000 - 1_000_000_000_000 * (i % 10 == 9) * 2 for i in rows],
        "typ": [TYPES[i % len(TYPES)] for i in rows],
        "amt": [null(i, 5, D((i * 37) % 9001 - 2000) / 4) for i in rows],
        "qty": [null(i, 7, i % 4 + 1) for i in rows],
        "rat": [null(i, 3, i % 5 + 1) for i in rows],
        "cur": [null(i, 4, "EUR") for i in rows],
        "prod": [PRODUCTS[(i * i) % len(PRODUCTS)] for i in rows],
        "cat": [null(i, 6, f"category {i % 12}") for i in rows],
        "cha": [["email", "web"][i % 2] for i in rows],
        "cam": [None if i % 40 < 35 else f"campaign {i // 40}" for i in rows],
        "ses": [null(i, 11, f"{i // 3:08x}") for i in rows],
        "evt": [f"event-{(i * 104729) % 1000003}" for i in rows],
        "ok": [i % 13 != 12 for i in rows],
    }


def expected(cols, day=False):
    """The events that a reader must deliver: those with consent."""
    money = lambda v: "" if v is None else "=%.4f" % D(v)
    text = lambda v: "" if v is None else "=" + v
    out = []
    for i, ok in enumerate(cols["ok"]):
        if not ok:
            continue
        us = cols["ms"][i] * 1000
        if day:
            us = us // 86_400_000_000 * 86_400_000_000
        typ = cols["typ"][i]
        out.append([
            text(cols["cid"][i]), f"={us}", "=" + ROLES.get(typ, "other"), text(typ), money(cols["amt"][i]), money(cols["qty"][i]),
            money(cols["rat"][i]), text(cols["cur"][i]), text(cols["prod"][i]), text(cols["cat"][i]), text(cols["cha"][i]), text(cols["cam"][i]),
            text(cols["ses"][i]), text(cols["evt"][i]),
        ])
    return out


def instant(ms):
    return dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(milliseconds=ms)


class Cases:
    def __init__(self, root):
        self.root, self.list = root, []

    def add(self, name, write, columns=None, glob="**/*.parquet", **options):
        """write(path) writes a file, or what it likes in the directory of path. columns are what
        differs from FIELDS; options are unit, day, where the time is rounded to a day, and with,
        the columns of key=value directories."""
        d = os.path.join(self.root, name)
        os.makedirs(d)
        write(os.path.join(d, "a.parquet"))
        cols = {k: v for k, v in dict(FIELDS, **(columns or {})).items() if v}
        self.list.append(dict({"name": name, "glob": os.path.join(d, glob), "columns": cols, "roles": {t: r for t, r in ROLES.items()}}, **options))


def write(root):
    import duckdb
    import fastparquet
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 400
    ev = events(n)
    cases = Cases(root)
    text = {c: pa.array(ev[c], pa.string()) for c in ["cid", "typ", "cur", "prod", "cat", "cha", "cam", "ses", "evt"]}

    def table(drop=(), **change):
        """The events as an Arrow table, some columns in another form."""
        cols = dict(text)
        cols["ts"] = pa.array([m * 1000 for m in ev["ms"]], pa.timestamp("us", "UTC"))
        cols["amt"] = pa.array([None if v is None else float(v) for v in ev["amt"]], pa.float64())
        cols["qty"] = pa.array(ev["qty"], pa.int32())
        cols["rat"] = pa.array(ev["rat"], pa.int8())
        cols["ok"] = pa.array(ev["ok"], pa.bool_())
        cols.update(change)
        return pa.table({k: v for k, v in cols.items() if k not in drop})

    def arrow(t, **options):
        options.setdefault("data_page_size", 1500)
        options.setdefault("row_group_size", 170)
        return lambda path: pq.write_table(t, path, **options)

    # What stands beside the mapped columns must not matter.
    neighbours = {
        "tags": pa.array([[f"t{k}" for k in range(i % 4)] if i % 5 else None for i in range(n)], pa.list_(pa.string())),
        "items": pa.array([[{"sku": f"s{k}", "n": k} for k in range(i % 3)] for i in range(n)], pa.list_(pa.struct([("sku", pa.string()), ("n", pa.int32())]))),
        "props": pa.array([[(f"k{k}", k) for k in range(i % 3)] for i in range(n)], pa.map_(pa.string(), pa.int64())),
        "ctx": pa.array([{"page": "/", "deep": {"er": [i]}} for i in range(n)]),
        "nothing": pa.nulls(n),
        "blob": pa.array([os.urandom(0) + bytes([i % 256]) * 30 for i in range(n)], pa.binary()),
        "clock": pa.array([i * 1000 for i in range(n)], pa.time64("us")),
        "half": pa.array(np.arange(n, dtype="float16")),
    }
    wide = pa.table({**{k: v for k, v in list(neighbours.items())[:4]}, **{c: table()[c] for c in table().column_names}, **{k: v for k, v in list(neighbours.items())[4:]}})

    # pyarrow: codecs, pages, encodings.
    plain = table()
    for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
        for v in ["1.0", "2.0"]:
            cases.add(f"pyarrow_{codec}_v{v[0]}", arrow(plain, compression=codec, data_page_version=v))
            cases.add(f"pyarrow_{codec}_v{v[0]}_nodict_checksum", arrow(plain, compression=codec, data_page_version=v, use_dictionary=False, write_page_checksum=True))
    for v in ["1.0", "2.4", "2.6"]:
        cases.add(f"pyarrow_format_{v}", arrow(plain, version=v))
    cases.add("pyarrow_no_statistics", arrow(plain, write_statistics=False, store_schema=False))
    cases.add("pyarrow_page_index", arrow(plain, write_page_index=True))
    cases.add("pyarrow_one_page", arrow(plain, data_page_size=1 << 20, row_group_size=n))
    cases.add("pyarrow_row_a_group", arrow(plain.slice(0, n), row_group_size=7))
    cases.add("pyarrow_dictionary_overflows", arrow(plain, dictionary_pagesize_limit=300, row_group_size=n, data_page_size=400))
    cases.add("pyarrow_spark_flavor", arrow(plain, flavor="spark"))
    strings = ["cid", "typ", "cur", "prod", "cat", "cha", "cam", "ses", "evt"]
    for v in ["1.0", "2.0"]:
        for enc, bytes_enc, int_enc, float_enc in [("delta", "DELTA_BYTE_ARRAY", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"), ("length", "DELTA_LENGTH_BYTE_ARRAY", "BYTE_STREAM_SPLIT", "PLAIN"), ("plain", "PLAIN", "PLAIN", "PLAIN")]:
            encodings = {c: bytes_enc for c in strings} | {"ts": int_enc, "qty": int_enc, "rat": int_enc, "amt": float_enc, "ok": "RLE" if enc != "plain" else "PLAIN"}
            cases.add(f"pyarrow_encoding_{enc}_v{v[0]}", arrow(plain, use_dictionary=False, column_encoding=encodings, data_page_version=v))
    required = pa.schema([pa.field(f.name, f.type, nullable=plain[f.name].null_count > 0) for f in plain.schema])
    cases.add("pyarrow_required", arrow(plain.cast(required)))

    # Lists and other neighbours, compliant and legacy.
    for compliant in [True, False]:
        for v in ["1.0", "2.0"]:
            cases.add(f"pyarrow_neighbours_{'compliant' if compliant else 'legacy'}_v{v[0]}", arrow(wide, use_compliant_nested_type=compliant, data_page_version=v))
    columns = plain.column_names
    inner = pa.StructArray.from_arrays([plain[c].combine_chunks() for c in columns], columns)
    cases.add("pyarrow_nested", arrow(pa.table({"tags": neighbours["tags"], "event": pa.StructArray.from_arrays([inner], ["body"])})), {f: "event.body." + c for f, c in FIELDS.items()})

    # Times.
    for unit, per in [("s", 0.001), ("ms", 1), ("us", 1000), ("ns", 1_000_000)]:
        if unit == "s":
            continue  # the events have milliseconds
        for tz in ["UTC", "Asia/Tokyo", None]:
            ts = pa.array([m * per for m in ev["ms"]], pa.timestamp(unit, tz))
            cases.add(f"time_{unit}_{(tz or 'local').split('/')[-1]}", arrow(table(ts=ts), version="2.6"))
    cases.add("time_ms_converted", arrow(table(ts=pa.array(ev["ms"], pa.timestamp("ms", "UTC"))), version="1.0"))
    ns = pa.array([m * 1_000_000 for m in ev["ms"]], pa.timestamp("ns"))
    for d in [True, False]:
        cases.add(f"time_int96_{'dict' if d else 'plain'}", arrow(table(ts=ns), use_deprecated_int96_timestamps=True, use_dictionary=d))
    iso = [instant(m).strftime("%Y-%m-%dT%H:%M:%S.%f") for m in ev["ms"]]
    for name, values in [("z", [s + "Z" for s in iso]), ("local", [s.replace("T", " ") for s in iso]), ("ms", [s[:-3] + "+00:00" for s in iso]),
                         ("offset", [(instant(m) + dt.timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M:%S.%f") + "+05:30" for m in ev["ms"]])]:
        cases.add(f"time_text_{name}", arrow(table(ts=pa.array(values, pa.string()))))
    cases.add("time_bytes", arrow(table(ts=pa.array(iso, pa.string()).cast(pa.binary()))))
    for unit, per in [("ms", 1), ("us", 1000), ("ns", 1_000_000)]:
        cases.add(f"time_integer_{unit}", arrow(table(ts=pa.array([m * per for m in ev["ms"]], pa.int64()))), unit=unit)
    cases.add("time_digits", arrow(table(ts=pa.array([str(m) for m in ev["ms"]], pa.string()))), unit="ms")
    days = [instant(m).date() for m in ev["ms"]]
    cases.add("day_date32", arrow(table(ts=pa.array(days, pa.date32()))), day=True)
    cases.add("day_date64", arrow(table(ts=pa.array(days, pa.date64()))), day=True)
    cases.add("day_text", arrow(table(ts=pa.array([d.isoformat() for d in days], pa.string()))), day=True)
    cases.add("day_digits", arrow(table(ts=pa.array([d.strftime("%Y%m%d") for d in days], pa.string()))), day=True, unit="yyyymmdd")
    cases.add("day_int32", arrow(table(ts=pa.array([int(d.strftime("%Y%m%d")) for d in days], pa.int32()))), day=True, unit="yyyymmdd")

    # Customers and text.
    for typ in [pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.decimal128(38, 0), pa.decimal128(4, 0), pa.binary(), pa.large_string(), pa.large_binary(), pa.string_view(), pa.binary_view()]:
        for d in [True, False]:
            ids = [c.encode() for c in ev["cid"]] if "binary" in str(typ) else ev["cid"] if "string" in str(typ) else [D(c) if "decimal" in str(typ) else int(c) for c in ev["cid"]]
            name = str(typ).replace("(", "_").replace(", ", "_").replace(")", "").replace("[pyarrow]", "")
            cases.add(f"id_{name}_{'dict' if d else 'plain'}", arrow(table(cid=pa.array(ids, typ)), use_dictionary=d))
    for name, typ in [("large_string", pa.large_string()), ("string_view", pa.string_view()), ("dictionary", pa.dictionary(pa.int8(), pa.string())), ("run_end", None)]:
        change = {c: (pa.array(ev[c], typ) if typ and name != "dictionary" else pa.array(ev[c], pa.string()).dictionary_encode()) for c in strings}
        cases.add(f"text_{name}", arrow(table(**change)))

    # Amounts.
    for p, s in [(6, 2), (9, 4), (9, 2), (10, 4), (18, 2), (18, 4), (19, 2), (38, 2), (38, 10), (38, 20)]:
        for integer in [True, False]:
            for d in [True, False]:
                amt = pa.array(ev["amt"], pa.decimal128(p, s))
                cases.add(f"amount_decimal_{p}_{s}_{'int' if integer else 'bytes'}_{'dict' if d else 'plain'}", arrow(table(amt=amt), store_decimal_as_integer=integer, use_dictionary=d))
    for typ in [pa.decimal32(7, 2), pa.decimal64(16, 3), pa.decimal256(60, 10)]:
        cases.add(f"amount_{typ}".replace("(", "_").replace(", ", "_").replace(")", ""), arrow(table(amt=pa.array(ev["amt"], typ))))
    cases.add("amount_float32", arrow(table(amt=table()["amt"].cast(pa.float32()))))
    cases.add("amount_text", arrow(table(amt=pa.array([None if v is None else str(v) for v in ev["amt"]], pa.string()))))
    cases.add("amount_exponent", arrow(table(amt=pa.array([None if v is None else f"{v:E}" for v in ev["amt"]], pa.string()))))
    for typ in [pa.int64(), pa.uint8(), pa.float32(), pa.decimal128(12, 3), pa.string()]:
        q = [None if v is None else (str(v) if typ == pa.string() else D(v) if "decimal" in str(typ) else v) for v in ev["qty"]]
        cases.add(f"quantity_{typ}".replace("(", "_").replace(", ", "_").replace(")", ""), arrow(table(qty=pa.array(q, typ))))
    for name, values, typ in [("int", [int(v) for v in ev["ok"]], pa.int8()), ("text", [["no", "yes"][v] for v in ev["ok"]], pa.string())]:
        cases.add(f"consent_{name}", arrow(table(ok=pa.array(values, typ))))

    # DuckDB.
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("wide", wide.drop_columns(["half"]))
    con.register("plain", plain)

    def duck(sql, options=""):
        return lambda path: con.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet{options})")

    for v in ["V1", "V2"]:
        for codec in ["uncompressed", "snappy", "gzip", "zstd", "lz4_raw", "brotli"]:
            cases.add(f"duckdb_{v}_{codec}", duck("FROM plain", f", PARQUET_VERSION {v}, CODEC {codec}, ROW_GROUP_SIZE 2048"))
        cases.add(f"duckdb_{v}_no_dictionary", duck("FROM plain", f", PARQUET_VERSION {v}, DICTIONARY_SIZE_LIMIT 1"))
        cases.add(f"duckdb_{v}_neighbours", duck("SELECT *, INTERVAL 3 DAYS AS gap, uuid() AS u, 5::HUGEINT AS huge, NULL AS none FROM wide", f", PARQUET_VERSION {v}"))
        for typ in ["TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ"]:
            cases.add(f"duckdb_{v}_{typ}", duck(f"SELECT * REPLACE (CAST(timezone('UTC', ts) AS TIMESTAMP)::{typ} AS ts) FROM plain", f", PARQUET_VERSION {v}"))
        cases.add(f"duckdb_{v}_types", duck("SELECT * REPLACE (cid::UINTEGER AS cid, amt::DECIMAL(12,4) AS amt, qty::UTINYINT AS qty, rat::DECIMAL(4,1) AS rat, cha::ENUM('web', 'email') AS cha) FROM plain", f", PARQUET_VERSION {v}"))
        cases.add(f"duckdb_{v}_bytes", duck("SELECT * REPLACE (cid::BLOB AS cid, amt::DECIMAL(30,6) AS amt, qty::USMALLINT AS qty) FROM plain", f", PARQUET_VERSION {v}"))
        cases.add(f"duckdb_{v}_struct", duck("SELECT {'e': plain} AS x, [1, 2] AS l FROM plain", f", PARQUET_VERSION {v}"), {f: "x.e." + c for f, c in FIELDS.items()})
    cases.add("duckdb_day", duck("SELECT * REPLACE (CAST(timezone('UTC', ts) AS DATE) AS ts) FROM plain"), day=True)
    cases.add("duckdb_hive", lambda path: con.execute(f"COPY plain TO '{os.path.dirname(path)}' (FORMAT parquet, PARTITION_BY (cha, cat), OVERWRITE_OR_IGNORE)"))

    # Polars.
    frame = pl.from_arrow(plain)
    for codec in ["uncompressed", "snappy", "gzip", "zstd", "lz4", "brotli"]:
        cases.add(f"polars_{codec}", lambda path: frame.write_parquet(path, compression=codec, row_group_size=170, data_page_size=1500))
    cases.add("polars_sink", lambda path: frame.lazy().sink_parquet(path, row_group_size=100, statistics="full"))
    cases.add("polars_neighbours", lambda path: pl.from_arrow(wide.drop_columns(["half", "props"])).write_parquet(path))
    for unit in ["ms", "us", "ns"]:
        cases.add(f"polars_time_{unit}", lambda path: frame.with_columns(pl.col("ts").dt.cast_time_unit(unit)).write_parquet(path))
    cases.add("polars_types", lambda path: frame.with_columns(
        pl.col("cid").cast(pl.UInt32), pl.col("amt").cast(pl.Decimal(18, 4)), pl.col("typ").cast(pl.Categorical), pl.col("cha").cast(pl.Enum(["web", "email"])),
        pl.col("qty").cast(pl.UInt8), pl.col("prod").cast(pl.Categorical)).write_parquet(path))
    cases.add("polars_small", lambda path: frame.with_columns(pl.col("cid").cast(pl.Int16), pl.col("amt").cast(pl.Decimal(38, 6)), pl.col("rat").cast(pl.Float32)).write_parquet(path))
    cases.add("polars_day", lambda path: frame.with_columns(pl.col("ts").dt.date()).write_parquet(path), day=True)
    cases.add("polars_hive", lambda path: frame.write_parquet(os.path.dirname(path), partition_by=["cha"]) if False else frame.lazy().sink_parquet(pl.PartitionBy(os.path.dirname(path), key=["cha"]) if hasattr(pl, "PartitionBy") else pl.PartitionByKey(os.path.dirname(path), by=["cha"], include_key=False), mkdir=True))

    # pandas, whose frames have an index: stored as a column of its own.
    df = plain.to_pandas()
    for c in strings:
        df[c] = df[c].astype(object).where(df[c].notna(), None)
    df["qty"] = df["qty"].astype("Int32")
    df["rat"] = df["rat"].astype("Int8")
    shuffled = df.set_index(pd.Index([(i * 7) % n for i in range(n)]))
    cases.add("pandas_range_index", lambda path: df.to_parquet(path))
    cases.add("pandas_unnamed_index", lambda path: shuffled.to_parquet(path))
    cases.add("pandas_index_true", lambda path: df.to_parquet(path, index=True))
    cases.add("pandas_customer_is_index", lambda path: df.set_index("cid").to_parquet(path))
    cases.add("pandas_two_indexes", lambda path: df.set_index(["ts", "cid"]).to_parquet(path))
    cases.add("pandas_categories", lambda path: df.astype({"typ": "category", "prod": "category"}).to_parquet(path))
    cases.add("pandas_numpy", lambda path: df.astype({"qty": "float64", "rat": "float32"}).to_parquet(path))
    cases.add("pandas_hive", lambda path: df.to_parquet(os.path.dirname(path), partition_cols=["cha", "cur"]))

    # fastparquet, by itself: a writer that shares nothing with Arrow. It keeps pandas' index as a column too.
    fp = df.copy()
    fp["qty"] = fp["qty"].astype("float64")
    fp["rat"] = fp["rat"].astype("float64")
    for c in strings:
        fp[c] = fp[c].astype(object)
    local = fp.assign(ts=fp["ts"].dt.tz_localize(None))
    for codec in ["UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4_RAW", "BROTLI"]:
        cases.add(f"fastparquet_{codec.lower()}", lambda path: fastparquet.write(path, local, compression=codec, row_group_offsets=150))
    cases.add("fastparquet_int96", lambda path: fastparquet.write(path, local.assign(ts=local["ts"].astype("datetime64[ns]")), times="int96"))  # it takes all times for nanoseconds
    cases.add("fastparquet_zone", lambda path: fastparquet.write(path, fp))
    cases.add("fastparquet_bytes", lambda path: fastparquet.write(path, local, object_encoding={c: "utf8" for c in strings}, has_nulls=True, write_index=True, stats=True))
    cases.add("fastparquet_index", lambda path: fastparquet.write(path, local.set_index("cid"), write_index=True))
    cases.add("fastparquet_categories", lambda path: fastparquet.write(path, local.astype({"typ": "category", "prod": "category"})))
    cases.add("fastparquet_one_category", lambda path: fastparquet.write(path, local.astype({"cur": "category", "cam": "category"})))
    cases.add("fastparquet_integers", lambda path: fastparquet.write(path, local.assign(cid=local["cid"].astype("int64"), qty=df["qty"], rat=df["rat"])))
    fastparquet.writer.DATAPAGE_VERSION = 2  # as an environment variable of its would have it
    for codec in ["UNCOMPRESSED", "SNAPPY"]:
        cases.add(f"fastparquet_{codec.lower()}_v2", lambda path: fastparquet.write(path, local.astype({"prod": "category"}), compression=codec))
    fastparquet.writer.DATAPAGE_VERSION = 1
    cases.add("fastparquet_hive", lambda path: fastparquet.write(os.path.dirname(path), local, file_scheme="hive", partition_on=["cha"], row_group_offsets=150), glob="*/*.parquet")

    hashes = {"events": expected(ev), "days": expected(ev, day=True), "cases": cases.list}
    json.dump(hashes, sys.stdout)


def spark(root):
    from pyspark.sql import SparkSession, functions as F, types as T

    n = 60
    ev = events(n)
    s = (SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC").config("spark.ui.enabled", "false")
         .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC").getOrCreate())
    s.sparkContext.setLogLevel("ERROR")
    text = T.StringType()
    schema = T.StructType([
        T.StructField("cid", text), T.StructField("ts", T.TimestampType()), T.StructField("typ", text), T.StructField("amt", T.DecimalType(10, 2)),
        T.StructField("qty", T.IntegerType()), T.StructField("rat", T.ByteType()), T.StructField("cur", text), T.StructField("prod", text), T.StructField("cat", text),
        T.StructField("cha", text), T.StructField("cam", text), T.StructField("ses", text), T.StructField("evt", text), T.StructField("ok", T.BooleanType()),
        T.StructField("tags", T.ArrayType(text)), T.StructField("items", T.ArrayType(T.StructType([T.StructField("sku", text), T.StructField("n", T.IntegerType())]))),
        T.StructField("props", T.MapType(text, T.LongType())),
    ])
    rows = [tuple(instant(ev["ms"][i]) if c == "ts" else ev[c][i] for c in schema.fieldNames()[:14]) +
            ([f"t{k}" for k in range(i % 3)] if i % 5 else None, [(f"s{k}", k) for k in range(i % 2)], {"k": i} if i % 4 else {}) for i in range(n)]
    df = s.createDataFrame(rows, schema).coalesce(1)
    cases = []

    def case(name, frame=df, day=False, columns=None, conf=None, **options):
        for k, v in (conf or {}).items():
            s.conf.set(k, v)
        out = os.path.join(root, "tmp-" + name)
        w = frame.write.mode("overwrite").option("compression", "snappy").option("parquet.page.row.count.limit", "25")
        for k, v in options.items():
            w = w.option(k.replace("__", "-").replace("_", "."), v)
        w.parquet(out)
        for k in conf or {}:
            s.conf.unset(k)
        part = [f for f in os.listdir(out) if f.endswith(".parquet")]
        assert len(part) == 1, part
        os.replace(os.path.join(out, part[0]), os.path.join(root, name + ".parquet"))
        for f in os.listdir(out):
            os.remove(os.path.join(out, f))
        os.rmdir(out)
        cols = {k: v for k, v in dict(FIELDS, **(columns or {})).items() if v}
        cases.append({"name": name, "glob": name + ".parquet", "columns": cols, "roles": ROLES, "day": day})

    stamp = "spark.sql.parquet.outputTimestampType"
    legacy = {"spark.sql.parquet.writeLegacyFormat": "true", stamp: "INT96"}
    case("default")
    case("int96", conf={stamp: "INT96"})
    case("millis", conf={stamp: "TIMESTAMP_MILLIS"})
    case("micros", conf={stamp: "TIMESTAMP_MICROS"})
    case("legacy_lists", conf=legacy)
    case("legacy_int96_calendar", conf=dict(legacy, **{"spark.sql.parquet.int96RebaseModeInWrite": "LEGACY"}))
    case("no_zone", frame=df.withColumn("ts", F.col("ts").cast("timestamp_ntz")))
    case("writer_v2", parquet_writer_version="v2")
    case("writer_v2_no_dictionary", parquet_writer_version="v2", parquet_enable_dictionary="false")
    case("no_dictionary", parquet_enable_dictionary="false")
    case("byte_stream_split", frame=df.withColumn("amt", F.col("amt").cast("double")), parquet_enable_dictionary="false", parquet_enable_bytestreamsplit="true")
    for codec in ["gzip", "zstd", "lz4", "lz4_raw", "none"]:
        case("codec_" + codec, compression=codec)
    case("double_and_long", frame=df.withColumn("amt", F.col("amt").cast("double")).withColumn("cid", F.col("cid").cast("long")))
    case("wide_decimal", frame=df.withColumn("amt", F.col("amt").cast("decimal(30,6)")).withColumn("cid", F.col("cid").cast("decimal(20,0)")))
    case("wide_decimal_legacy", frame=df.withColumn("amt", F.col("amt").cast("decimal(18,4)")).withColumn("cid", F.col("cid").cast("int")), conf=legacy)
    case("day", frame=df.withColumn("ts", F.to_date("ts")), day=True)
    case("binary", frame=df.withColumn("cid", F.col("cid").cast("binary")).withColumn("prod", F.col("prod").cast("binary")))
    case("struct", frame=df.select(F.struct(*df.columns[:14]).alias("event"), "tags"), columns={f: "event." + c for f, c in FIELDS.items()})
    with open(os.path.join(root, "cases.json"), "w") as f:
        json.dump({"events": expected(ev), "days": expected(ev, day=True), "cases": cases}, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    s.stop()


def seeds(root):
    """Small files in many forms, none with checksums, columns in the order of the fields."""
    import duckdb
    import fastparquet
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 14
    ev = events(n)
    t = {c: pa.array(ev[c]) for c in ["cid", "typ", "cur", "prod", "cat", "cha", "cam", "ses", "evt", "ok"]}
    t["ts"] = pa.array([m * 1000 for m in ev["ms"]], pa.timestamp("us", "UTC"))
    t["amt"] = pa.array([None if v is None else float(v) for v in ev["amt"]], pa.float64())
    t["qty"], t["rat"] = pa.array(ev["qty"], pa.int32()), pa.array(ev["rat"], pa.int64())
    order = ["cid", "ts", "typ", "amt", "cur", "qty", "prod", "cat", "cha", "cam", "ses", "evt", "rat", "ok"]
    t = {c: t[c] for c in order}
    table = pa.table(t)
    strings = [c for c in order if pa.types.is_string(table.schema.field(c).type)]

    def arrow(name, t=table, **options):
        options = dict({"row_group_size": 9, "write_batch_size": 4, "data_page_size": 40, "write_statistics": ["ts"], "store_schema": False, "compression": "none"}, **options)
        pq.write_table(t, os.path.join(root, name), **options)

    def change(**c):
        return pa.table(dict(t, **c))

    arrow("pyarrow_dictionary")
    arrow("pyarrow_plain_snappy", use_dictionary=False, compression="snappy")
    arrow("pyarrow_v2_zstd", data_page_version="2.0", compression="zstd")
    delta = {c: "DELTA_BYTE_ARRAY" for c in strings[:5]} | {c: "DELTA_LENGTH_BYTE_ARRAY" for c in strings[5:]}
    delta |= {"ts": "DELTA_BINARY_PACKED", "qty": "DELTA_BINARY_PACKED", "rat": "BYTE_STREAM_SPLIT", "amt": "BYTE_STREAM_SPLIT", "ok": "RLE"}
    arrow("pyarrow_delta_v1", use_dictionary=False, column_encoding=delta)
    arrow("pyarrow_delta_v2_gzip", use_dictionary=False, column_encoding=delta, data_page_version="2.0", compression="gzip")
    arrow("pyarrow_int96_decimal", change(ts=pa.array([m * 1_000_000 for m in ev["ms"]], pa.timestamp("ns")), amt=pa.array(ev["amt"], pa.decimal128(20, 6)),
          qty=pa.array(ev["qty"], pa.decimal128(5, 1)), rat=pa.array(ev["rat"], pa.float32())), use_deprecated_int96_timestamps=True, store_decimal_as_integer=True)
    arrow("pyarrow_text", change(ts=pa.array([instant(m).isoformat() for m in ev["ms"]]), amt=pa.array([None if v is None else f"{v:E}" for v in ev["amt"]]),
          qty=pa.array([None if v is None else str(v) for v in ev["qty"]]), ok=pa.array([["no", "yes"][v] for v in ev["ok"]])), use_dictionary=False)
    arrow("pyarrow_integers", change(cid=pa.array([int(c) for c in ev["cid"]], pa.int64()), ts=pa.array(ev["ms"], pa.int64()), amt=pa.array([None if v is None else int(v) for v in ev["amt"]], pa.int16()),
          typ=pa.array([None if v is None else len(v) for v in ev["typ"]], pa.uint8()), prod=pa.array(range(n), pa.uint64()), ok=pa.array([int(v) for v in ev["ok"]], pa.int8())), compression="lz4")
    required = pa.schema([pa.field(f.name, f.type, nullable=table[f.name].null_count > 0) for f in table.schema])
    lists = pa.array([[f"t{k}" for k in range(i % 3)] if i % 5 else None for i in range(n)], pa.list_(pa.string()))
    fixed = pa.array([b"%06d" % i for i in range(n)], pa.binary(6))
    arrow("pyarrow_required_lists", pa.table({**{c: v for c, v in zip(order, table.cast(required).columns)}, "cid": fixed, "tags": lists}), compression="brotli", use_compliant_nested_type=False)
    day = change(ts=pa.array([instant(m).date() for m in ev["ms"]]), cid=pa.array([c.encode() for c in ev["cid"]]))
    arrow("pyarrow_day", day, row_group_size=20)
    con = duckdb.connect()
    con.register("t", table)
    con.execute(f"COPY t TO '{os.path.join(root, 'duckdb')}' (FORMAT parquet, CODEC uncompressed)")
    con.execute(f"COPY t TO '{os.path.join(root, 'duckdb_v2')}' (FORMAT parquet, CODEC snappy, PARQUET_VERSION V2)")
    pl.from_arrow(table).write_parquet(os.path.join(root, "polars"), compression="uncompressed", row_group_size=9, statistics=False)
    df = table.to_pandas()
    for c in strings:
        df[c] = df[c].astype(object).where(df[c].notna(), None)
    df["ts"] = df["ts"].dt.tz_localize(None)
    fastparquet.write(os.path.join(root, "fastparquet"), df.astype({"prod": "category"}), stats=False, compression="UNCOMPRESSED")
    json.dump(sorted(os.listdir(root)), sys.stdout)


if sys.argv[1] == "write":
    write(sys.argv[2])
elif sys.argv[1] == "spark":
    spark(sys.argv[2])
elif sys.argv[1] == "seeds":
    seeds(sys.argv[2])
else:
    sys.exit(__doc__)
