"""Writes Parquet files in the many forms that lakes hold, and answers with DuckDB.

    oracle.py write DIR    writes the files of every case into DIR and prints the cases as JSON
    oracle.py query        reads [{"name", "sql", "columns"}] on stdin, runs each sql, and prints the
                           rows of its table events as JSON, sorted
"""

import datetime as dt
import decimal
import json
import os
import random
import sys
import uuid

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

D = decimal.Decimal
rnd = random.Random(20240229)
N = 900

ISO = [
    "2024-02-29", "2023-02-29", "20240229", "20240230", "2024-03-10 02:30:00", "2024-03-10T01:59:59.999999",
    "2024-11-03 01:30:00", "2024-11-03 00:59:59.1", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00+05:30",
    "2024-01-01t00:00:00.123456789z", "2024-01-01 10:20", "2024-01-01 10:20 -0330", "2024-01-01 10:20:30 UTC",
    "2024-01-01 24:00:00", "2024-01-01 10:60:00", "2024-01-01 10:20:60", "2024-01-01T10:20:30.1234567891",
    "2024-01-01T10:20:30.", "2024-1-1", " 2024-01-01", "2024-01-01 ", "01/02/2024", "", None, "now", "epoch", "infinity",
    "0001-01-01", "0000-12-31", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00",
    "2024-01-01T10:20:30+16:00", "2024-01-01T10:20:30+15:59", "2024-01-01T10:20:30+05:60", "2024-01-01T10:20:30+05:3",
    "2024-01-01T10:20:30+5", "2024-01-01T10:20:30+05", "2024-01-01T10+05", "1700000000", "1700000000123", "-5", "+12",
    "2024-01-01  10:20:30", "2024-01-01T10:20:30  Z", "2024-01-01\n", "12024-01-01", "1969-12-31 23:59:59.9999999",
    "2024-01-01T10:20:30+05:", "2024-01-01T102030", "２０２４-01-01",
]
NUMBERS = [
    "1", "-1", "+1", "0", "-0", "1.5", ".5", "5.", ".", "-.5", "", None, "1e3", "1E-2", "1.e2", ".5e1", "e5", "1e", "1e+",
    "1e400", "1e-400", "1e1234", "abc", "1,000.00", "$5", " 5", "5 ", "nan", "inf", "Infinity", "0x10", "1_000", "--1", "1.2.3",
    "0.00005", "0.000049999999999999999999999", "-0.00005", "0.00004", "2.00015", "999999999999.99995", "1000000000000",
    "1000000000000.00004", "1000000000000.00005", "-1000000000000", "-1000000000000.0001", "00000000000000000000000000000000000000012.5",
    "1e12", "1.0000000001e12", "123456789012345678901234567890", "19.99", "0.1e-3", "5e-5", "4.9999e-5", "12345.67895",
]


def times(n=N):
    """Instants in µs, around daylight-saving changes too."""
    edges = [1710055800, 1710050400, 1730611800, 1730615400, 1711846800, 0, -1, 951782400]
    return [
        (rnd.choice(edges) + rnd.randint(-7200, 7200)) * 1_000_000 + rnd.randint(0, 999_999)
        if rnd.random() < 0.3
        else rnd.randint(-2_000_000_000, 4_000_000_000) * 1_000_000 + rnd.randint(0, 999_999)
        for _ in range(n)
    ]


def some(values, null=0.1):
    return [None if rnd.random() < null else v for v in values]


def words(n=N, distinct=40, size=12):
    pool = ["w%d-%s" % (i, "é" * rnd.randint(0, size)) for i in range(distinct)] + ["", "o'hara", 'q"uote']
    return [rnd.choice(pool) for _ in range(n)]


TYPES = ["order", "view", "o'clock", "zzz", ""]


def base(n=N, **extra):
    """A table with a customer, a time and a type, and what is given."""
    cols = {
        "cid": pa.array(some(words(n, 200)), pa.string()),
        "ts": pa.array(times(n), pa.timestamp("us", "UTC")),
        "typ": pa.array(some([rnd.choice(TYPES) for _ in range(n)]), pa.string()),
        "amt": pa.array(some([rnd.uniform(-50, 500) for _ in range(n)]), pa.float64()),
        "prod": pa.array(some(words(n, 80)), pa.string()),
    }
    for k, v in extra.items():
        cols.pop(k, None)
        cols[k] = v
    return pa.table(cols)


MAP = {"customer_id": "cid", "event_time": "ts", "event_type": "typ", "amount": "amt", "product_id": "prod"}
ROLES = {"order": "purchase", "view": "view", "o'clock": "search", "": "session"}


