"""Recompute what a run published from its Parquet files and the events.

stdin: JSON {"out", "events", "date", "targets", "value_horizon", "trees", "value_trees"}, the last two whether trees
correct purchases and spend; stdout: JSON list of faults.
"""

import json
import sys

import duckdb
import numpy as np
import pandas as pd
from scipy.special import hyp2f1

job = json.load(sys.stdin)
con = duckdb.connect()
con.execute("SET enable_progress_bar = false")
con.execute("SET TimeZone = 'UTC'")
faults = []


def check(ok, what):
    if not ok:
        faults.append(what)


def near(a, b, tolerance=1e-6):
    return np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=tolerance, atol=tolerance, equal_nan=True)


for table in ["customer_scores", "features", "segments", "model_metrics", "calibration", "model_curves", "feature_effects", "label_audit"]:
    con.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{job['out']}/{table}/*/*/*.parquet', hive_partitioning = false)")
con.execute(f"""CREATE TABLE purchases AS
    SELECT DISTINCT customer_id, CAST(event_time AS DATE) AS day FROM read_parquet('{job['events']}', hive_partitioning = false)
    WHERE event_type = 'order_completed' AND customer_id IS NOT NULL""")
con.execute(f"""CREATE TABLE fashion AS
    SELECT DISTINCT customer_id, CAST(event_time AS DATE) AS day FROM read_parquet('{job['events']}', hive_partitioning = false)
    WHERE event_type = 'order_completed' AND category = 'fashion' AND customer_id IS NOT NULL""")
con.execute(f"""CREATE TABLE words AS
    SELECT customer_id, event_time, event_type <> 'subscription_cancelled' AS begins FROM read_parquet('{job['events']}', hive_partitioning = false)
    WHERE event_type IN ('subscription_started', 'subscription_renewed', 'subscription_cancelled') AND customer_id IS NOT NULL""")
con.execute(f"""CREATE TABLE seen AS
    SELECT customer_id, min(CAST(event_time AS DATE)) AS day FROM read_parquet('{job['events']}', hive_partitioning = false)
    WHERE customer_id IS NOT NULL GROUP BY 1""")
kept = con.execute(f"""SELECT cohort, month, months_since, cohort_customers, customers, complete
    FROM read_parquet('{job['out']}/cohorts/*/*/*.parquet', hive_partitioning = false) ORDER BY cohort, month""").fetchall()
bought = con.execute(f"""WITH known AS (SELECT customer_id, date_trunc('month', day)::DATE AS month FROM purchases WHERE day <= DATE '{job['date']}'),
    cohorts AS (SELECT customer_id, min(month) AS cohort FROM known GROUP BY 1),
    months AS (SELECT unnest(generate_series((SELECT min(month) FROM known)::TIMESTAMP, TIMESTAMP '{job['date']}', INTERVAL 1 MONTH))::DATE AS month)
    SELECT s.cohort, m.month, date_diff('month', s.cohort, m.month), any_value(s.n), count(DISTINCT k.customer_id), last_day(m.month) <= DATE '{job['date']}'
    FROM (SELECT cohort, count(*) AS n FROM cohorts GROUP BY 1) s JOIN months m ON m.month >= s.cohort
    LEFT JOIN (known JOIN cohorts USING (customer_id)) k ON k.cohort = s.cohort AND k.month = m.month GROUP BY 1, 2 ORDER BY 1, 2""").fetchall()
check(len(kept) > 50 and kept == bought, f"cohorts: {len(kept)} rows are not the {len(bought)} of the events")
df = con.execute("SELECT s.*, f.* EXCLUDE (customer_id, as_of, run_id) FROM customer_scores s JOIN features f USING (customer_id) ORDER BY customer_id").df()
check(len(df) == con.execute("SELECT count(*) FROM customer_scores").fetchone()[0], "customer_scores and features hold different customers")
metrics = {(t, m, sp, n): (v, rows, pos, snap) for t, m, sp, n, v, rows, pos, snap in con.execute(
    "SELECT target, model, split, metric, value, rows, positives, snapshot FROM model_metrics").fetchall()}

