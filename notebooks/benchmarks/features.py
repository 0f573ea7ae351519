#!/usr/bin/env python3
"""Shoal beside DuckDB and Polars: the same files, the same columns, two threads.

    make build tools
    P=.tools/venv/bin/python; B=notebooks/benchmarks/features.py
    $P $B full  --work /big/disk --events 100000000 --repeats 3
    $P $B counts --work /big/disk --events 100000000 --repeats 5
    $P $B plain --work /big/disk --events 100000000 --repeats 5
    $P $B scale --work /big/disk
    $P $B record --work /big/disk > record.md

full    every column of the catalogue at six as-of dates
counts  the windowed counts and sums of two families at one date
plain   events, purchases and spend at one date
scale   Shoal alone: 10, 30, 100 and 300 M events, and 1 to 12 dates

Each run is a process of its own: wall, processor time and peak resident memory
are the operating system's (wait4). Contestants take turns, and the order turns
by one with every repeat; the files are read once before the first. The outputs
of the first repeat are compared value by value. Each result is appended to
WORK/results.jsonl as it is made, so an interrupted run goes on where it stopped;
a run past --limit-minutes is ended and recorded as such.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS_A_CUSTOMER = 100
# At this activity the generator makes about 100 rows a customer in 18 months.
ACTIVITY = "0.285"
LAST = datetime.date(2025, 6, 30)
SCALE_EVENTS = [10_000_000, 30_000_000, 100_000_000, 300_000_000]
SCALE_DATES = [1, 2, 4, 6, 12]
MODES = {
    "full": ["shoal", "duckdb:tuned", "duckdb:encoded", "duckdb:catalogue", "polars:full"],
    "counts": ["shoal", "duckdb:counts", "polars:counts"],
    "plain": ["shoal", "duckdb:plain", "polars:plain"],
}
# Of counts Shoal computes the smallest families that have the columns; of plain, the columns.
FAMILIES = {"full": "all", "counts": "frequency, money", "plain": "frequency, money"}
COLUMNS = {"plain": "event_count_lifetime,purchase_count_lifetime,spend_lifetime"}


def dates(n):
    """n as-of dates, the last one the end of the data, 28 days apart."""
    return [str(LAST - datetime.timedelta(28 * i)) for i in reversed(range(n))]


def cpu_model():
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


class Bench:
    def __init__(self, a):
        self.a = a
        self.work = os.path.abspath(a.work)
        os.makedirs(self.work, exist_ok=True)
        self.shoal = os.path.abspath(a.shoal)
        self.results = os.path.join(self.work, "results.jsonl")

    # Results.

    def recorded(self):
        if not os.path.exists(self.results):
            return []
        with open(self.results) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def record(self, row):
        with open(self.results, "a") as f:
            f.write(json.dumps(row) + "\n")
            f.flush()
            os.fsync(f.fileno())

    def say(self, text):
        print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)

    # Data.

    def data(self, events, ids):
        """The generated history of so many rows; its files and configuration."""
        where = os.path.join(self.work, f"history-{events}-{ids}")
        if not os.path.exists(os.path.join(where, "shoal.yaml")):
            shutil.rmtree(where, ignore_errors=True)
            began = time.monotonic()
            # No repeated rows: the catalogue's SQL counts them all, Shoal once.
            done = subprocess.run([self.shoal, "generate", "--out", where + ".part", "--customers", str(max(1, events // EVENTS_A_CUSTOMER)),
                                   "--activity", ACTIVITY, "--duplicates", "0"] + (["--integer-ids"] if ids == "integer" else []),
                                  check=True, capture_output=True, text=True)
            with open(os.path.join(where + ".part", "shoal.yaml")) as f:
                config = f.read()
            with open(os.path.join(where + ".part", "shoal.yaml"), "w") as f:
                f.write(config.replace(where + ".part", where))
            os.rename(where + ".part", where)
            self.say(f"{done.stdout.splitlines()[0]} ({time.monotonic() - began:.0f} s)")
        return where

    def warm(self, where):
        size = 0
        for folder, _, names in os.walk(os.path.join(where, "events")):
            for n in names:
                with open(os.path.join(folder, n), "rb") as f:
                    while b := f.read(1 << 22):
                        size += len(b)
        return size

    # Contestants.

    def job(self, where, ids, contestant, mode, ds, out):
        """The command of a contestant, and what it needs written before."""
        config = os.path.join(self.work, f"{mode}-{ids}.yaml")
        with open(os.path.join(where, "shoal.yaml")) as f:
            text = f.read()
        with open(config, "w") as f:
            # Everybody counts every row: nobody reads the ids of events to drop repeated ones.
            f.write(text + f"dedupe: none\nfeatures:\n  families: [{FAMILIES[mode]}]\nlimits:\n  workers: {self.a.threads}\n  memory: {self.a.memory}\n")
        if contestant == "shoal":
            return self.shoal_command(config, ds, out, COLUMNS.get(mode))
        engine, variant = contestant.split(":")
        scripts = {}
        if variant in ("catalogue", "encoded"):
            for d in ds:
                scripts[d] = os.path.join(self.work, f"catalogue-{d}.sql")
                with open(scripts[d], "w") as f:
                    subprocess.run([self.shoal, "features", "--sql", "--config", config, "--date", d], check=True, stdout=f)
        roles = {}
        for role, types in re.findall(r"^      (\w+): \[(.*)\]$", text, re.M):
            roles.update({t.strip(): role for t in types.split(",")})
        temp = os.path.join(self.work, "temp")
        shutil.rmtree(temp, ignore_errors=True)
        path = os.path.join(self.work, "job.json")
        with open(path, "w") as f:
            json.dump({"files": os.path.join(where, "events", "*", "*.parquet"), "roles": roles, "dates": ds, "integer_ids": ids == "integer",
                       "out": out, "slices": self.a.slices, "variant": variant, "database": ":memory:", "threads": self.a.threads,
                       "memory_limit": self.a.memory_limit, "temp": temp, "scripts": scripts}, f)
        return [sys.executable, os.path.join(HERE, f"feature_{engine}.py"), path]

    def shoal_command(self, config, ds, out, columns):
        """The features at every date, one set of Parquet files a date: out/ds=<date>/*.parquet."""
        c = [self.shoal, "export", "--config", config, "--format", "parquet", "--out", out]
        if columns:
            c += ["--columns", columns]
        for d in ds:
            c += ["--date", d]
        return c

    def can_export(self):
        return subprocess.run([self.shoal, "export", "--help"], capture_output=True).returncode == 0

    def measure(self, command, log):
        """Runs a command as a group of its own; wait4 has the whole group's use."""
        env = dict(os.environ, POLARS_MAX_THREADS=str(self.a.threads), GOMAXPROCS=str(self.a.threads))
        with open(log, "wb") as f:
            began = time.monotonic()
            p = subprocess.Popen(command, stdout=f, stderr=f, env=env, start_new_session=True)
            limit, late = began + 60 * self.a.limit_minutes, False
            try:
                while True:
                    pid, status, use = os.wait4(p.pid, os.WNOHANG)
                    if pid:
                        break
                    if not late and time.monotonic() > limit:
                        late = True
                        os.killpg(p.pid, signal.SIGKILL)
                    time.sleep(0.02)
            except BaseException:
                os.killpg(p.pid, signal.SIGKILL)
                os.wait4(p.pid, 0)
                raise
            wall = time.monotonic() - began
            p.returncode = os.waitstatus_to_exitcode(status)
        state = "ok" if p.returncode == 0 else "late" if late else f"failed ({p.returncode})"
        return {"state": state, "wall": wall, "cpu": use.ru_utime + use.ru_stime, "rss": use.ru_maxrss * 1024}

    # Modes.

    def contest(self, mode):
        a = self.a
        contestants = list(a.contestants or MODES[mode])
        if wrong := [c for c in contestants if c not in MODES[mode]]:
            sys.exit(f"{mode} has no contestant {', '.join(wrong)}; it has {', '.join(MODES[mode])}")
        if a.threads > (os.cpu_count() or 1):
            sys.exit(f"--threads {a.threads}: this machine has {os.cpu_count()} processors")
        if "shoal" in contestants and not self.can_export():
            self.say("this shoal has no export verb: it is left out")
            contestants.remove("shoal")
        ds = dates(6 if mode == "full" else 1)
        for ids in a.ids:
            where = self.data(a.events, ids)
            self.warm(where)
            given_up = set()
            for repeat in range(a.repeats):
                turn = repeat % len(contestants)
                for c in contestants[turn:] + contestants[:turn]:
                    if c not in given_up and self.once(mode, where, ids, c, ds, repeat) != "ok":
                        given_up.add(c)
            self.compare(mode, ids, [c for c in contestants if c not in given_up], ds)

    def once(self, mode, where, ids, contestant, ds, repeat, events=None):
        key = {"mode": mode, "events": events or self.a.events, "ids": ids, "contestant": contestant, "dates": len(ds), "repeat": repeat,
               "slices": self.a.slices if contestant in ("duckdb:tuned", "polars:full") else None,
               "memory_limit": self.a.memory_limit if "duckdb" in contestant else None, "threads": self.a.threads}
        for row in self.recorded():
            if all(row.get(k) == v for k, v in key.items()):
                return row["state"]
        out = self.outdir(mode, key["events"], ids, contestant)
        shutil.rmtree(out, ignore_errors=True)
        log = os.path.join(self.work, "last-run.log")
        command = self.job(where, ids, contestant, mode if mode in MODES else "full", ds, out)
        m = self.measure(command, log)
        m["output"] = sum(os.path.getsize(os.path.join(f, n)) for f, _, names in os.walk(out) for n in names)
        self.say(f"{mode} {key['events']:,} {ids} {contestant} {len(ds)} dates: {m['state']} {m['wall']:.1f} s wall, {m['cpu']:.1f} s processor, {m['rss'] / 2**20:,.0f} MiB")
        if m["state"].startswith("failed"):
            with open(log, errors="replace") as f:
                m["log"] = f.read()[-2000:]
            self.say(m["log"])
        self.record({**key, **m, "limit_minutes": self.a.limit_minutes, **self.about()})
        return m["state"]

    def outdir(self, mode, events, ids, contestant):
        return os.path.join(self.work, f"out-{mode}-{events}-{ids}-{contestant.replace(':', '-')}")

    def about(self):
        import duckdb
        import polars
        version = subprocess.run([self.shoal, "--version"], capture_output=True, text=True).stdout.strip()
        return {"day": time.strftime("%Y-%m-%d"), "versions": {"shoal": version.split()[-1] if version else "?", "duckdb": duckdb.__version__, "polars": polars.__version__},
                "machine": f"{cpu_model()}, {self.a.threads} threads of {os.cpu_count()} processors, {platform.system()} {platform.machine()}"}

    def compare(self, mode, ids, contestants, ds):
        """Every value of each contestant against the first one's, customer by customer."""
        done = {(r["mode"], r["events"], r["ids"], r["compared"]) for r in self.recorded() if "compared" in r}
        outs = [(c, self.outdir(mode, self.a.events, ids, c)) for c in contestants]
        outs = [(c, o) for c, o in outs if os.path.isdir(o)]
        for c, o in outs[1:]:
            pair = f"{c} with {outs[0][0]}"
            if (mode, self.a.events, ids, pair) in done:
                continue
            row = differences(outs[0][1], o, ds, self.a.threads, self.a.memory_limit, self.a.compare_every)
            self.say(f"{pair}: {row['columns']} columns of {row['of']}, {row['values']:,} values, {row['different']:,} differ"
                     + (f", {row['customers']:,} customers in one only" if row["customers"] else ""))
            for line in row["examples"]:
                self.say("  " + line)
            self.record({"mode": mode, "events": self.a.events, "ids": ids, "compared": pair, **row})
        if not self.a.keep:
            for _, o in outs:
                shutil.rmtree(o, ignore_errors=True)

    def scale(self):
        if not self.can_export():
            sys.exit("this shoal has no export verb")
        ids = self.a.ids[0]
        for events in self.a.scale_events:
            where = self.data(events, ids)
            self.warm(where)
            for repeat in range(self.a.repeats):
                for n in (SCALE_DATES if events == self.a.dates_at else [6]):
                    self.once("scale", where, ids, "shoal", dates(n), repeat, events)
            shutil.rmtree(self.outdir("scale", events, ids, "shoal"), ignore_errors=True)
            if not self.a.keep and events != self.a.events:
                shutil.rmtree(where)


def differences(ours, theirs, ds, threads, memory, every):
    """Counts the values that differ by more than 1e-9 of themselves, nulls included, of one customer in every so many."""
    import duckdb
    con = duckdb.connect()
    con.execute(f"SET threads = {threads}")
    con.execute(f"SET memory_limit = '{memory}'")
    row = {"every": every, "columns": 0, "of": 0, "values": 0, "different": 0, "customers": 0, "examples": [], "columns_missing": []}
    for d in ds:
        for name, where in (("o", ours), ("t", theirs)):
            con.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet('{where}/ds={d}/*.parquet', hive_partitioning = false)"
                        + (f" WHERE hash(customer_id) % {every} = 0" if every > 1 else ""))
        mine, other = ([r[0] for r in con.execute(f"DESCRIBE {v}").fetchall() if r[0] != "customer_id"] for v in ("o", "t"))
        both = [c for c in mine if c in set(other)]
        row["columns"], row["of"] = len(both), len(other) if "plain" in theirs or "counts" in theirs else len(mine)
        row["columns_missing"] = [c for c in mine if c not in set(other)]
        joined = "o FULL JOIN t ON o.customer_id = t.customer_id"
        row["customers"] += con.execute(f"SELECT count(*) FILTER (WHERE o.customer_id IS NULL OR t.customer_id IS NULL) FROM {joined}").fetchone()[0]
        joined = "o JOIN t ON o.customer_id = t.customer_id"
        for at in range(0, len(both), 40):
            part = both[at:at + 40]
            x, y = (lambda c: f'CAST(o."{c}" AS DOUBLE)'), (lambda c: f'CAST(t."{c}" AS DOUBLE)')
            # A comparison with NaN is not trusted: Shoal's null is Parquet's null.
            wrong = {c: f"(({x(c)} IS NULL) <> ({y(c)} IS NULL) OR coalesce(isnan({x(c)}) OR isnan({y(c)}), false)"
                        f" OR coalesce(abs({x(c)} - {y(c)}) > 1e-9 * greatest(1.0, abs({x(c)}), abs({y(c)})), false))" for c in part}
            found = con.execute("SELECT count(*), " + ", ".join(f"count(*) FILTER (WHERE {w})" for w in wrong.values()) + f" FROM {joined}").fetchone()
            row["values"] += found[0] * len(part)
            row["different"] += sum(found[1:])
            for c, n in zip(part, found[1:]):
                if n and len(row["examples"]) < 20:
                    who = con.execute(f"SELECT o.customer_id, {x(c)}, {y(c)} FROM {joined} WHERE {wrong[c]} ORDER BY 1 LIMIT 1").fetchone()
                    row["examples"].append(f"{d} {c}: {n:,}, as customer {who[0]}: {who[1]} and {who[2]}")
    return row


def markdown(rows, bench):
    """The record: medians and ranges, ratios, values compared."""
    runs, compared = [r for r in rows if "wall" in r], [r for r in rows if "compared" in r]
    if not runs:
        sys.exit("nothing measured yet")
    last = runs[-1]
    print("# Features beside DuckDB and Polars\n")
    print(f"{last['day']} · shoal {last['versions']['shoal']}, DuckDB {last['versions']['duckdb']}, Polars {last['versions']['polars']} · {last['machine']}\n")
    key = lambda r: (r["mode"], r["events"], r["ids"])
    for mode, events, ids in sorted({key(r) for r in runs if r["mode"] in MODES}, key=lambda k: (list(MODES).index(k[0]), k[1], k[2])):
        here = [r for r in runs if key(r) == (mode, events, ids)]
        print(f"## {mode}: {events:,} events, {events // EVENTS_A_CUSTOMER:,} customers, {ids} ids, {here[0]['dates']} as-of dates\n")
        print("| | wall s, median (range) | processor s | peak memory MiB | output MB | of Shoal's wall | of Shoal's memory |\n|---|---|---|---|---|---|---|")
        shoal = [r for r in here if r["contestant"] == "shoal" and r["state"] == "ok"]
        for c in MODES[mode]:
            mine = [r for r in here if r["contestant"] == c]
            good = [r for r in mine if r["state"] == "ok"]
            med = lambda f, rs: statistics.median(r[f] for r in rs)
            if not mine:
                continue
            if not good:
                r = mine[-1]
                wall = f"> {r['limit_minutes']:g} min" if r["state"] == "late" else r["state"]
                print(f"| {c} | {wall} | {r['cpu']:.0f} | {r['rss'] / 2**20:,.0f} when ended | | | |")
                continue
            walls = [r["wall"] for r in good]
            versus = ("", "")
            if shoal:
                versus = (f"{med('wall', good) / med('wall', shoal):.2f}×", f"{med('rss', good) / med('rss', shoal):.2f}×")
            print(f"| {c} | {med('wall', good):.1f} ({min(walls):.1f}–{max(walls):.1f}, {len(good)}) | {med('cpu', good):.1f} | {med('rss', good) / 2**20:,.0f}"
                  f" | {med('output', good) / 1e6:,.0f} | {versus[0]} | {versus[1]} |")
        print()
        for r in compared:
            if key(r) == (mode, events, ids):
                print(f"{r['compared']}: {r['columns']} of {r['of']} columns, {r['values']:,} values, {r['different']:,} differ, {r['customers']:,} customers in one only"
                      + (f", of one customer in {r['every']}." if r.get("every", 1) > 1 else "."))
                if r["columns_missing"] and mode == "full":
                    print(f"Not computed: {', '.join(r['columns_missing'])}.")
        print()
    scale = [r for r in runs if r["mode"] == "scale" and r["state"] == "ok"]
    for title, group, fixed in (("events", "events", "dates"), ("as-of dates", "dates", "events")):
        for at in sorted({r[fixed] for r in scale}):
            here = [r for r in scale if r[fixed] == at]
            sizes = sorted({r[group] for r in here})
            if len(sizes) < 2:
                continue
            print(f"## Shoal by {title}, at {at:,} {'as-of dates' if fixed == 'dates' else 'events'}\n")
            print(f"| {title} | wall s, median (range) | of the first | per {title[:-1]}, of the first | processor s | peak memory MiB |\n|---|---|---|---|---|---|")
            base = None
            for n in sizes:
                these = [r for r in here if r[group] == n]
                walls = [r["wall"] for r in these]
                w = statistics.median(walls)
                base = base or (w, n)
                print(f"| {n:,} | {w:.1f} ({min(walls):.1f}–{max(walls):.1f}) | {w / base[0]:.2f}× | {w / base[0] / (n / base[1]):.2f}× | {statistics.median(r['cpu'] for r in these):.1f}"
                      f" | {statistics.median(r['rss'] for r in these) / 2**20:,.0f} |")
            print()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=[*MODES, "scale", "record"])
    p.add_argument("--work", required=True, help="directory of generated data, outputs and results")
    p.add_argument("--shoal", default="bin/shoal")
    p.add_argument("--events", type=int, default=100_000_000)
    p.add_argument("--ids", nargs="+", choices=["string", "integer"], default=["string", "integer"])
    p.add_argument("--contestants", nargs="+", metavar="NAME", help="some of " + ", ".join(c for m in MODES.values() for c in m))
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--slices", type=int, default=8, help="slices of customers that duckdb:tuned and polars:full work off one after another")
    p.add_argument("--memory-limit", default="20GB", help="of DuckDB")
    p.add_argument("--memory", default="2GiB", help="limits.memory of Shoal")
    p.add_argument("--compare-every", type=int, default=1, metavar="N", help="compare the values of one customer in N")
    p.add_argument("--limit-minutes", type=float, default=60, help="a run is ended after this time")
    p.add_argument("--scale-events", type=int, nargs="+", default=SCALE_EVENTS)
    p.add_argument("--dates-at", type=int, default=100_000_000, help="events at which scale varies the dates")
    p.add_argument("--keep", action="store_true", help="keep outputs and the data of scale")
    a = p.parse_args()
    b = Bench(a)
    if a.mode == "record":
        markdown(b.recorded(), b)
    elif a.mode == "scale":
        b.scale()
    else:
        b.contest(a.mode)


if __name__ == "__main__":
    main()
