#!/usr/bin/env python3
"""How well churn of a generated history can be told at all.

    shoal generate --out g --customers 100000
    shoal run --config g/shoal.yaml --date 2025-03-31     # optional
    python3 notebooks/benchmarks/knowable.py g 2025-03-31 > record.md

Three observers say who, of those who bought within the last 60 days, will not buy in
the 60 days after: one who knows each customer's planted rates; one who knows the
customer's planted segment, the seasons and how rates are distributed in it, and infers
the customer's own from the counts of orders, visits and opened messages; and the
published run, where there is one. Nobody who sees events alone can do better than the
second: what the first has on it is what no event has shown.

The inference is importance sampling from 600 customers of the segment. What it has
seen of a customer: o orders, v visits and m opened messages at rates λ, β and ω times
the seasons since the first day, the last of them on day x, and then nothing.
"""

import argparse
import datetime
import glob
import json
import os
import subprocess
import tempfile

import duckdb
import numpy as np
from sklearn.metrics import roc_auc_score

HORIZON = ACTIVE = 60
DRAWS = 600
FIRST = datetime.date(2024, 1, 1)
# Events that do not tell that a customer is alive: they follow an order, or churn itself.
SILENT = ("message_sent", "order_returned", "review_posted", "ticket_opened", "subscription_cancelled")


def seasons():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        subprocess.run(["go", "test", "./datasets/synth", "-run", "^TestSeasons$", "-count", "1"], cwd=root, check=True, capture_output=True, env=os.environ | {"SHOAL_SEASONS": f.name, "CGO_ENABLED": "0"})
        s = json.load(f)
    until = lambda v: np.concatenate([np.zeros((len(v), 1)), np.cumsum(v, axis=1)], axis=1)  # of the days before each
    return until(np.array(s["Orders"])), until(np.array(s["Visits"])), until(np.array([s["Messages"]]))[0]


def customers(con, where, day):
    """What was seen of each eligible customer before the day, what was planted, and whether an order came."""
    return con.execute(f"""
        WITH e AS (SELECT customer_id, date_diff('day', DATE '{FIRST}', event_time::DATE) AS d, event_type AS t, session_id, event_id
                FROM read_parquet('{where}/events/*/*.parquet', hive_partitioning = false) WHERE customer_id IS NOT NULL),
            h AS (SELECT * FROM e WHERE d < {day}),
            s AS (SELECT customer_id, session_id, bool_or(t = 'order_completed') AS ordered, bool_or(t = 'session_start') AS began
                FROM h WHERE session_id IS NOT NULL AND t NOT IN {SILENT} GROUP BY ALL),
            v AS (SELECT customer_id, count(*) FILTER (ordered) AS orders, count(*) FILTER (NOT ordered AND began) AS visits FROM s GROUP BY ALL),
            c AS (SELECT customer_id, max(d) FILTER (t NOT IN {SILENT}) AS x, max(d) FILTER (t = 'order_completed') AS bought, bool_or(t = 'subscription_cancelled') AS cancelled,
                count(DISTINCT event_id) FILTER (t = 'message_opened') AS opened FROM h GROUP BY ALL),
            y AS (SELECT DISTINCT customer_id FROM e WHERE t = 'order_completed' AND d >= {day} AND d < {day + HORIZON})
        SELECT customer_id, orders, visits, opened, x, cancelled, customer_id NOT IN (FROM y) AS churned, segment_index AS g,
            date_diff('day', DATE '{FIRST}', acquired) AS born, purchase_rate, visit_rate, open_rate, churn_hazard
        FROM c JOIN v USING (customer_id) JOIN read_parquet('{where}/truth/truth.parquet') USING (customer_id)
        WHERE bought >= {day - ACTIVE} ORDER BY customer_id""").df()


