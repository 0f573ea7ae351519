#!/usr/bin/env python3
"""Time k-means against scikit-learn and faiss and write a record.

    python3 notebooks/benchmarks/kmeans.py > record.md

Generates mixtures as float32, and has every library run Lloyd's algorithm from
the same centres to the same cap of iterations, in turn, so that all meet the
same machine. (faiss stops sooner, once its float32 objective no longer falls.) Each fit is a process of its own; loading is not timed. What each
returns is evaluated here in float64: inertia of its centres, and, for Shoal, a
brute-force label of every row. Shoal's paths (AVX-512, AVX2, plain Go) must
give the same labels.
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

import numpy as np

CASES = [  # kind, rows, columns, clusters, iterations
    (kind, n, d, k, cap)
    for n, d, k, cap in [(1_000_000, 32, 8, 100), (1_000_000, 32, 16, 100), (1_000_000, 32, 64, 50),
                         (1_000_000, 32, 256, 50), (10_000_000, 16, 8, 50)]
    for kind in ("clustered", "overlapping")
]
CHUNK = 250_000


def generate(kind, n, d, k, path):
    """clustered: k normal clusters. overlapping: correlated log-normal Poisson
    counts after log1p, standardised: no clusters to find."""
    r = np.random.default_rng(1)
    x = np.memmap(path, np.float32, "w+", shape=(n, d))
    centres = r.normal(0, 1.2, (k, d))
    mixing = r.normal(0, 1 / np.sqrt(d), (d, d))
    for lo in range(0, n, CHUNK):
        m = min(CHUNK, n - lo)
        if kind == "clustered":
            x[lo:lo + m] = centres[r.integers(0, k, m)] + r.standard_normal((m, d))
        else:
            rate = 0.5 + 0.7 * r.standard_normal((m, 1)) + 0.5 * r.standard_normal((m, d)) @ mixing
            x[lo:lo + m] = np.log1p(r.poisson(np.exp(rate)))
    if kind == "overlapping":
        mean = x.mean(0, dtype=np.float64)
        sd = np.sqrt(sum(((x[lo:lo + CHUNK] - mean) ** 2).sum(0) for lo in range(0, n, CHUNK)) / n)
        for lo in range(0, n, CHUNK):
            x[lo:lo + CHUNK] = (x[lo:lo + CHUNK] - mean) / sd
    x.flush()
    x[np.sort(r.choice(n, k, replace=False))].tofile(path + ".start")


def peer(job):
    """Runs one fit of a Python library, in a process of its own."""
    x = np.fromfile(job["data"], np.float32).reshape(-1, job["d"])
    start = np.fromfile(job["data"] + ".start", np.float32).reshape(job["k"], job["d"])
    if job["library"] == "faiss":
        import faiss
        faiss.omp_set_num_threads(job["threads"])
        fit = faiss.Kmeans(job["d"], job["k"], niter=job["cap"], max_points_per_centroid=len(x), min_points_per_centroid=1)
        began, cpu = time.monotonic(), time.process_time()
        fit.train(x, init_centroids=start)
        fit.index.search(x, 1)  # labels, which the others return
        centres, iterations = fit.centroids, len(fit.iteration_stats)
    else:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits
        with threadpool_limits(job["threads"]):
            began, cpu = time.monotonic(), time.process_time()
            fit = KMeans(job["k"], init=start, n_init=1, max_iter=job["cap"], tol=0, algorithm=job["library"], copy_x=False).fit(x)
        centres, iterations = fit.cluster_centers_, fit.n_iter_
    answer = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "iterations": int(iterations)}
    np.asarray(centres, np.float64).tofile(job["out"])
    print(json.dumps(answer))


def shoal(binary, job, path=""):
    request = job["out"] + ".json"
    with open(request, "w") as f:
        json.dump({"Data": job["data"], "Start": job["data"] + ".start", "Labels": job["out"] + ".labels", "Centres": job["out"],
                   "D": job["d"], "K": job["k"], "MaxIter": job["cap"], "Workers": job["threads"], "Path": path}, f)
    out = subprocess.run([binary, "-test.run", "^TestTimedFit$"], env=dict(os.environ, SHOAL_TIMED_FIT=request),
                         capture_output=True, text=True)
    for line in out.stdout.splitlines():
        if line.startswith("timed "):
            return json.loads(line[len("timed "):])
    sys.exit(f"the timed fit failed:\n{out.stdout}{out.stderr}")


def run(binary, library, job):
    if library == "shoal":
        return shoal(binary, job)
    out = subprocess.run([sys.executable, __file__, "--peer", json.dumps(dict(job, library=library))], check=True, capture_output=True, text=True)
    return json.loads(out.stdout.splitlines()[-1])


def evaluate(data, d, centres, labels=None):
    """Inertia of the centres in float64, and how many of the labels differ from
    the nearest centre, the lowest of equals."""
    x = np.memmap(data, np.float32, "r").reshape(-1, d)
    norms = (centres ** 2).sum(1)
    inertia, wrong = 0.0, 0
    step = max(1000, 20_000_000 // len(centres))
    for lo in range(0, len(x), step):
        rows = np.asarray(x[lo:lo + step], np.float64)
        square = (rows ** 2).sum(1)
        d2 = norms - 2 * (rows @ centres.T)
        best = d2.argmin(1)
        if labels is not None:
            # Where expanding the square may have hidden which is nearest, sum
            # the squared differences, column by column.
            two = np.partition(d2, 1, axis=1)[:, :2]
            for i in np.flatnonzero(two[:, 1] - two[:, 0] < 1e-9 * (1 + square)):
                s = np.zeros(len(centres))
                for j in range(d):
                    s += (rows[i, j] - centres[:, j]) ** 2
                best[i] = s.argmin()
            wrong += int((best != labels[lo:lo + step]).sum())
        inertia += float((square + d2[np.arange(len(rows)), best]).sum())
    return inertia, wrong


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
    p.add_argument("--peer", help=argparse.SUPPRESS)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cases", default="", help="numbers of the cases to run, from 0, with commas; all unless given")
    p.add_argument("--shrink", type=int, default=1, help="divide rows and iterations by this, to try the script")
    a = p.parse_args()
    if a.peer:
        return peer(json.loads(a.peer))
    import faiss
    import sklearn
    chosen = [CASES[int(i)] for i in a.cases.split(",")] if a.cases else CASES
    work = tempfile.mkdtemp(prefix="shoal-bench-")
    try:
        binary = os.path.join(work, "kmeans.test")
        subprocess.run(["go", "test", "-c", "-o", binary, "./models/kmeans"], check=True)
        version = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
        print(f"# k-means beside scikit-learn {sklearn.__version__} and faiss {faiss.__version__}\n")
        print(f"{time.strftime('%Y-%m-%d')} · shoal {version} · {cpu_model()}, {os.cpu_count()} processors · {platform.system()} {platform.machine()}\n")
        arguments = " ".join(sys.argv[1:])
        print(f"`python3 notebooks/benchmarks/kmeans.py {arguments}`: {a.threads} threads, least time of {a.runs} interleaved runs, elkan once; "
              "float32 rows, the same starting centres, tolerance 0, the same cap of iterations. Seconds are wall (processor).\n")
        print("| case | cap | sklearn lloyd | sklearn elkan | faiss | Shoal | faster than the best peer | by processor time | inertia beside that peer | labels off | AVX2 only | load |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for kind, n, d, k, cap in chosen:
            n, cap = n // a.shrink, max(2, cap // a.shrink)
            data = os.path.join(work, "rows.f32")
            generate(kind, n, d, k, data)
            job = {"data": data, "d": d, "k": k, "cap": cap, "threads": a.threads, "out": os.path.join(work, "out")}
            answers, inertia, off = {}, {}, 0
            loads = []
            for turn in range(a.runs):
                for library in ("shoal", "lloyd", "faiss") + (("elkan",) if turn == 0 else ()):
                    loads.append(os.getloadavg()[0])
                    answers.setdefault(library, []).append(run(binary, library, job))
                    if turn == 0:
                        centres = np.fromfile(job["out"], np.float64).reshape(k, d)
                        labels = np.fromfile(job["out"] + ".labels", np.uint32) if library == "shoal" else None
                        inertia[library], wrong = evaluate(data, d, centres, labels)
                        off += wrong
            # The paths must agree, to the label; plain Go is slow, and runs few iterations.
            avx2 = shoal(binary, job, "avx2")
            labels = open(job["out"] + ".labels", "rb").read()
            shoal(binary, job)
            if open(job["out"] + ".labels", "rb").read() != labels:
                sys.exit("AVX2 gives other labels")
            few = dict(job, cap=2)
            shoal(binary, few)
            labels = open(job["out"] + ".labels", "rb").read()
            shoal(binary, few, "go")
            if open(job["out"] + ".labels", "rb").read() != labels:
                sys.exit("plain Go gives other labels")
            least = {lib: min(runs, key=lambda r: r["seconds"]) for lib, runs in answers.items()}
            cpu = {lib: min(r["cpu"] for r in runs) for lib, runs in answers.items()}
            peers = [lib for lib in least if lib != "shoal"]
            best = min(peers, key=lambda lib: least[lib]["seconds"])
            show = lambda lib: f"{least[lib]['seconds']:.2f} ({cpu[lib]:.2f})"
            iterations = {lib: least[lib]["iterations"] for lib in least}
            note = str(cap) if set(iterations.values()) == {cap} else ", ".join(f"{lib} {i}" for lib, i in iterations.items())
            print(f"| {n:,} × {d} {kind}, k = {k} | {note} | {show('lloyd')} | {show('elkan')} | {show('faiss')} | **{show('shoal')}** | "
                  f"**{least[best]['seconds'] / least['shoal']['seconds']:.1f}×** | {min(cpu[l] for l in peers) / cpu['shoal']:.1f}× | "
                  f"{inertia['shoal'] / inertia[best] - 1:+.1e} | {off} | {avx2['seconds']:.2f} ({avx2['cpu']:.2f}) | {min(loads):.1f}–{max(loads):.1f} |", flush=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
