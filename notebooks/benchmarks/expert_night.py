#!/usr/bin/env python3
"""A whole night as an expert would script it today, as a child process of peers.py that is timed.

Polars computes the catalogue's columns (feature_polars.Full) at the dates that
Shoal used; scikit-learn makes the segments, LightGBM and its rivals the
predictions, lifetimes the customer value; Parquet goes in and Parquet comes out.

Left out, though Shoal does it: bootstrap intervals, shuffled labels, resampled
divisions, descriptions in words, profiles, migrations, a report, checksums,
rejected rows, identical bytes for any number of threads. Where a method is slow
on everybody, a sample learns and all are scored.
"""

import argparse
import datetime
import glob
import json
import os
import time
import warnings

import lightgbm
import numpy as np
import polars as pl
from lifetimes import BetaGeoFitter, GammaGammaFitter, ModifiedBetaGeoFitter, ParetoNBDFitter
from polars import col
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, silhouette_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

import feature_polars

warnings.filterwarnings("ignore")

TREES = {"num_leaves": 8, "learning_rate": 0.1, "feature_fraction": 0.5, "lambda_l2": 10, "min_data_in_leaf": 40, "verbosity": -1}
ROUNDS, PATIENCE = 400, 20
LOGISTIC_ROWS, BASELINE_ROWS, VALUE_ROWS, SEGMENT_ROWS, SILHOUETTE_ROWS = 20_000, 8_000, 50_000, 10_000, 2_000
HORIZONS = (30, 90, 365)


def day(date):
    return (datetime.date.fromisoformat(date) - datetime.date(1970, 1, 1)).days


