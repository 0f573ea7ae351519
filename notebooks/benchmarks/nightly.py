#!/usr/bin/env python3
"""Time the whole nightly job on generated events and write a record.

    make build
    python3 notebooks/benchmarks/nightly.py --events 20000000 --runs 3 > record.md

Generates the history once, runs the job several times with --force, and prints
the median run: rows a second, wall and processor time of every step, and peak
memory, all from the summary that the program itself writes.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time


def cpu_model():
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--shoal", default="bin/shoal")
    p.add_argument("--events", type=int, default=20_000_000)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--date", default="2025-03-31")
    p.add_argument("--workers", default="auto")
    a = p.parse_args()
    work = tempfile.mkdtemp(prefix="shoal-bench-")
    try:
        sample = os.path.join(work, "sample")
        began = time.monotonic()
        out = subprocess.run([a.shoal, "generate", "--out", sample, "--events", str(a.events)],
                             check=True, capture_output=True, text=True).stdout
        generated = time.monotonic() - began
        runs = []
        for _ in range(a.runs):
            done = subprocess.run([a.shoal, "run", "--config", os.path.join(sample, "shoal.yaml"), "--date", a.date,
                                   "--workers", a.workers, "--force", "--log", "json"],
                                  check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        grade = subprocess.run([a.shoal, "grade", "--out", os.path.join(sample, "out"), "--date", a.date,
                                "--truth", os.path.join(sample, "truth", "truth.parquet")],
                               check=True, capture_output=True, text=True).stdout
    finally:
        shutil.rmtree(work)
    runs.sort(key=lambda s: s["seconds"])
    s = runs[len(runs) // 2]
    i = s["input"]
    rows = i["rows_read"]
    cpu = sum(g["cpu_seconds"] for g in s["stages"])
    print(f"# The nightly job on {rows:,} generated rows\n")
    print(f"{time.strftime('%Y-%m-%d')} · shoal {s['version']} · {cpu_model()}, {os.cpu_count()} processors · {platform.system()} {platform.machine()}\n")
    print(f"`python3 notebooks/benchmarks/nightly.py --events {a.events} --runs {a.runs} --workers {a.workers}`; the median of {a.runs} runs.\n")
    print(f"{rows:,} rows in {i['files']:,} files, {i['events']:,} events of {i['customers']:,} customers before the date; "
          f"generated in {generated:.1f} s ({rows / generated / 1e6:.2f} M rows/s).\n")
    print("| step | wall s | processor s | M rows/s |\n|---|---|---|---|")
    for g in s["stages"]:
        rate = f"{rows / g['seconds'] / 1e6:.2f}" if g["seconds"] > 0.1 else ""
        print(f"| {g['name']} | {g['seconds']:.2f} | {g['cpu_seconds']:.2f} | {rate} |")
    print(f"| **all** | **{s['seconds']:.2f}** | **{cpu:.2f}** | **{rows / s['seconds'] / 1e6:.2f}** |\n")
    walls = ", ".join(f"{r['seconds']:.1f}" for r in runs)
    peaks = ", ".join(f"{r['peak_memory_bytes'] / 2**20:,.0f}" for r in runs)
    print(f"Wall of each run: {walls} s. Peak resident memory: {peaks} MiB.\n")
    print("```\n" + grade + "```")


if __name__ == "__main__":
    sys.exit(main())