def answers(q, planted, day):
    orders, visits, messages = seasons()
    true, inferred = np.zeros(len(q)), np.zeros(len(q))

    def chances(seen, rates, g):
        """Log-likelihood, up to what all draws share, of what was seen till the last event; of silence since, alive
        or dead by now; and of no order to come when alive."""
        lam, beta, omega, mu = rates
        x, born = seen["x"].to_numpy(int)[:, None], seen["born"].to_numpy(int)[:, None]
        n = lambda name: seen[name].to_numpy()[:, None]
        shown = lam * (orders[g][x + 1] - orders[g][born]) + beta * (visits[g][x + 1] - visits[g][born]) + omega * (messages[x + 1] - messages[born])
        silent = lam * (orders[g][day] - orders[g][x + 1]) + beta * (visits[g][day] - visits[g][x + 1]) + omega * (messages[day] - messages[x + 1])
        log = n("orders") * np.log(lam) + n("visits") * np.log(np.maximum(beta, 1e-12)) * (beta > 0) + n("opened") * np.log(np.maximum(omega, 1e-12)) * (omega > 0) - shown - mu * (x - born)
        gap = np.maximum(day - 1 - x, 0)
        rate = silent / np.maximum(gap, 1)
        dead = np.where(gap > 0, mu / (mu + rate) * -np.expm1(-(mu + rate) * gap), 0)
        alive = np.exp(-mu * gap - silent)
        ahead = lam * (orders[g][day + HORIZON] - orders[g][day])
        rate = ahead / HORIZON
        none = np.exp(-mu * HORIZON - ahead) + mu / (mu + rate) * -np.expm1(-(mu + rate) * HORIZON)
        return log, alive, dead, none

    columns = ["purchase_rate", "visit_rate", "open_rate", "churn_hazard"]
    for g in sorted(q.g.unique()):
        rows = np.flatnonzero(q.g == g)
        drawn = planted[planted.g == g].sample(DRAWS, random_state=1, replace=len(planted[planted.g == g]) < DRAWS)
        for part in np.array_split(rows, max(1, len(rows) // 2000)):
            seen = q.iloc[part]
            _, alive, dead, none = chances(seen, [seen[c].to_numpy()[:, None] for c in columns], g)
            true[part] = ((alive * none + dead) / (alive + dead))[:, 0]
            log, alive, dead, none = chances(seen, [drawn[c].to_numpy()[None, :] for c in columns], g)
            weight = np.exp(log - log.max(axis=1, keepdims=True))
            inferred[part] = (weight * (alive * none + dead)).sum(axis=1) / (weight * (alive + dead)).sum(axis=1)
    cancelled = q.cancelled.to_numpy(bool)
    return np.where(cancelled, 1, true), np.where(cancelled, 1, inferred)


def error(y, p):
    """Calibration error over tenths of the customers."""
    return sum(len(k) / len(p) * abs(p[k].mean() - y[k].mean()) for k in np.array_split(np.argsort(p, kind="stable"), 10))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("history", help="directory that shoal generate wrote")
    args.add_argument("date", help="as-of date of the run, YYYY-MM-DD")
    a = args.parse_args()
    con = duckdb.connect()
    con.execute("SET threads = 2; SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    day = (datetime.date.fromisoformat(a.date) - FIRST).days + 1
    q = customers(con, a.history, day)
    planted = con.execute(f"SELECT segment_index AS g, purchase_rate, visit_rate, open_rate, churn_hazard FROM read_parquet('{a.history}/truth/truth.parquet') ORDER BY customer_id").df()
    y = q.churned.to_numpy(bool)
    true, inferred = answers(q, planted, day)
    said = {"who knows the customer's rates": true, "who knows the segment and infers the rates": inferred}
    files = sorted(glob.glob(os.path.join(a.history, f"out/customer_scores/ds={a.date}/run=*/*.parquet")))
    if files:
        p = con.execute("SELECT customer_id, churn_probability FROM read_parquet(?)", [files]).df()
        said["the published run"] = q[["customer_id"]].merge(p, on="customer_id", how="left").churn_probability.to_numpy(float)
    print(f"Churn in the {HORIZON} days after {a.date}, {len(q):,} customers who bought in the {ACTIVE} days before, {y.mean():.1%} churned\n")
    print("| | AUC | calibration error | customers |\n|---|---|---|---|")
    for who, p in said.items():
        k = np.isfinite(p)
        print(f"| {who} | {roc_auc_score(y[k], p[k]):.4f} | {error(y[k], p[k]):.4f} | {k.sum():,} |")


if __name__ == "__main__":
    main()