# Targets: who is scored, percentiles, and the labels of the test snapshot.
for target in job["targets"]:
    name, horizon, within = target["name"], target["horizon_days"], target["active_within_days"]
    p = df[f"{name}_probability"].to_numpy(float)
    scored = ~np.isnan(p)
    recency = df["days_since_last_purchase"].to_numpy(float)
    eligible = recency < within if target["kind"] == "churn" else np.ones(len(df), bool)
    if target.get("ends") == "cancel":
        eligible = df["subscribed"].to_numpy(float) == 1
    if target.get("skipped"):
        check(np.isnan(p).all(), f"{name}: scored without a model")
        continue
    check((scored == eligible).all(), f"{name}: {(scored != eligible).sum()} customers are scored against eligibility")
    q = p[scored]
    # The percentile is of the score, which rises with the probability and may tell equal ones apart.
    percentile = df[f"{name}_percentile"].to_numpy(float)[scored]
    below, ties = np.array([(q < v).sum() for v in q]), np.array([(q == v).sum() for v in q])
    check(((percentile * len(q) / 100 >= below - 1e-6) & (percentile * len(q) / 100 <= below + ties + 1e-6)).all(), f"{name}: percentiles contradict the probabilities")
    check(near(percentile.sum() / 100, len(q) / 2), f"{name}: percentiles are not ranks")
    band = np.select([percentile >= 90, percentile >= 75, percentile >= 25], ["very high", "high", "medium"], "low")
    check((df[f"{name}_band"].to_numpy()[scored] == band).all() and df[f"{name}_band"][~scored].isna().all(), f"{name}: bands differ")
    # Reasons: none for who is not scored, one at least for most, the strongest first.
    effects = df[[f"{name}_reason_{k}_effect" for k in (1, 2, 3)]].to_numpy(float)
    check(np.isnan(effects[~scored]).all() and (~np.isnan(effects[scored][:, 0])).mean() > 0.99, f"{name}: reasons are missing")
    filled = np.nan_to_num(np.abs(effects[scored]))
    check((np.diff(filled, axis=1) <= 1e-6).all(), f"{name}: reasons are not in order")
    check((df[f"{name}_reason_1"].isna().to_numpy() == np.isnan(effects[:, 0])).all(), f"{name}: reasons lack words or effects")
    # The label audit adds up, and agrees with the metrics.
    for split, customers, able, pos, neg, censored, lapsed, never in con.execute(
            f"SELECT split, customers, eligible, positives, negatives, censored, already_lapsed, no_activity FROM label_audit WHERE target = '{name}'").fetchall():
        check(customers == able + lapsed + never and able == pos + neg + censored, f"{name}: the label audit of {split} does not add up")
        check((censored == able) == (split == "score"), f"{name}: {censored} of {able} customers are censored in {split}")
        if split == "score":
            check((customers, able) == (len(df), scored.sum()), f"{name}: the label audit counts {able} of {customers} to score")
        if split == "test":
            check((able, pos) == metrics[(name, "logistic", "test", "auc")][1:3], f"{name}: the label audit counts {able} with {pos} to test")
    # Reliability tables hold every tested customer once, and their gaps are the ECE.
    for model in ["recency", "logistic", "trees"]:
        bins = con.execute(f"SELECT customers, positives, probability_mean, rate FROM calibration WHERE target = '{name}' AND model = '{model}'").df()
        ece, rows, pos, _ = metrics[(name, model, "test", "ece")]
        check((bins["customers"].sum(), bins["positives"].sum()) == (rows, pos), f"{name}: the reliability table of {model} holds other customers")
        check(near((bins["customers"] * (bins["probability_mean"] - bins["rate"]).abs()).sum() / rows, ece), f"{name}: the ECE of {model} is not its table's")
        # Curves of the same customers: where they end, and the lift of the first tenth.
        curves = con.execute(f"SELECT curve, point, x, y, customers, positives, expected_positives FROM model_curves WHERE target = '{name}' AND model = '{model}' AND split = 'test'").df()
        end = curves[(curves["curve"] == "budget") & (curves["point"] == 100)].iloc[0]
        check((end["customers"], end["positives"]) == (rows, pos), f"{name}: the budget of {model} ends elsewhere")
        check(near((end["expected_positives"] - pos) / rows, metrics[(name, model, "test", "calibration_in_the_large")][0]), f"{name}: the budget of {model} expects something else")
        tenth = curves[(curves["curve"] == "gains") & (curves["point"] == 10)].iloc[0]
        check(near(tenth["y"] / tenth["x"], metrics[(name, model, "test", "top_decile_lift")][0]), f"{name}: the gains of {model} are not its lift")
        spread = curves[curves["curve"] == "scores"]
        check((spread["customers"].sum(), spread["positives"].sum()) == (rows, pos), f"{name}: the scores of {model} are spread over other customers")
    ahead = con.execute(f"SELECT x, y FROM model_curves WHERE target = '{name}' AND split = 'score' AND curve = 'budget' ORDER BY point").df()
    best = np.concatenate([[0], np.cumsum(np.sort(q)[::-1])])
    check(near(ahead["y"], np.interp(ahead["x"], np.arange(len(best)), best)), f"{name}: the budget is not the sum of the best probabilities")
    # Effects of features, on all scored customers: their counts and the range of their values.
    for feature, missing, n, low, high in con.execute(
            f"""SELECT feature, coalesce(sum(customers) FILTER (WHERE tenth = 0), 0), sum(customers) FILTER (WHERE tenth IS NOT NULL), any_value(value_low) FILTER (WHERE tenth IS NULL),
            max(value_high) FROM feature_effects WHERE target = '{name}' GROUP BY 1""").fetchall():
        v = df[feature].to_numpy(float)[scored]
        check((missing, n) == (np.isnan(v).sum(), len(v)), f"{name}: the effects of {feature} are of {n} customers, {missing} without a value")
        check(np.isnan(v).all() or (low, high) == (np.nanmin(v), np.nanmax(v)), f"{name}: {feature} ranges from {low} to {high}")
    _, rows, positives, snapshot = metrics[(name, "logistic", "test", "auc")]
    bought = f"SELECT DISTINCT customer_id FROM purchases WHERE day > DATE '{snapshot}' AND day <= DATE '{snapshot}' + {horizon}"
    if target["kind"] == "churn":
        base = f"SELECT customer_id FROM purchases WHERE day <= DATE '{snapshot}' GROUP BY 1 HAVING max(day) > DATE '{snapshot}' - {within}"
        outcome = "b.customer_id IS NULL"
    else:
        base = f"SELECT customer_id FROM seen WHERE day <= DATE '{snapshot}'"
        outcome = "b.customer_id IS NOT NULL"
    if "where" in target:
        check(target["where"] == "purchase event with category fashion", f"{name}: where {target['where']}")
        bought = f"SELECT DISTINCT customer_id FROM fashion WHERE day > DATE '{snapshot}' AND day <= DATE '{snapshot}' + {horizon}"
    if target.get("ends") == "cancel":
        base = f"""SELECT customer_id FROM words WHERE CAST(event_time AS DATE) <= DATE '{snapshot}' GROUP BY 1
            HAVING max(event_time) FILTER (WHERE begins) > coalesce(max(event_time) FILTER (WHERE NOT begins), TIMESTAMP '1900-01-01')"""
        bought = f"SELECT DISTINCT customer_id FROM words WHERE NOT begins AND CAST(event_time AS DATE) > DATE '{snapshot}' AND CAST(event_time AS DATE) <= DATE '{snapshot}' + {horizon}"
        outcome = "b.customer_id IS NOT NULL"
    n, pos = con.execute(f"SELECT count(*), count(*) FILTER (WHERE {outcome}) FROM ({base}) a LEFT JOIN ({bought}) b USING (customer_id)").fetchone()
    check((rows, positives) == (n, pos), f"{name}: {rows} tested with {positives} positives, the events say {n} with {pos}")
    check(str(con.execute(f"SELECT DATE '{snapshot}' + {horizon}").fetchone()[0])[:10] == job["date"], f"{name}: the test window does not end with the run's date")

