#!/usr/bin/env python3
"""A whole night by Shoal beside the script an expert would write today.

    make bench-peers SIZE=small     # minutes
    make bench-peers SIZE=large     # 100 M events, 1 M customers, two processors: hours

Both read the same Parquet, describe customers by the same columns at the same
dates (those that Shoal chose), answer the same targets over the same horizons,
divide customers by the same features, and write Parquet. They take turns; every
run is a process of its own whose wall, processor time and peak resident memory
are the operating system's (wait4). Both are then judged by what the generator
planted and by what customers did in the 90 days after the night, which neither
has seen. What has been measured is in WORK/results.jsonl; the record goes to
standard output.
"""

import argparse
import glob
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

import duckdb
import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, average_precision_score, brier_score_loss, log_loss, roc_auc_score

from features import ACTIVITY, EVENTS_A_CUSTOMER, Bench, cpu_model

HERE = os.path.dirname(os.path.abspath(__file__))
DATE = "2025-03-31"
SIZES = {"small": {"events": 2_000_000, "repeats": 1}, "large": {"events": 100_000_000, "repeats": 3}}


class Night(Bench):
    def __init__(self, a):
        super().__init__(a)
        self.where = self.data(a.events, "text")
        self.config = os.path.join(self.work, "shoal.yaml")
        with open(os.path.join(self.where, "shoal.yaml")) as f:
            self.text = re.sub(r'(?m)^out: .*$', f'out: "{self.work}/shoal-out"', f.read())
        with open(self.config, "w") as f:
            # The expert's columns count every row: nobody drops repeated ones.
            f.write(self.text + f"dedupe: none\nlimits:\n  workers: {a.threads}\n" + (f"  memory: {a.memory}\n" if a.memory else ""))

    def shoal_run(self):
        return [self.shoal, "run", "--config", self.config, "--date", DATE, "--force", "--log", "json"]

    def manifest(self):
        out = os.path.join(self.work, "shoal-out")
        with open(os.path.join(out, "current.json")) as f:
            entry = json.load(f)["dates"][DATE]
        with open(os.path.join(out, entry["manifest"])) as f:
            return json.load(f), out

    def table(self, name):
        m, out = self.manifest()
        files = [os.path.join(out, f["path"]) for t in m["tables"] if t["name"] == name for f in t["files"]]
        return pd.concat((pd.read_parquet(f, partitioning=None) for f in files), ignore_index=True)

    def expert_job(self):
        """The questions of Shoal's night, for the expert to answer."""
        m, _ = self.manifest()
        audit, metrics = self.table("label_audit"), self.table("model_metrics")
        roles = {}
        for role, types in re.findall(r"^      (\w+): \[(.*)\]$", self.text, re.M):
            roles.update({t.strip(): role for t in types.split(",")})
        names = self.table("segment_profiles").feature.unique().tolist()
        job = {"files": os.path.join(self.where, "events", "*", "*.parquet"), "roles": roles, "integer_ids": False, "variant": "full",
               "out": os.path.join(self.work, "expert-out"), "slices": self.a.slices, "threads": self.a.threads, "date": DATE,
               "train": sorted(audit[audit.split == "train"].snapshot.unique().tolist()), "test": audit[audit.split == "test"].snapshot.max(),
               "holdout": metrics[(metrics.target == "value") & (metrics.split == "test")].snapshot.max(),
               "sample_rows": m["config"]["limits"]["sample_rows"], "segment_features": names,
               "targets": [{"name": t["name"], "kind": t["kind"], "horizon": t["horizon_days"], "gap": t["gap_days"], "active_within": t["active_within_days"]} for t in m["summary"]["targets"]]}
        path = os.path.join(self.work, "job.json")
        with open(path, "w") as f:
            json.dump(job, f)
        return path

    def contest(self):
        order = ["shoal", "expert"]
        self.warm(self.where)
        for repeat in range(self.a.repeats):
            for c in order if repeat % 2 == 0 else order[::-1]:
                if repeat == 0 and c == "expert":
                    self.expert_job()
                key = {"contestant": c, "repeat": repeat, "events": self.a.events, "threads": self.a.threads, "memory": self.a.memory}
                if any(all(r.get(k) == v for k, v in key.items()) for r in self.recorded()):
                    continue
                out = os.path.join(self.work, f"{c}-out")
                if c == "expert" or repeat > 0:
                    shutil.rmtree(out, ignore_errors=True)
                m = self.measure(self.shoal_run() if c == "shoal" else [sys.executable, os.path.join(HERE, "expert_night.py"), os.path.join(self.work, "job.json")],
                                 os.path.join(self.work, f"{c}.log"))
                self.say(f"{c}: {m['state']} {m['wall']:.1f} s wall, {m['cpu']:.1f} s processor, {m['rss'] / 2**20:,.0f} MiB")
                if m["state"] != "ok":
                    with open(os.path.join(self.work, f"{c}.log"), errors="replace") as f:
                        sys.exit(f"{c} {m['state']}:\n{f.read()[-3000:]}")
                m["steps"] = self.steps(c)
                m["output"] = sum(os.path.getsize(os.path.join(d, n)) for d, _, names in os.walk(out) for n in names)
                self.record({**key, **m, **self.about()})

    def steps(self, contestant):
        if contestant == "expert":
            with open(os.path.join(self.work, "expert-out", "steps.json")) as f:
                return {k: v for k, v in json.load(f).items() if k != "all"}
        return {g["name"]: g["seconds"] for g in self.manifest()[0]["summary"]["stages"]}

    # Quality: what was planted, and what customers did afterwards.

    def quality(self):
        m, _ = self.manifest()
        con = duckdb.connect()
        con.execute(f"SET threads = {self.a.threads}; SET TimeZone = 'UTC'")
        kinds = {role: [t.strip() for t in types.split(",")] for role, types in re.findall(r"^      (\w+): \[(.*)\]$", self.text, re.M)}
        con.execute(f"""CREATE TABLE after AS SELECT customer_id, date_diff('day', DATE '{DATE}', CAST(event_time AS DATE)) AS days, event_type IN {tuple(kinds['purchase']) + ('',)} AS bought,
            CASE WHEN event_type IN {tuple(kinds['purchase']) + ('',)} THEN amount ELSE -abs(amount) END AS amount
            FROM read_parquet('{self.where}/events/*/*.parquet', hive_partitioning = false)
            WHERE customer_id IS NOT NULL AND event_time >= DATE '{DATE}' + INTERVAL 1 DAY AND event_type IN {tuple(kinds['purchase'] + kinds['return'])}""")
        actual = con.execute("""SELECT customer_id, count(DISTINCT days) FILTER (bought AND days <= 90) AS n, coalesce(sum(amount) FILTER (days <= 90), 0) AS spend,
            min(days) FILTER (bought) AS first FROM after GROUP BY 1""").df()
        truth = con.execute(f"SELECT customer_id, segment FROM read_parquet('{self.where}/truth/truth.parquet')").df()
        rows = []
        tables = {"shoal": self.table("customer_scores"), "expert": pd.read_parquet(os.path.join(self.work, "expert-out", "customer_scores.parquet"))}
        joint = {c: t.merge(truth, on="customer_id").merge(actual, on="customer_id", how="left").fillna({"n": 0, "spend": 0, "first": 1e9}).set_index("customer_id").sort_index() for c, t in tables.items()}
        if not joint["shoal"].index.equals(joint["expert"].index):
            sys.exit(f"Shoal scored {len(joint['shoal']):,} customers, the expert {len(joint['expert']):,}: not the same ones")
        for t in m["summary"]["targets"]:
            column = f"{t['name']}_probability"
            both = joint["shoal"][column].notna() & joint["expert"][column].notna()
            only = int((joint["shoal"][column].notna() ^ joint["expert"][column].notna()).sum())
            for c, s in joint.items():
                s = s[both]
                bought = (s["first"] > t["gap_days"]) & (s["first"] <= t["gap_days"] + t["horizon_days"])
                y = (~bought if t["kind"] == "churn" else bought).to_numpy()
                p = s[column].to_numpy(float)
                cuts = pd.qcut(pd.Series(p).rank(method="first"), 10, labels=False)
                ece = sum(abs(p[cuts == k].mean() - y[cuts == k].mean()) * (cuts == k).mean() for k in range(10))
                for metric, better, value in (("AUC", "more", roc_auc_score(y, p)), ("average precision", "more", average_precision_score(y, p)),
                                              ("log-loss", "less", log_loss(y, np.clip(p, 1e-9, 1 - 1e-9))), ("Brier score", "less", brier_score_loss(y, p)), ("calibration error, tenths", "less", ece)):
                    rows.append({"of": f"{t['name']}, {t['horizon_days']} days after, {int(both.sum()):,} customers" + (f" ({only} scored by one only)" if only else ""), "metric": metric, "better": better, "who": c, "value": value})
        for c, s in joint.items():
            label = s["segment_id"].fillna(-1)
            rows.append({"of": "segments against the planted kinds", "metric": "adjusted Rand index", "better": "more", "who": c, "value": adjusted_rand_score(s["segment"], label)})
            rows.append({"of": "segments against the planted kinds", "metric": "segments (7 planted)", "better": "", "who": c, "value": float(label.nunique())})
        both = joint["shoal"]["expected_purchases_90d"].notna() & joint["expert"]["expected_purchases_90d"].notna()
        for c, s in joint.items():
            s = s[both]
            for what, expected, came in (("purchase days", s["expected_purchases_90d"], s["n"]), ("spend", s["expected_value_90d"].astype(float), s["spend"].astype(float))):
                of = f"{what} in the 90 days after, {int(both.sum()):,} buyers"
                error = expected - came
                rows += [{"of": of, "metric": "mean absolute error", "better": "less", "who": c, "value": error.abs().mean()},
                         {"of": of, "metric": "root mean square error", "better": "less", "who": c, "value": float(np.sqrt((error**2).mean()))},
                         {"of": of, "metric": "rank correlation", "better": "more", "who": c, "value": expected.corr(came, method="spearman")},
                         {"of": of, "metric": "total expected / actual", "better": "", "who": c, "value": expected.sum() / came.sum()}]
        return pd.DataFrame(rows)

    def markdown(self):
        mine = {"events": self.a.events, "threads": self.a.threads, "memory": self.a.memory, "state": "ok"}
        rows = [r for r in self.recorded() if "mode" not in r and all(r.get(k) == v for k, v in mine.items())]  # features.py may have worked here, too
        of = {c: [r for r in rows if r["contestant"] == c] for c in ("shoal", "expert")}
        about, v = rows[-1], rows[-1]["versions"]
        import lifetimes
        import lightgbm
        import sklearn
        print(f"# A whole night beside an expert's script, {self.a.events:,} rows asked for\n")
        print(f"{about['day']} · shoal {v['shoal']}, Polars {v['polars']}, scikit-learn {sklearn.__version__}, LightGBM {lightgbm.__version__}, lifetimes {lifetimes.__version__} · {about['machine']} · "
              f"load {os.getloadavg()[0]:.1f} at the end\n")
        print(f"`{self.a.command}`; medians of {len(of['shoal'])} and {len(of['expert'])} interleaved runs (least–greatest).\n")
        print("| | Shoal | expert's script | Shoal is |\n|---|---|---|---|")
        for name, key, scale, unit in (("wall", "wall", 1, "s"), ("processor", "cpu", 1, "s"), ("peak memory", "rss", 2**20, "MiB"), ("written", "output", 1e6, "MB")):
            values = {c: [r[key] / scale for r in of[c]] for c in of}
            show = lambda x: f"{statistics.median(x):,.1f} {unit}" + (f" ({min(x):,.1f}–{max(x):,.1f})" if len(x) > 1 else "")
            print(f"| {name} | {show(values['shoal'])} | {show(values['expert'])} | {statistics.median(values['shoal']) / statistics.median(values['expert']):.3f} × |")
        print("\nSteps, wall seconds of the last run: " + "; ".join(f"{c}: " + ", ".join(f"{k} {s:.1f}" for k, s in of[c][-1]["steps"].items()) for c in of) + ".\n")
        print("| | | Shoal | expert's script | better |\n|---|---|---|---|---|")
        q = self.quality()
        for (where, metric), g in q.groupby(["of", "metric"], sort=False):
            a, b = g[g.who == "shoal"].value.iloc[0], g[g.who == "expert"].value.iloc[0]
            sign = {"more": 1, "less": -1}.get(g.better.iloc[0], 0)
            best = "" if sign == 0 else "equal" if abs(a - b) <= 5e-4 * max(abs(a), abs(b)) else "Shoal" if sign * (a - b) > 0 else "expert"
            print(f"| {where} | {metric} | {a:,.4f} | {b:,.4f} | {best} |")
        print("\nWhat the script leaves out, though Shoal does it in this time, is in the doc comment of `expert_night.py`.")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--size", choices=SIZES, default="small")
    p.add_argument("--work", required=True, help="a directory on a disk with room; a history of it is kept for the next time")
    p.add_argument("--shoal", default="bin/shoal")
    p.add_argument("--events", type=int)
    p.add_argument("--repeats", type=int)
    p.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    p.add_argument("--slices", type=int, help="of customers, which the script's features are worked off in")
    p.add_argument("--memory", default="", help="limits.memory of Shoal, such as 4GiB; its own default otherwise")
    p.add_argument("--limit-minutes", type=float, default=600)
    a = p.parse_args()
    a.command = f"make bench-peers SIZE={a.size}" if a.events is None and a.repeats is None else " ".join(["peers.py", *sys.argv[1:]])
    a.events, a.repeats = a.events or SIZES[a.size]["events"], a.repeats or SIZES[a.size]["repeats"]
    a.slices = a.slices or max(1, a.events // 12_500_000)
    night = Night(a)
    night.contest()
    night.markdown()


if __name__ == "__main__":
    main()