def main(root):
    cases = []

    def case(name, files, columns=None, **options):
        """files: {relative path: writer(path)}"""
        for rel, write in files.items():
            path = os.path.join(root, name, rel)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(path)
        cols = dict(MAP)
        cols.update(columns or {})
        cols = {k: v for k, v in cols.items() if v}
        cases.append(dict({"name": name, "glob": os.path.join(root, name, "**", "*.parquet"), "columns": cols, "roles": ROLES}, **options))

    def arrow(table, **options):
        options.setdefault("write_page_checksum", True)
        options.setdefault("data_page_size", 2000)
        options.setdefault("row_group_size", 400)
        return lambda path: pq.write_table(table, path, **options)

    def duck(sql, options=""):
        def write(path):
            con = duckdb.connect()
            con.execute("SET TimeZone = 'UTC'")
            con.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet {options})")

        return write

    # Times.
    for unit in ["ms", "us", "ns"]:
        for tz in [None, "UTC", "Europe/Paris"]:
            div = {"ms": lambda t: t // 1000, "us": lambda t: t, "ns": lambda t: t * 1000 + rnd.randint(0, 999)}[unit]
            t = pa.array(some([div(t) for t in times()]), pa.timestamp(unit, tz))
            case(f"time_{unit}_{(tz or 'naive').split('/')[-1]}", {"a.parquet": arrow(base(ts=t), version="2.6")}, zone="America/New_York")
    t = pa.array(some(times()), pa.timestamp("us"))
    case("time_int96", {"a.parquet": arrow(base(ts=t), use_deprecated_int96_timestamps=True)}, zone="America/New_York")
    t = pa.array(some([t // 1000 for t in times()]), pa.timestamp("ms", "UTC"))
    case("time_converted", {"a.parquet": arrow(base(ts=t), version="1.0")})
    days = pa.array(some([rnd.randint(-30000, 30000) for _ in range(N)]), pa.date32())
    case("time_date", {"a.parquet": arrow(base(ts=days))}, zone="America/Sao_Paulo")
    case("time_date_utc", {"a.parquet": arrow(base(ts=days), use_dictionary=False)})
    iso = pa.array([rnd.choice(ISO) for _ in range(N)], pa.string())
    for unit in ["auto", "s", "ms", "yyyymmdd"]:
        case(f"time_text_{unit}", {"a.parquet": arrow(base(ts=iso), use_dictionary=unit != "ms")}, unit=unit, zone="America/New_York")
    case("time_bytes", {"a.parquet": arrow(base(ts=iso.cast(pa.binary())))})
    for unit, div in [("s", 1_000_000), ("ms", 1000), ("us", 1)]:
        t = pa.array(some([t // div for t in times()]), pa.int64())
        case(f"time_int_{unit}", {"a.parquet": arrow(base(ts=t))}, unit=unit)
    big = [t * 1000 + 7 for t in times()] + [2**63 - 1, -(2**63)]
    case("time_int_ns", {"a.parquet": arrow(base(N + 2, ts=pa.array(big, pa.int64())))}, unit="ns")
    auto = [rnd.choice([20240229, 20240230, 19000101, 21001231, 1700000000, 1700000000123, 1700000000123456, 1700000000123456789,
                        -5, 0, 99999999999, 100000000000, 99999999999999, 10**14, 10**17, 2**63 - 1, -(2**63), -(10**12)]) for _ in range(N)]
    case("time_int_auto", {"a.parquet": arrow(base(ts=pa.array(some(auto), pa.int64())), use_dictionary=False)}, zone="Asia/Kolkata")
    case("time_int32", {"a.parquet": arrow(base(ts=pa.array([rnd.choice([20240229, 20241399, 5, 10101, -1]) for _ in range(N)], pa.int32())))}, unit="yyyymmdd", zone="Asia/Kolkata")
    case("time_uint64", {"a.parquet": arrow(base(ts=pa.array([rnd.choice([1700000000, 2**64 - 1, 2**63]) for _ in range(N)], pa.uint64())))}, unit="s")
    case("time_uint32", {"a.parquet": arrow(base(ts=pa.array([rnd.choice([1700000000, 2**32 - 1]) for _ in range(N)], pa.uint32())))}, unit="s")

    # Customers.
    for typ, hi in [("int8", 2**7), ("uint8", 2**8), ("int16", 2**15), ("uint16", 2**16), ("int32", 2**31), ("uint32", 2**32), ("int64", 2**63), ("uint64", 2**64)]:
        lo = 0 if typ[0] == "u" else -hi
        ids = pa.array(some([rnd.choice([lo, hi - 1, rnd.randint(lo, hi - 1)]) for _ in range(N)]), getattr(pa, typ)())
        for d in [True, False]:
            case(f"id_{typ}_{'dict' if d else 'plain'}", {"a.parquet": arrow(base(cid=ids), use_dictionary=d)})
    ids = pa.array(some([D(rnd.randint(-(10**19), 10**19)) for _ in range(N)]), pa.decimal128(38, 0))
    case("id_decimal", {"a.parquet": arrow(base(cid=ids))})
    ids = pa.array(some([w.encode() for w in words()]), pa.binary())
    case("id_bytes", {"a.parquet": arrow(base(cid=ids))})
    ids = pa.array(some([rnd.randbytes(6) for _ in range(N)]), pa.binary(6))
    case("id_fixed", {"a.parquet": arrow(base(cid=ids))})
    case("id_uuid", {"a.parquet": duck("SELECT uuid() AS cid, TIMESTAMP '2024-01-01' + INTERVAL (i) SECOND AS ts, 'order' AS typ, i AS amt, uuid() AS prod FROM range(900) t(i)")})
    case("id_mixed_ints", {"a.parquet": arrow(base(cid=pa.array(range(N), pa.int32()))), "b.parquet": arrow(base(cid=pa.array(range(N), pa.int64())))})

    # Amounts.
    for p, s in [(5, 2), (9, 0), (9, 9), (18, 2), (18, 6), (18, 18), (20, 4), (38, 0), (38, 10), (38, 18), (38, 37)]:
        hi = 10**p - 1
        vals = some([rnd.choice([hi, -hi, rnd.randint(-hi, hi), rnd.randint(-(10**min(p, s + 3)) + 1, 10 ** min(p, s + 3) - 1), 5 * 10 ** max(0, s - 5)]) for _ in range(N)])
        a = pa.array([None if v is None else D(v).scaleb(-s, decimal.Context(prec=60)) for v in vals], pa.decimal128(p, s))
        case(f"amount_decimal_{p}_{s}", {"a.parquet": arrow(base(amt=a), store_decimal_as_integer=True), "b.parquet": arrow(base(amt=a), use_dictionary=False)})
    floats = [rnd.choice([19.99, 0.00005, -0.00005, 2.5e-5, 1e12, 1.0000000001e12, -1e12, float("nan"), float("inf"), float("-inf"), -0.0, 1e300, 0.1 + 0.2, rnd.uniform(-1e4, 1e4)]) for _ in range(N)]
    case("amount_double", {"a.parquet": arrow(base(amt=pa.array(some(floats), pa.float64())))})
    case("amount_float", {"a.parquet": arrow(base(amt=pa.array(some(floats), pa.float32())), use_dictionary=False)})
    for typ in ["int8", "uint16", "int32", "int64", "uint64"]:
        vals = {"int8": [-128, 127], "uint16": [0, 65535], "int32": [-(2**31), 7], "int64": [10**12, 10**12 + 1, -(10**12), 5, -(2**63)], "uint64": [2**64 - 1, 10**12, 3]}[typ]
        case(f"amount_{typ}", {"a.parquet": arrow(base(amt=pa.array(some([rnd.choice(vals) for _ in range(N)]), getattr(pa, typ)())))})
    texts = pa.array([rnd.choice(NUMBERS) for _ in range(N)], pa.string())
    case("amount_text", {"a.parquet": arrow(base(amt=texts))})
    case("amount_bytes", {"a.parquet": arrow(base(amt=texts.cast(pa.binary())), use_dictionary=False)})
    case("quantity_rating", {"a.parquet": arrow(base(qty=texts, rat=pa.array(some(floats), pa.float64())))}, {"quantity": "qty", "rating": "rat"})

    # Text of what is no text.
    for name, typ, vals in [
        ("int16", pa.int16(), [-32768, 7]), ("uint64", pa.uint64(), [2**64 - 1, 0]), ("bool", pa.bool_(), [True, False]),
        ("decimal", pa.decimal128(12, 3), [D("-0.005"), D("12.340"), D("0")]), ("decimal38", pa.decimal128(38, 20), [D("-0.005"), D("123456789012345678.00000000000000000001")]),
        ("double", pa.float64(), [1e15, 1e16, 123.0, 1e-5, 1e-4, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, float("nan"), float("inf"), float("-inf")] + [rnd.lognormvariate(0, 30) for _ in range(500)]),
    ]:
        case(f"text_{name}", {"a.parquet": arrow(base(prod=pa.array(some([rnd.choice(vals) for _ in range(N)]), typ)))})
    bools = pa.array(some([rnd.random() < 0.5 for _ in range(N)]), pa.bool_())
    case("consent_bool", {"a.parquet": arrow(base(ok=bools)), "b.parquet": arrow(base(ok=bools), data_page_version="2.0", column_encoding={"ok": "RLE"}, use_dictionary=False)}, {"consent": "ok"})
    case("consent_text", {"a.parquet": arrow(base(ok=pa.array([rnd.choice(["TRUE", "yes", "Y", "1", "t", "0", "", "no", None, "granted"]) for _ in range(N)], pa.string())))}, {"consent": "ok"})
    case("consent_int", {"a.parquet": arrow(base(ok=pa.array(some([rnd.choice([0, 1, 2, -1]) for _ in range(N)]), pa.int8())))}, {"consent": "ok"})
    currency = pa.array([rnd.choice(["GBP", "", None]) for _ in range(N)], pa.string())
    case("currency", {"a.parquet": arrow(base(cur=currency))}, {"currency": "cur"}, currency="GBP")
    everything = base(**{c: pa.array(some(words(N, 900)), pa.string()) for c in ["cat", "cha", "cam", "ses", "evt"]})
    case("all_texts", {"a.parquet": arrow(everything)}, {"category": "cat", "channel": "cha", "campaign_id": "cam", "session_id": "ses", "event_id": "evt"})

    # Encodings, codecs, pages.
    mixed = base(cid=pa.array(some([rnd.randint(0, 1 << 40) for _ in range(N)]), pa.int64()), prod=pa.array(some(words(N, 2000, 40)), pa.string()))
    for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
        for v in ["1.0", "2.0"]:
            case(f"codec_{codec}_v{v[0]}", {"a.parquet": arrow(mixed, compression=codec, data_page_version=v)})
    for name, enc in [
        ("delta", {"cid": "DELTA_BINARY_PACKED", "ts": "DELTA_BINARY_PACKED", "prod": "DELTA_LENGTH_BYTE_ARRAY", "typ": "DELTA_BYTE_ARRAY", "amt": "BYTE_STREAM_SPLIT"}),
        ("split", {"cid": "BYTE_STREAM_SPLIT", "ts": "BYTE_STREAM_SPLIT", "prod": "DELTA_BYTE_ARRAY", "typ": "PLAIN", "amt": "PLAIN"}),
    ]:
        for v in ["1.0", "2.0"]:
            case(f"encoding_{name}_v{v[0]}", {"a.parquet": arrow(mixed, use_dictionary=False, column_encoding=enc, data_page_version=v, compression="zstd")})
    i32 = base(cid=pa.array(some([rnd.randint(-(2**31), 2**31 - 1) for _ in range(N)]), pa.int32()), ts=days)
    case("encoding_delta32", {"a.parquet": arrow(i32, use_dictionary=False, column_encoding={"cid": "DELTA_BINARY_PACKED", "ts": "DELTA_BINARY_PACKED"})})
    fixed = base(cid=pa.array(some([rnd.randbytes(9) for _ in range(N)]), pa.binary(9)))
    for enc in ["PLAIN", "DELTA_BYTE_ARRAY"]:
        case(f"encoding_fixed_{enc}", {"a.parquet": arrow(fixed, use_dictionary=False, column_encoding={"cid": enc})})
    # DuckDB cannot read this one; the rows are those of the case named.
    case("encoding_fixed_split", {"a.parquet": arrow(fixed, use_dictionary=False, column_encoding={"cid": "BYTE_STREAM_SPLIT"})}, like="encoding_fixed_PLAIN")
    case("dictionary_switch", {"a.parquet": arrow(mixed, dictionary_pagesize_limit=2000, row_group_size=N, data_page_size=700)})
    required = pa.schema([pa.field(f.name, f.type, nullable=f.name in ("amt",)) for f in mixed.schema])
    full = pa.table({n: (c if n == "amt" else c.fill_null("x" if pa.types.is_string(c.type) else 5)) for n, c in zip(mixed.column_names, mixed.columns)})
    case("required", {"a.parquet": arrow(full.cast(required))})
    case("no_nulls_all_nulls", {"a.parquet": arrow(base(amt=pa.nulls(N, pa.float64()), prod=pa.nulls(N, pa.string()))), "b.parquet": arrow(base(amt=pa.nulls(N), prod=pa.nulls(N)))})

    # Shapes.
    nested = base()
    inner = pa.StructArray.from_arrays([nested["cid"].combine_chunks(), nested["amt"].combine_chunks()], ["id", "am.t"], mask=pa.array([rnd.random() < 0.2 for _ in range(N)]))
    outer = pa.StructArray.from_arrays([inner, nested["prod"].combine_chunks()], ["user", "p"], mask=pa.array([rnd.random() < 0.2 for _ in range(N)]))
    case("nested", {"a.parquet": arrow(pa.table({"ctx": outer, "ts": nested["ts"], "typ": nested["typ"]}))}, {"customer_id": "ctx.user.id", "amount": "ctx.user.am.t", "product_id": "ctx.p"})
    odd = base().rename_columns(["c'id", "t\"s", "Typ e", "a.m", "é"])
    case("odd_names", {"it's a \u00fc.parquet": arrow(odd)}, {"customer_id": "c'id", "event_time": "t\"s", "event_type": "Typ e", "amount": "a.m", "product_id": "é"})
    a, b = base(), base()
    case("columns_differ", {"a.parquet": arrow(a), "b.parquet": arrow(b.select(["typ", "ts", "cid"])), "c.parquet": arrow(base(amt=pa.array([rnd.randint(0, 9) for _ in range(N)], pa.int32()), prod=pa.array([rnd.randint(0, 9) for _ in range(N)], pa.int64())).select(["amt", "prod", "cid", "ts", "typ"])), "d.parquet": arrow(base(ts=iso, amt=texts))})
    case("empty", {"a.parquet": arrow(base().slice(0, 0)), "b.parquet": arrow(base())})
    hive = {}
    for day in ["2024-02-29", "2024-03-10", "__HIVE_DEFAULT_PARTITION__"]:
        for shop in ["a b%2Fc", "x", "__HIVE_DEFAULT_PARTITION__"]:
            hive[f"day={day}/shop={shop}/{shop[0]}.parquet"] = arrow(base(300).select(["cid", "typ", "amt"]))
    case("hive", hive, {"event_time": "day", "product_id": "shop"}, zone="America/New_York")
    hive = {f"kind={k}/who={w}/x.parquet": arrow(base(300).select(["ts", "amt", "prod"])) for k in ["order", "view"] for w in ["7", "", "ann"]}
    case("hive_customer", hive, {"customer_id": "who", "event_type": "kind"})
    case("no_type", {"a.parquet": arrow(base())}, {"event_type": None}, role="view", roles={})

    # Other writers.
    for options in ["", ", PARQUET_VERSION V2", ", CODEC zstd", ", CODEC gzip", ", CODEC lz4_raw", ", CODEC brotli", ", CODEC uncompressed, ROW_GROUP_SIZE 2048", ", PARQUET_VERSION V2, DICTIONARY_SIZE_LIMIT 10"]:
        sql = """SELECT CASE WHEN i % 11 = 0 THEN NULL ELSE (i * 7919) % 500 END AS cid,
            CASE WHEN i % 13 = 0 THEN NULL ELSE TIMESTAMPTZ '2024-01-01' + INTERVAL (i * 37) SECOND END AS ts,
            CASE WHEN i % 7 = 0 THEN NULL WHEN i % 3 = 0 THEN 'order' ELSE 'view' END AS typ,
            CASE WHEN i % 5 = 0 THEN NULL ELSE CAST((i * 31) % 10000 AS DECIMAL(12, 3)) / 7 END AS amt,
            CASE WHEN i % 6 = 0 THEN NULL ELSE 'product ' || md5(CAST(i % 3000 AS VARCHAR)) END AS prod FROM range(3000) t(i)"""
        case("duckdb" + options.replace(", ", "_").replace(" ", "-"), {"a.parquet": duck(sql, options)})
    frame = pl.from_arrow(mixed)
    for codec in ["uncompressed", "snappy", "zstd", "gzip", "lz4", "brotli"]:
        case(f"polars_{codec}", {"a.parquet": lambda path, codec=codec: frame.write_parquet(path, compression=codec, row_group_size=400)})

    json.dump(cases, sys.stdout)


def query():
    con = duckdb.connect()
    con.execute("SET TimeZone = 'America/New_York'")  # the session's zone must not matter
    out = {}
    for q in json.load(sys.stdin):
        try:
            con.execute(q["sql"])
            out[q["name"]] = sorted(["" if v is None else "=" + v for v in row] for row in con.execute("SELECT " + q["columns"] + " FROM events").fetchall())
        except Exception as e:
            out[q["name"]] = [["error", str(e)]]
    json.dump(out, sys.stdout)


if sys.argv[1] == "write":
    main(sys.argv[2])
else:
    query()
