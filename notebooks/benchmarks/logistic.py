#!/usr/bin/env python3
"""Time logistic regression against scikit-learn's newton-cholesky and write a record.

    python3 notebooks/benchmarks/logistic.py > record.md

The same standard normal rows, correlated, and labels of a logistic model; L2 = 1; both
to their default tolerance; each fit a process of its own, in turn, loading not timed.
The optima are compared by the objective, Σ loss + ½Σβ².
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

CASES = [(100_000, 10), (100_000, 50), (200_000, 100), (50_000, 300)]


def generate(n, d, path):
    g = np.random.default_rng(1)
    x = g.standard_normal((n, d)) @ (np.eye(d) + 0.3 * g.standard_normal((d, d)) / np.sqrt(d))
    y = (g.random(n) < 1 / (1 + np.exp(1 - x @ (g.standard_normal(d) / np.sqrt(d))))).astype(float)
    with open(path, "wb") as f:
        x.tofile(f)
        y.tofile(f)


def peer(job):
    from sklearn.linear_model import LogisticRegression

    v = np.fromfile(job["data"])
    d = job["d"]
    n = len(v) // (d + 1)
    x, y = v[: n * d].reshape(n, d), v[n * d :]
    model = LogisticRegression(C=1.0, solver="newton-cholesky")
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(x, y)
    out = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "iterations": int(model.n_iter_[0])}
    eta = x @ model.coef_[0] + model.intercept_[0]
    out["objective"] = float(np.sum(np.logaddexp(0, eta) - y * eta) + 0.5 * np.sum(model.coef_**2))
    print(json.dumps(out))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--peer", help=argparse.SUPPRESS)
    args = args.parse_args()
    if args.peer:
        return peer(json.loads(args.peer))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as work:
        binary, data, request = (os.path.join(work, f) for f in ("logit.test", "data", "request.json"))
        subprocess.run(["go", "test", "-c", "-o", binary, "./models/logit"], cwd=root, check=True, env=os.environ | {"CGO_ENABLED": "0"})
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
        import sklearn

        print(f"# Logistic regression beside scikit-learn {sklearn.__version__}\n\n{time.strftime('%Y-%m-%d')} · shoal {commit} · {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
        print(f"`python3 notebooks/benchmarks/logistic.py --runs {args.runs} --threads {args.threads}`: {args.threads} threads, the least processor time of {args.runs} interleaved runs. Seconds are wall (processor).\n")
        print("| rows × columns | newton-cholesky | Shoal | Shoal's share of its processor time | objective, Shoal's less scikit-learn's | load |\n|---|---|---|---|---|---|")
        for n, d in CASES:
            generate(n, d, data)
            best, loads = {}, []
            for _ in range(args.runs):
                for who in ("sklearn", "shoal"):
                    loads.append(os.getloadavg()[0])
                    if who == "sklearn":
                        env = os.environ | {"OMP_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": str(args.threads)}
                        out = subprocess.run([sys.executable, __file__, "--peer", json.dumps({"data": data, "d": d})], check=True, capture_output=True, text=True, env=env).stdout
                    else:
                        with open(request, "w") as f:
                            json.dump({"Data": data, "D": d, "Workers": args.threads}, f)
                        out = subprocess.run([binary, "-test.run", "^TestTimedFit$"], check=True, capture_output=True, text=True, env=os.environ | {"SHOAL_TIMED_FIT": request}).stdout
                    got = json.loads(out.splitlines()[0])
                    print(n, d, who, got, file=sys.stderr)
                    if who not in best or got["cpu"] < best[who]["cpu"]:
                        best[who] = got
            a, b = best["sklearn"], best["shoal"]
            print(f"| {n:,} × {d} | {a['seconds']:.2f} ({a['cpu']:.2f}) | {b['seconds']:.2f} ({b['cpu']:.2f}) | {b['cpu'] / a['cpu']:.2f} | {b['objective'] - a['objective']:+.2g} | {min(loads):.1f}–{max(loads):.1f} |", flush=True)


if __name__ == "__main__":
    main()