# RFM: score s when at least (s - 1) / 5 of the buyers are strictly worse.
buyers = df[df["purchase_days_lifetime"] > 0]
for column, feature, sign in [("rfm_recency", "days_since_last_purchase", -1), ("rfm_frequency", "purchase_days_lifetime", 1), ("rfm_monetary", "net_spend_lifetime", 1)]:
    v = sign * buyers[feature].to_numpy(float)
    worse = np.searchsorted(np.sort(v), v, side="left") / len(v)
    want = 1 + np.floor(worse * 5 + 1e-9).astype(int)
    check((buyers[column].to_numpy(int) == want).all(), f"{column}: {(buyers[column].to_numpy(int) != want).sum()} scores differ")
check((df[df["purchase_days_lifetime"] == 0]["rfm_segment"] == "no_purchase").all(), "a customer without purchase has an RFM segment")

# Segments: sizes, shares, revenue.
own = con.execute("SELECT segment_id, customers, customer_share, revenue, revenue_share, mean_distance FROM segments ORDER BY 1").df()
for row in own.itertuples():
    g = df[df["segment_id"] == row.segment_id]
    check(len(g) == row.customers, f"segment {row.segment_id}: size {row.customers}, {len(g)} customers")
    check(near(row.customer_share, len(g) / len(df)), f"segment {row.segment_id}: share {row.customer_share}")
    check(near(row.revenue, g["net_spend_lifetime"].sum(), 1e-4), f"segment {row.segment_id}: revenue {row.revenue}, {g['net_spend_lifetime'].sum()}")
    check(near(row.revenue_share, g["net_spend_lifetime"].sum() / df["net_spend_lifetime"].sum()), f"segment {row.segment_id}: revenue share {row.revenue_share}")
    check(near(row.mean_distance, g["segment_distance"].mean()), f"segment {row.segment_id}: mean distance {row.mean_distance}")
