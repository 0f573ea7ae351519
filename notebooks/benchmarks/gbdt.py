#!/usr/bin/env python3
"""Time boosted trees beside LightGBM, XGBoost and scikit-learn, and write a record.

    make tools
    P=.tools/venv/bin/python
    $P notebooks/benchmarks/gbdt.py --work DIR --rows 1000000 --columns 80 --threads 1 2 --rounds 3
    $P notebooks/benchmarks/gbdt.py --work DIR --record > record.md

Everyone grows 100 trees of 31 leaves at equal settings on the same matrix of
float64 in memory, then scores rows it has not seen. Training counts everything
from that matrix to a model: binning, data structures of the contestant's own,
boosting. Contestants take turns, each run a process of its own; wall and
processor time, peak memory, AUC and log-loss go to DIR/results.jsonl. Where other
work shares the machine, processor time says more than wall time.
"""

import argparse
import collections
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

PEERS = ["lightgbm", "lightgbm-quantized", "xgboost", "sklearn"]
CONTESTANTS = ["shoal", "shoal-purego"] + PEERS


def generate(path, rows, columns, seed):
    """Columns such as customers have: of every five, zero-inflated counts, money,
    a normal variable, a small integer and a flag; some values missing."""
    import numpy as np
    r = np.random.default_rng(seed)
    held = max(rows // 5, 20_000)
    n = rows + held
    x = np.empty((n, columns))
    eta = np.zeros(n)
    for j in range(columns):
        kind = j % 5
        if kind == 0:
            v = np.floor(r.exponential(6, n)) * (r.random(n) < .45)
        elif kind == 1:
            v = np.round(np.exp(1.2 * r.standard_normal(n) + 3), 2) * (r.random(n) < .6)
        elif kind == 2:
            v = r.standard_normal(n)
        elif kind == 3:
            v = r.integers(0, 12, n).astype(float)
        else:
            v = (r.random(n) < .3).astype(float)
        if j < columns // 2:  # the other half says nothing
            s = (v - v.mean()) / v.std()
            eta += [.35, -.3, .4, .25, .3][kind] * (np.tanh(s) if j % 2 else s * s / (1 + s * s)) * 14 / columns ** .5
            if j >= 5:
                eta += .15 * np.sign(s) * np.sign(x[:, j - 5])
        if j % 3 == 0:
            v[r.random(n) < .12] = np.nan
        x[:, j] = v
    eta = np.nan_to_num(eta)
    y = (r.random(n) < 1 / (1 + np.exp(-(eta - eta.mean()) - -1))).astype(float)
    os.makedirs(path)
    x[:rows].tofile(f"{path}/x_train.f64")
    x[rows:].tofile(f"{path}/x_test.f64")
    y[:rows].tofile(f"{path}/y_train.f64")
    y[rows:].tofile(f"{path}/y_test.f64")


def clock():
    t = os.times()
    return time.monotonic(), t.user + t.system


def contest(name, path, columns, threads, trees):
    """One run of a Python contestant, in this process; prints its figures."""
    import numpy as np
    x, xt = (np.fromfile(f"{path}/x_{s}.f64").reshape(-1, columns) for s in ("train", "test"))
    y, yt = (np.fromfile(f"{path}/y_{s}.f64") for s in ("train", "test"))
    if name.startswith("lightgbm"):
        import lightgbm as lgb
        version = lgb.__version__
        options = dict(objective="binary", num_leaves=31, learning_rate=.1, lambda_l2=1, max_bin=255, min_data_in_leaf=20,
                       num_threads=threads, verbose=-1, use_quantized_grad=name.endswith("quantized"))
        start = clock()
        model = lgb.train(options, lgb.Dataset(x, y), trees)
        trained = clock()
        p = model.predict(xt, num_threads=threads)
    elif name == "xgboost":
        import xgboost as xgb
        version = xgb.__version__
        options = dict(objective="binary:logistic", tree_method="hist", grow_policy="lossguide", max_leaves=31, max_depth=0,
                       eta=.1, reg_lambda=1, max_bin=255, min_child_weight=1e-3, nthread=threads, verbosity=0)
        start = clock()
        model = xgb.train(options, xgb.QuantileDMatrix(x, y, max_bin=255, nthread=threads), trees)
        trained = clock()
        p = model.inplace_predict(xt)
    else:
        import sklearn
        from sklearn.ensemble import HistGradientBoostingClassifier
        version = sklearn.__version__
        model = HistGradientBoostingClassifier(max_iter=trees, max_leaf_nodes=31, learning_rate=.1, l2_regularization=1,
                                               max_bins=255, min_samples_leaf=20, early_stopping=False, random_state=1)
        start = clock()
        model.fit(x, y)
        trained = clock()
        p = model.predict_proba(xt)[:, 1]
    scored = clock()
    report(version, start, trained, scored, p, yt)


def report(version, start, trained, scored, p, y):
    import numpy as np
    order = np.argsort(p, kind="stable")
    ranks = np.empty(len(p))
    s = p[order]
    ends = np.append(np.flatnonzero(np.diff(s)) + 1, len(s))
    at = 0
    for e in ends:
        ranks[order[at:e]] = (at + e + 1) / 2
        at = e
    pos = y.sum()
    auc = (ranks[y == 1].sum() - pos * (pos + 1) / 2) / (pos * (len(y) - pos))
    p = np.clip(np.asarray(p, dtype=float), 1e-15, 1 - 1e-15)
    print(json.dumps(dict(
        version=version, train_wall=trained[0] - start[0], train_cpu=trained[1] - start[1],
        score_wall=scored[0] - trained[0], score_cpu=scored[1] - trained[1],
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        auc=float(auc), logloss=float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))))))


