"""Five public tables, and what LightGBM, XGBoost and scikit-learn make of them."""
import json
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import duckdb
import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier

data = json.load(sys.stdin)["data"]
con = duckdb.connect()
con.execute("SET threads = 1; SET enable_progress_bar = false")


def query(sql):
    """A table of the query, without its key; its last column is what is predicted."""
    df = con.execute(sql).df()
    return list(df.columns[:-1]), df.iloc[:, :-1].to_numpy(float), df.iloc[:, -1].to_numpy(float)


def sessions():
    """YOOCHOOSE: whether anything is bought in a session, by its clicks."""
    return query(f"""
        SELECT least(count(*), 200) AS clicks, least(count(DISTINCT product_id), 100) AS products, least(count(DISTINCT category), 50) AS categories,
            least(date_diff('minute', min(event_time), max(event_time)), 200) AS minutes, hour(min(event_time)) AS hour,
            dayofweek(min(event_time)) AS weekday, month(min(event_time)) AS month, least(max(repeats), 20) AS repeats, bool_or(b)::INT AS y
        FROM (SELECT *, count(*) OVER (PARTITION BY customer_id, product_id) AS repeats,
            customer_id IN (SELECT customer_id FROM read_parquet('{data}/yoochoose_sample.parquet') WHERE event_type = 'purchase') AS b
            FROM read_parquet('{data}/yoochoose_sample.parquet') WHERE event_type = 'page_view')
        GROUP BY customer_id ORDER BY customer_id""")


def periods(file, days, first, last, role="purchase", some="TRUE"):
    """Whether a customer does something again in a period, by the periods before."""
    return query(f"""
        WITH e AS (SELECT customer_id AS c, date_diff('day', DATE '{first}', event_time::DATE) // {days} AS p, count(*) AS n, sum(amount) AS spend
                FROM read_parquet('{data}/{file}') WHERE event_type = '{role}' AND customer_id IS NOT NULL AND {some} AND event_time::DATE >= DATE '{first}' GROUP BY ALL),
            g AS (SELECT c, t FROM (SELECT c, min(p) AS began FROM e GROUP BY c), range(1, date_diff('day', DATE '{first}', DATE '{last}') // {days}) AS r(t) WHERE t > began)
        SELECT least(coalesce(sum(n) FILTER (p = t - 1), 0), 60) AS last_1, least(coalesce(sum(n) FILTER (p >= t - 3), 0), 120) AS last_3,
            least(sum(n), 200) AS ever, t - max(p) AS since_last, t - min(p) AS since_first, count(*) AS active,
            least(coalesce(sum(spend) FILTER (p >= t - 3), 0)::INT // 10, 200) AS spend_3, CASE WHEN count(*) > 1 THEN least(round(4 * (max(p) - min(p)) / (count(*) - 1)), 220) END AS gap,
            t % 13 AS season, (bool_or((c, t) IN (SELECT (c, p) FROM e)))::INT AS y
        FROM g JOIN e USING (c) WHERE p < t GROUP BY c, t ORDER BY c, t""")


def nullable(x):
    return [[None if v != v else v for v in row] for row in x.tolist()]


TREES, LEAVES, RATE, L2, HESSIAN = 100, 15, 0.1, 10, 1e-3

out = []
for name, (columns, x, y) in {
    "YOOCHOOSE sessions": sessions(),
    "Complete Journey weeks": periods("complete_journey_events.parquet", 7, "2017-01-01", "2018-01-01"),
    "Online Retail fortnights": periods("online_retail.parquet", 14, "2010-12-01", "2011-12-09"),
    "CDNOW months": periods("cdnow_master.parquet", 30, "1997-01-01", "1998-07-01", some="hash(customer_id) % 4 = 0"),
    "Megaline days": periods("megaline_events.parquet", 1, "2018-04-01", "2018-12-01", role="message"),
}.items():
    held = np.arange(len(y)) % 2 == 1
    keep = np.nanmax(x[~held], axis=0) > np.nanmin(x[~held], axis=0)
    columns, x = [c for c, k in zip(columns, keep) if k], x[:, keep]
    a, b, v = x[~held], y[~held], x[held]
    assert all(len(np.unique(c[c == c])) < 255 for c in a.T), name
    # Where several thresholds divide the rows of a leaf alike, LightGBM takes the highest and
    # the others take the lowest, so it sees the columns upside down.
    lgb = lightgbm.train({
        "objective": "binary", "num_leaves": LEAVES, "learning_rate": RATE, "lambda_l2": L2, "min_sum_hessian_in_leaf": HESSIAN, "min_data_in_leaf": 1,
        "max_bin": 255, "min_data_in_bin": 1, "bin_construct_sample_cnt": 10**9, "enable_bundle": False, "feature_pre_filter": False, "num_threads": 1, "verbose": -1,
    }, lightgbm.Dataset(-a, b), TREES)
    xgb = xgboost.train({
        "objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide", "max_leaves": LEAVES, "max_depth": 0, "eta": RATE, "lambda": L2,
        "min_child_weight": HESSIAN, "max_bin": 256, "nthread": 1, "base_score": float(b.mean()),
    }, xgboost.DMatrix(a, b), TREES)
    # Its least Hessian of a leaf is the constant 1e-3.
    skl = HistGradientBoostingClassifier(max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, l2_regularization=L2, min_samples_leaf=1, max_bins=255, early_stopping=False).fit(a, b)
    out.append({
        "Name": name, "Columns": columns, "X": nullable(a), "Y": b.tolist(), "V": nullable(v), "W": y[held].tolist(),
        "Peers": {"LightGBM": lgb.predict(-v).tolist(), "XGBoost": xgb.predict(xgboost.DMatrix(v)).astype(float).tolist(), "scikit-learn": skl.predict_proba(v)[:, 1].tolist()},
    })
json.dump({"Tables": out, "Trees": TREES, "Leaves": LEAVES, "LearningRate": RATE, "L2": L2, "MinLeafHessian": HESSIAN}, sys.stdout)