check(len(own) >= 4 and own["customers"].sum() == len(df), "segments do not hold all customers")
rules = con.execute("SELECT segment_id, rule_sql, rule_precision, rule_recall, rule_fidelity FROM segments WHERE rule_sql IS NOT NULL").df()
check(len(rules) >= 3, f"{len(rules)} segments have a rule")
holds = pd.DataFrame({"segment_id": df["segment_id"].values}, index=df["customer_id"])
for row in rules.itertuples():
    held = set(con.execute(f"SELECT customer_id FROM features WHERE {row.rule_sql}").df()["customer_id"])
    mine = set(df[df["segment_id"] == row.segment_id]["customer_id"])
    holds[row.segment_id] = [c in held for c in holds.index]
    check(near(row.rule_precision, len(held & mine) / len(held)) and near(row.rule_recall, len(held & mine) / len(mine)),
          f"rule of segment {row.segment_id}: precision {row.rule_precision}, recall {row.rule_recall}; DuckDB {len(held)} customers, {len(held & mine)} of {len(mine)}")
agree = [sum(r[rules["segment_id"]]) == 1 and r[r["segment_id"]] for _, r in holds.iterrows() if r["segment_id"] in holds.columns]
check(near(rules["rule_fidelity"].iloc[0], sum(agree) / len(df)), f"fidelity {rules['rule_fidelity'].iloc[0]}, DuckDB {sum(agree) / len(df)}")
check((df["segment_distance"].isna() == df["segment_name"].str.startswith("inactive for")).all(), "the inactive have a centre, or others have none")