def run(name, path, columns, threads, trees, here):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1")
    if name.startswith("shoal"):
        env["SHOAL_GBDT_CONTEST"] = json.dumps(dict(Path=path, Columns=columns, Threads=threads, Trees=trees))
        command = [os.path.join(os.path.dirname(path), name + ".test"), "-test.run", "^TestContest$", "-test.count", "1"]
    else:
        command = [sys.executable, os.path.abspath(__file__), "--contest", name, "--path", path, "--columns", str(columns),
                   "--threads", str(threads), "--trees", str(trees)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stdout}{done.stderr}")
    return json.loads(next(l for l in done.stdout.splitlines() if l.startswith("{")))


def record(work):
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    results = [json.loads(l) for l in open(f"{work}/results.jsonl")]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"# Boosted trees beside their peers\n\n{time.strftime('%Y-%m-%d')} · shoal {commit} · {cpu}, {os.cpu_count()} processors · {platform.system()} {platform.machine()}\n")
    versions = sorted({(r["name"].split("-")[0], r["version"]) for r in results if not r["name"].startswith("shoal")})
    print(", ".join(f"{n} {v}" for n, v in versions) + ". Medians; least and most in brackets. Load is the mean number of runnable processes in the last minute.\n")
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    for r in results:
        groups[r["rows"], r["columns"], r["trees"], r["threads"]][r["name"]].append(r)
    for (rows, columns, trees, threads), by in sorted(groups.items()):
        print(f"## {rows:,} × {columns}, {trees} trees, {threads} thread{'s' * (threads > 1)}\n")
        print("|  | runs | train, processor s | train, wall s | score, processor s | peak MiB | AUC | log-loss | load |\n|---|---|---|---|---|---|---|---|---|")
        for name in CONTESTANTS:
            if name in by:
                rs = by[name]

                def mid(k, digits):
                    v = [r[k] for r in rs]
                    m = f"{statistics.median(v):,.{digits}f}"
                    return m if len(v) == 1 else f"{m} ({min(v):,.{digits}f}–{max(v):,.{digits}f})"
                print(f"| {name} | {len(rs)} | {mid('train_cpu', 2)} | {mid('train_wall', 2)} | {mid('score_cpu', 2)} | "
                      f"{statistics.median(r['peak_mib'] for r in rs):,.0f} | {statistics.median(r['auc'] for r in rs):.5f} | "
                      f"{statistics.median(r['logloss'] for r in rs):.5f} | {statistics.median(r['load'] for r in rs):.0f} |")
        print()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work")
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--columns", type=int, default=80)
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--trees", type=int, default=100)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--contestants", nargs="+", default=CONTESTANTS)
    p.add_argument("--record", action="store_true")
    p.add_argument("--contest", help=argparse.SUPPRESS)
    p.add_argument("--path", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.contest:
        return contest(a.contest, a.path, a.columns, a.threads[0], a.trees)
    work = os.path.abspath(a.work)
    if a.record:
        return record(work)
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    os.makedirs(work, exist_ok=True)
    for name, tags in ("shoal", ""), ("shoal-purego", "purego"):
        subprocess.run(["go", "test", "-c", "-tags", tags, "-o", f"{work}/{name}.test", "./models/gbdt"], cwd=here, check=True)
    path = f"{work}/{a.rows}x{a.columns}"
    if not os.path.exists(path):
        generate(path, a.rows, a.columns, 7)
    for _ in range(a.rounds):
        for threads in a.threads:
            for name in a.contestants:
                r = run(name, path, a.columns, threads, a.trees, here)
                r.update(name=name, rows=a.rows, columns=a.columns, trees=a.trees, threads=threads, load=os.getloadavg()[0])
                with open(f"{work}/results.jsonl", "a") as f:
                    f.write(json.dumps(r) + "\n")
                print(f"{name:20} threads {threads}  train {r['train_cpu']:.2f} s processor, {r['train_wall']:.2f} wall; "
                      f"score {r['score_cpu']:.2f}; AUC {r['auc']:.5f}; {r['peak_mib']:.0f} MiB", file=sys.stderr)


if __name__ == "__main__":
    main()