class Night:
    def __init__(self, job):
        self.job, self.out = job, job["out"]
        self.began, self.steps, self.metrics = time.monotonic(), {}, []

    def step(self, name, work):
        began = time.monotonic()
        work()
        self.steps[name] = time.monotonic() - began
        print(f"{name}: {self.steps[name]:.1f} s", flush=True)

    def run(self):
        os.makedirs(self.out, exist_ok=True)
        self.step("features", self.features)
        self.step("purchases", self.purchases)
        self.scores = {"customer_id": pl.concat([pl.read_parquet(f, columns=["customer_id"]) for f in self.parts(self.job["date"])])["customer_id"]}
        self.step("segments", self.segments)
        self.step("predictions", lambda: [self.predict(t) for t in self.job["targets"]])
        self.step("value", self.value)
        self.step("publish", self.publish)

    # Features.

    def features(self):
        job = {**self.job, "dates": sorted({self.job["date"], self.job["test"], self.job["holdout"], *self.job["train"]}), "out": os.path.join(self.out, "features")}
        feature_polars.Full(job).run()

    def parts(self, date):
        return sorted(glob.glob(os.path.join(self.out, "features", f"ds={date}", "*.parquet")))

    def names(self):
        return [n for n in pl.read_parquet_schema(self.parts(self.job["date"])[0]) if n != "customer_id"]

    def matrix(self, frame, names=None):
        return frame.select(col(n).cast(pl.Float32) for n in names or self.names()).to_numpy()

    def sample(self, date, rows):
        """The features of so many customers at a date, the same customers at every date."""
        parts = []
        share = rows / max(rows, len(self.scores["customer_id"]))
        for f in self.parts(date):
            part = pl.scan_parquet(f).filter(col("customer_id").hash(1) < int(share * (2**64 - 1)))
            parts.append(part.collect())
        return pl.concat(parts)

    def purchases(self):
        """A row a customer and day with a purchase or a return."""
        roles = self.job["roles"]
        kind = lambda role: col("event_type").is_in([e for e, r in roles.items() if r == role])
        raw = pl.scan_parquet(self.job["files"], hive_partitioning=False).filter(
            col("customer_id").is_not_null() & (kind("purchase") | kind("return")) & (col("event_time").dt.epoch("us") < (day(self.job["date"]) + 1) * 86_400_000_000))
        amount = pl.when(kind("purchase")).then(col("amount")).otherwise(-col("amount").abs())
        self.days = (raw.select("customer_id", (col("event_time").dt.epoch("us") // 86_400_000_000).cast(pl.Int32).alias("day"), kind("purchase").alias("bought"), amount.alias("amount"))
                     .group_by("customer_id", "day").agg(col("bought").any(), col("amount").sum()).collect(engine="streaming"))

    # Segments.

    def prepare(self, x, fitted=None):
        """Impute, clip, tame the tail, standardise."""
        if fitted is None:
            low, fill, high = np.nanquantile(x, [0.005, 0.5, 0.995], axis=0)
            clipped = np.clip(np.where(np.isnan(x), fill, x), low, high)
            mean, sd = clipped.mean(0), clipped.std(0)
            skew = ((clipped - mean) ** 3).mean(0) / np.where(sd > 0, sd, 1) ** 3
            fitted = {"low": low, "fill": fill, "high": high, "tame": np.abs(skew) > 1}
        x = np.clip(np.where(np.isnan(x), fitted["fill"], x), fitted["low"], fitted["high"])
        x = np.where(fitted["tame"], np.arcsinh(x), x)
        if "mean" not in fitted:
            fitted["mean"], fitted["sd"] = x.mean(0), x.std(0)
        return (x - fitted["mean"]) / np.where(fitted["sd"] > 0, fitted["sd"], 1), fitted

    def segments(self):
        names = self.job["segment_features"]
        x = np.concatenate([pl.read_parquet(f, columns=names).select(col(n).cast(pl.Float64) for n in names).to_numpy() for f in self.parts(self.job["date"])])
        x, _ = self.prepare(x)
        active = np.flatnonzero(pl.concat([pl.read_parquet(f, columns=["days_since_last_event"]) for f in self.parts(self.job["date"])])["days_since_last_event"].fill_null(1e9).to_numpy() < 365)
        random = np.random.default_rng(1)
        some = random.choice(active, min(SEGMENT_ROWS, len(active)), replace=False)
        quality = {}
        for k in range(2, 11):
            labels = KMeans(k, n_init=10, random_state=1).fit_predict(x[some])
            quality[k] = silhouette_score(x[some], labels, sample_size=min(SILHOUETTE_ROWS, len(some)), random_state=1)
        k = max(quality, key=quality.get)
        labels = np.full(len(x), -1)
        labels[active] = KMeans(k, n_init=10, random_state=1).fit_predict(x[active])
        self.scores["segment_id"] = labels
        self.metrics += [{"target": "segments", "model": "kmeans", "metric": f"silhouette_k{k}", "value": float(v)} for k, v in quality.items()]

    # Predictions.

    def label(self, t, date, frame):
        """Who is eligible at the date, and the outcome after it."""
        d = day(date)
        after = self.days.filter(col("bought") & (col("day") > d + t["gap"]) & (col("day") <= d + t["gap"] + t["horizon"])).select("customer_id").unique().with_columns(pl.lit(True).alias("bought"))
        bought = frame.select("customer_id").join(after, on="customer_id", how="left", maintain_order="left")["bought"].fill_null(False).to_numpy()
        return self.eligible(t, frame), ~bought if t["kind"] == "churn" else bought

    def eligible(self, t, frame):
        if not t["active_within"]:
            return np.ones(frame.height, bool)
        return (frame["days_since_last_purchase"].cast(pl.Float64).fill_null(1e9) < t["active_within"]).to_numpy()

    def predict(self, t):
        snapshots = []
        for date in self.job["train"]:
            frame = self.sample(date, self.job["sample_rows"])
            eligible, y = self.label(t, date, frame)
            snapshots.append((self.matrix(frame)[eligible], y[eligible]))
        x, y = np.concatenate([s[0] for s in snapshots]), np.concatenate([s[1] for s in snapshots])
        random = np.random.default_rng(1)
        hold = random.random(len(y)) < 0.2  # the windows of the snapshots may overlap: hold out rows
        frame = self.sample(self.job["test"], self.job["sample_rows"])
        eligible, y_test = self.label(t, self.job["test"], frame)
        x_test, y_test = self.matrix(frame)[eligible], y_test[eligible]
        recency = self.names().index("days_since_last_purchase")
        seen = lambda m: np.nan_to_num(m[:, recency], nan=1e9)[:, None]
        fill = np.nanmedian(x, axis=0)
        tamed = lambda m: np.arcsinh(np.where(np.isnan(m), np.nan_to_num(fill), m))
        z = tamed(x)
        mean, sd = z.mean(0), z.std(0)
        standard = lambda m: (tamed(m) - mean) / np.where(sd > 0, sd, 1)
        thin = lambda rows, n: rows if len(rows) <= n else random.choice(rows, n, replace=False)
        learn = np.flatnonzero(~hold)

        models = {}
        rule = IsotonicRegression(increasing=t["kind"] == "churn", out_of_bounds="clip").fit(seen(x)[:, 0], y)
        models["recency"] = lambda m: rule.predict(seen(m)[:, 0])
        for name, model, prepared, rows in (
                ("logistic", LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=100), standard, thin(learn, LOGISTIC_ROWS)),
                ("naive_bayes", GaussianNB(), standard, thin(learn, BASELINE_ROWS)),
                ("nearest_neighbours", KNeighborsClassifier(50), standard, thin(learn, BASELINE_ROWS)),
                ("random_forest", RandomForestClassifier(100, min_samples_leaf=10, n_jobs=-1, random_state=1), tamed, thin(learn, BASELINE_ROWS))):
            model.fit(prepared(x[rows]), y[rows])
            models[name] = lambda m, model=model, prepared=prepared: model.predict_proba(prepared(m))[:, 1]
        params = {"objective": "binary", "num_threads": self.job["threads"], "seed": 1, **TREES}
        data = lightgbm.Dataset(x[learn], y[learn], free_raw_data=False)
        pilot = lightgbm.train(params, data, ROUNDS, valid_sets=[lightgbm.Dataset(x[hold], y[hold], reference=data)],
                               callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)])
        final = lightgbm.train(params, lightgbm.Dataset(x, y), max(1, pilot.best_iteration))
        models["trees"] = final.predict
        calibrators = {}
        for name in models:
            rows = np.flatnonzero(hold) if name != "nearest_neighbours" else thin(np.flatnonzero(hold), 2_000)
            raw = (pilot.predict if name == "trees" else models[name])(x[rows])
            calibrators[name] = IsotonicRegression(y_min=1e-4, y_max=1 - 1e-4, out_of_bounds="clip").fit(raw, y[rows])
        losses = {}
        for name in models:
            rows = np.arange(len(y_test)) if name != "nearest_neighbours" else thin(np.arange(len(y_test)), 2_000)
            p, truth = calibrators[name].predict(models[name](x_test[rows])), y_test[rows]
            losses[name] = log_loss(truth, p)
            for metric, value in (("auc", roc_auc_score(truth, p)), ("average_precision", average_precision_score(truth, p)), ("brier", brier_score_loss(truth, p)), ("log_loss", losses[name])):
                self.metrics.append({"target": t["name"], "model": name, "metric": metric, "value": float(value)})
        champion = min(("recency", "logistic", "trees"), key=losses.get)

        probability, reasons, effects = [], [], []
        names = np.array(self.names())
        for f in self.parts(self.job["date"]):
            frame = pl.read_parquet(f)
            eligible, m = self.eligible(t, frame), self.matrix(frame)
            p = np.full(len(m), np.nan)
            p[eligible] = calibrators[champion].predict(models[champion](m[eligible]))
            shares = final.predict(m[eligible], pred_contrib=True)[:, :-1]
            best = np.argsort(-np.abs(shares), axis=1)[:, :3]
            why, how = np.full((len(m), 3), None, object), np.full((len(m), 3), np.nan)
            why[eligible] = names[best]
            how[eligible] = np.take_along_axis(shares, best, 1)
            probability.append(p)
            reasons.append(why)
            effects.append(how)
        p = np.concatenate(probability)
        self.scores[f"{t['name']}_probability"] = p
        ranks = pl.Series(p).fill_nan(None).rank("average")
        self.scores[f"{t['name']}_percentile"] = (ranks - 0.5) / max(1, np.sum(~np.isnan(p))) * 100
        for i in range(3):
            self.scores[f"{t['name']}_reason_{i + 1}"] = np.concatenate(reasons)[:, i].tolist()
            self.scores[f"{t['name']}_reason_{i + 1}_effect"] = np.concatenate(effects)[:, i]

    # Value.

    def history(self, until):
        """Repeat purchase days, the last of them and the age, in weeks; the mean spend of a day."""
        d = self.days.filter(col("bought") & (col("day") <= until)).sort("customer_id", "day").group_by("customer_id", maintain_order=True).agg(
            (pl.len() - 1).alias("x"), ((col("day").max() - col("day").min()) / 7).alias("t"), ((until + 1 - col("day").min()) / 7).alias("T"), pl.len().alias("days"))
        spend = self.days.filter(col("day") <= until).group_by("customer_id").agg(col("amount").sum().alias("spend"))
        return d.join(spend, on="customer_id", how="left").with_columns((col("spend") / col("days")).alias("mean"))

    def value(self):
        until, horizon = day(self.job["holdout"]), day(self.job["date"]) - day(self.job["holdout"])
        past, now = self.history(until), self.history(day(self.job["date"]))
        came = past.select("customer_id").join(
            self.days.filter(col("bought") & (col("day") > until)).group_by("customer_id").agg(pl.len().alias("n")), on="customer_id", how="left", maintain_order="left")["n"].fill_null(0).to_numpy()
        random = np.random.default_rng(1)

        def fit(make, h):
            rows = random.choice(h.height, min(VALUE_ROWS, h.height), replace=False)
            s = h[rows]
            return make(penalizer_coef=0.0).fit(s["x"].to_numpy(), s["t"].to_numpy(), s["T"].to_numpy())

        def expected(model, weeks, h):
            return model.conditional_expected_number_of_purchases_up_to_time(weeks, h["x"].to_numpy(), h["t"].to_numpy(), h["T"].to_numpy())

        errors, makers = {}, {"bgnbd": BetaGeoFitter, "mbgnbd": ModifiedBetaGeoFitter, "paretonbd": ParetoNBDFitter}
        for name, make in makers.items():
            try:
                errors[name] = float(np.sqrt(np.nanmean((expected(fit(make, past), horizon / 7, past) - came) ** 2)))
            except Exception as e:  # a fit that does not converge leaves the others
                print(f"{name}: {e}")
                continue
            self.metrics.append({"target": "value", "model": name, "metric": "rmse_purchases", "value": errors[name]})
        best = min(errors, key=errors.get)
        # Trees correct the forecast where they are better on the half they have not seen.
        frame = pl.concat([pl.read_parquet(f) for f in self.parts(self.job["holdout"])]) if len(past) <= VALUE_ROWS else self.sample(self.job["holdout"], VALUE_ROWS)
        known = past.with_columns(pl.Series("came", came)).join(frame, on="customer_id", how="inner", maintain_order="left")
        base = np.maximum(expected(fit(makers[best], past), horizon / 7, known), 1e-6)
        x = np.column_stack([self.matrix(known), base])
        half = random.random(len(x)) < 0.5
        params = {"objective": "poisson", "num_threads": self.job["threads"], "seed": 1, **TREES}
        target = known["came"].to_numpy()
        trees = lightgbm.train(params, lightgbm.Dataset(x[half], target[half], init_score=np.log(base[half])), 100)
        corrected = base * np.exp(trees.predict(x, raw_score=True))
        use = np.mean((corrected[~half] - target[~half]) ** 2) < np.mean((base[~half] - target[~half]) ** 2)
        model = fit(makers[best], now)
        paying = now.filter((col("x") > 0) & (col("mean") > 0))
        some = paying[random.choice(paying.height, min(VALUE_ROWS, paying.height), replace=False)]
        spends = GammaGammaFitter(penalizer_coef=0.0).fit(some["x"].to_numpy(), some["mean"].to_numpy())
        each = spends.conditional_expected_average_profit(now["x"].to_numpy(), np.maximum(now["mean"].to_numpy(), 0))
        each = np.asarray(each, float)
        factor = np.ones(now.height)
        if use:
            at = {c: i for i, c in enumerate(now["customer_id"].to_list())}
            base_now = np.maximum(expected(model, horizon / 7, now), 1e-6)
            for f in self.parts(self.job["date"]):
                part = pl.read_parquet(f)
                rows = np.array([at.get(c, -1) for c in part["customer_id"].to_list()])
                here = rows >= 0
                m = np.column_stack([self.matrix(part)[here], base_now[rows[here]]])
                factor[rows[here]] = np.exp(trees.predict(m, raw_score=True))
        columns = {"customer_id": now["customer_id"], "p_alive": np.asarray(model.conditional_probability_alive(now["x"].to_numpy(), now["t"].to_numpy(), now["T"].to_numpy()), float)}
        for h in HORIZONS:
            n = np.asarray(expected(model, h / 7, now), float) * factor
            columns[f"expected_purchases_{h}d"], columns[f"expected_value_{h}d"] = n, n * each
        everybody = pl.DataFrame({"customer_id": self.scores["customer_id"]}).join(pl.DataFrame(columns), on="customer_id", how="left", maintain_order="left")
        for c in everybody.columns[1:]:
            self.scores[c] = everybody[c]

    def publish(self):
        pl.DataFrame(self.scores).write_parquet(os.path.join(self.out, "customer_scores.parquet"), compression="zstd")
        pl.DataFrame(self.metrics).write_parquet(os.path.join(self.out, "model_metrics.parquet"), compression="zstd")
        for date in [self.job["test"], self.job["holdout"], *self.job["train"]]:  # the night's own features stay
            if date != self.job["date"]:
                for f in self.parts(date):
                    os.remove(f)
        with open(os.path.join(self.out, "steps.json"), "w") as f:
            json.dump({**self.steps, "all": time.monotonic() - self.began}, f)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("job", help="JSON file that peers.py wrote")
    with open(p.parse_args().job) as f:
        Night(json.load(f)).run()