# Value: Fader, Hardie & Lee (2005), equations 10 and the probability of being alive, or the Pareto/NBD as Fader & Hardie (2005)
# have it, its integral by quadrature; Fader & Hardie (2013), equation 5.
kind = next(m for (t, m, s, n) in metrics if t == "value" and s == "fit" and n == "r")
x = buyers["purchase_days_lifetime"].to_numpy(float) - 1
T = buyers["days_since_first_purchase"].to_numpy(float) / 7
tx = T - buyers["days_since_last_purchase"].to_numpy(float) / 7
t = job["value_horizon"] / 7
if kind == "paretonbd":
    r, alpha, s, beta = (metrics[("value", kind, "fit", n)][0] for n in ["r", "alpha_weeks", "s", "beta_weeks"])
    nodes, weights = np.polynomial.legendre.leggauss(200)
    tau = tx[:, None] + (T - tx)[:, None] * (nodes + 1) / 2
    n = r + x
    inner = -n[:, None] * np.log((alpha + tau) / (alpha + T)[:, None]) - (s + 1) * np.log(beta + tau) + s * np.log(beta + T)[:, None]
    alive = 1 / (1 + s * (np.exp(inner) @ weights) * (T - tx) / 2)
    expected = alive * n * (beta + T) / (alpha + T) * -np.expm1(-(s - 1) * np.log1p(t / (beta + T))) / (s - 1)
else:
    check(kind in ("bgnbd", "mbgnbd"), f"this script knows no formula of {kind}")
    r, alpha, a, b = (metrics[("value", kind, "fit", n)][0] for n in ["r", "alpha_weeks", "a", "b"])
    c = x + 1 if kind == "mbgnbd" else x
    alive = 1 / (1 + np.where(c > 0, a / np.maximum(b + c - 1, 1e-300) * ((alpha + T) / (alpha + tx)) ** (r + x), 0))
    expected = (a + b + c - 1) / (a - 1) * (1 - ((alpha + T) / (alpha + T + t)) ** (r + x) * hyp2f1(r + x, b + c, a + b + c - 1, t / (alpha + T + t))) * alive
fine = np.isfinite(expected)
check(fine.mean() > 0.99, "the formula is not finite for many customers")
check(near(buyers["p_alive"][fine], alive[fine]), "p_alive differs from the formula")
if not job["trees"]:
    check(near(buyers["expected_purchases"][fine], expected[fine], 1e-5), f"expected_purchases differ from the formula by up to {np.abs(buyers['expected_purchases'][fine] - expected[fine]).max()}")
p, q, v = (metrics[("value", "gammagamma", "fit", n)][0] for n in ["p", "q", "v"])
kept = 1 - np.minimum(buyers["refund_lifetime"] / buyers["spend_lifetime"], 1)
m = np.nan_to_num((buyers["repeat_day_spend_mean"] * kept).to_numpy(float))
k = np.where(m > 0, x, 0)
mean = p * (v + k * m) / (p * k + q - 1)
check(job["value_trees"] or near(buyers["expected_value"].to_numpy(float), buyers["expected_purchases"] * mean, 2e-4), "expected_value differs from the formula")
check(df[df["purchase_days_lifetime"] == 0]["expected_value"].isna().all(), "a customer without purchase has a value")

# The holdout: purchase days after its date of customers who had bought by then.
total, rows, _, snapshot = metrics[("value", "actual", "test", "total_purchases")]
n, days = con.execute(f"""SELECT (SELECT count(DISTINCT customer_id) FROM purchases WHERE day <= DATE '{snapshot}'),
    (SELECT count(*) FROM purchases WHERE day > DATE '{snapshot}' AND day <= DATE '{job['date']}'
     AND customer_id IN (SELECT customer_id FROM purchases WHERE day <= DATE '{snapshot}'))""").fetchone()
check((total, rows) == (days, n), f"holdout: {total} purchase days of {rows} customers, the events say {days} of {n}")
check(days > 100, "the holdout is empty")

json.dump(faults, sys.stdout)
