#!/usr/bin/env python3
"""Time BG/NBD, MBG/NBD and Pareto/NBD against lifetimes and write a record.

    python3 notebooks/benchmarks/repeat_buying.py > record.md

Simulates customers of the BG/NBD process with CDNOW's parameters, dated to the day,
and fits each model with both, in turn, each fit a process of its own; loading is
not timed. lifetimes' optimum and ours are compared by the log-likelihood.
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

FITTERS = {"bgnbd": "BetaGeoFitter", "mbgnbd": "ModifiedBetaGeoFitter", "paretonbd": "ParetoNBDFitter"}


def simulate(n, path):
    r, alpha, a, b = 0.2425945, 4.4136019, 0.7929199, 2.4258881
    g = np.random.default_rng(1)
    rate, p, T = g.gamma(r, 1 / alpha, n), g.beta(a, b, n), 27 + g.integers(0, 85, n) / 7
    x, tx, now, active = np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n)
    while len(active):
        with np.errstate(divide="ignore"):
            now[active] += g.exponential(1, len(active)) / rate[active]
        active = active[now[active] <= T[active]]
        day = np.minimum(np.ceil(now[active] * 7) / 7, T[active])
        new = day > tx[active]
        x[active[new]] += 1
        tx[active] = day
        active = active[g.random(len(active)) >= p[active]]
    np.concatenate([x, tx, T]).tofile(path)


def peer(job):
    import warnings

    warnings.simplefilter("ignore")
    import lifetimes

    x, tx, T = np.fromfile(job["data"]).reshape(3, -1)
    fitter = getattr(lifetimes, FITTERS[job["model"]])()
    start, cpu = time.perf_counter(), time.process_time()
    fitter.fit(x, tx, T)
    out = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "model": fitter.params_.to_dict()}
    # Its own likelihood at its optimum, of every customer: fit's is of rescaled times.
    mean = fitter._negative_log_likelihood(np.log(fitter.params_.to_numpy()), x, tx, T, np.ones(len(x)), 0)
    out["loglik"] = -float(mean) * len(x)
    print(json.dumps(out))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--customers", type=int, default=1_000_000)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--models", default="bgnbd")
    args.add_argument("--peer", help=argparse.SUPPRESS)
    args = args.parse_args()
    if args.peer:
        return peer(json.loads(args.peer))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as work:
        binary, data, request = (os.path.join(work, f) for f in ("bgnbd.test", "data", "request.json"))
        subprocess.run(["go", "test", "-c", "-o", binary, "./models/bgnbd"], cwd=root, check=True, env=os.environ | {"CGO_ENABLED": "0"})
        simulate(args.customers, data)
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
        print(f"# Repeat buying beside lifetimes 0.11.3\n\n{time.strftime('%Y-%m-%d')} · shoal {commit} · {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
        print(f"`python3 notebooks/benchmarks/repeat_buying.py --customers {args.customers} --runs {args.runs} --models {args.models}`: {args.customers:,} simulated customers dated to the day, the least of {args.runs} interleaved runs. Seconds are wall (processor).\n")
        print("| model | lifetimes | Shoal, 1 worker | Shoal, 2 workers | lifetimes takes, by processor time | log-likelihood, Shoal's less lifetimes' | load |\n|---|---|---|---|---|---|---|")
        for model in args.models.split(","):
            best, loads = {}, []
            for _ in range(args.runs):
                for who in ("lifetimes", 1, 2):
                    loads.append(os.getloadavg()[0])
                    if who == "lifetimes":
                        out = subprocess.run([sys.executable, __file__, "--peer", json.dumps({"data": data, "model": model})], check=True, capture_output=True, text=True).stdout
                    else:
                        with open(request, "w") as f:
                            json.dump({"Data": data, "Model": model, "Workers": who}, f)
                        out = subprocess.run([binary, "-test.run", "^TestTimedFit$"], check=True, capture_output=True, text=True, env=os.environ | {"SHOAL_TIMED_FIT": request}).stdout
                    got = json.loads(out.splitlines()[0])
                    print(model, who, got, file=sys.stderr)
                    if who not in best or got["cpu"] < best[who]["cpu"]:
                        best[who] = got
            cell = lambda g: f"{g['seconds']:.2f} ({g['cpu']:.2f})"
            print(f"| {model} | {cell(best['lifetimes'])} | {cell(best[1])} | {cell(best[2])} | {best['lifetimes']['cpu'] / best[1]['cpu']:.0f}× | {best[1]['loglik'] - best['lifetimes']['loglik']:+.4f} | {min(loads):.1f}–{max(loads):.1f} |", flush=True)


if __name__ == "__main__":
    main()
