"""The catalogue in Polars, as a child process of features.py that is timed.

Lazy queries on the streaming engine, by the same plan as feature_duckdb's tuned
variant: Parquet is read once into integers, customers are worked off in slices,
what looks back only is computed once for all dates. A slice is sorted once, by
customer and time, and each "event before" is then a shift: cheaper in Polars
than a window. `counts` and `plain` go straight from the files to the answer.
"""

import argparse
import datetime
import functools
import json
import os
import sys

import polars as pl
from polars import col

from feature_duckdb import CHANNELS, CODE, FUNNEL, NO_STEP, OCCASIONS, PATIENCE, ROLES, SESSION_GAP, VISITING, WINDOWS, day_number, mask, seasons, target

DAY = 86_400_000_000
HOUR = 3_600_000_000


def collect(frame):
    return frame.collect(engine="streaming")


def within(t, days, cond=None):
    parts = [p for p in (cond, col("day") > t - days if days else None) if p is not None]
    return functools.reduce(lambda a, b: a & b, parts) if parts else pl.lit(True)


def total(value, cond):
    return pl.when(cond).then(value).sum()


def count(cond):
    return cond.cast(pl.UInt32).sum()


def where(cond, value):
    return pl.when(cond).then(value)


def ratio(a, b):
    """a/b, null where b is not positive."""
    return pl.when(b > 0).then(a / b)


def before(value, *keys):
    """The value of the row before, where that has the same keys (rows sorted by them)."""
    same = functools.reduce(lambda a, b: a & b, [col(k).eq_missing(col(k).shift(1)) for k in keys])
    return pl.when(same).then(col(value).shift(1))


def earlier(value, cond):
    """The value of the last row before that meets cond, within the customer (rows sorted by it)."""
    latest = lambda x: where(cond, x).forward_fill().shift(1)
    return where(latest(col("c")) == col("c"), latest(value))


def has(*roles):
    return (col("roles") & mask(*roles)) != 0


def month_of(day):
    d = day.cast(pl.Date)
    return d.dt.year() * 12 + d.dt.month().cast(pl.Int32)


def source(job):
    last = max(day_number(d) for d in job["dates"])
    raw = pl.scan_parquet(job["files"], hive_partitioning=False).filter(
        col("customer_id").is_not_null() & (col("event_time").dt.epoch("us") < (last + 1) * DAY))
    return raw if job["integer_ids"] else raw.filter(col("customer_id") != "")


class Full:
    def __init__(self, job):
        self.job = job
        self.days = [day_number(d) for d in job["dates"]]

    def run(self):
        self.load()
        n = self.customers.height
        slices = max(1, self.job["slices"])
        for k in range(slices):
            lo, hi = n * k // slices, n * (k + 1) // slices
            if lo == hi:
                continue
            self.prepare(lo, hi)
            for date, t in zip(self.job["dates"], self.days):
                self.publish(date, t, k)

    def load(self):
        """Parquet into integers."""
        raw = source(self.job)
        self.customers = collect(raw.select("customer_id").unique()).with_row_index("c").with_columns(col("c").cast(pl.Int32))
        words = {}
        for name in ("product_id", "category", "channel", "campaign_id", "event_type"):
            words[name] = collect(raw.select(name).unique())[name].drop_nulls().sort().to_list()
        code = lambda name: col(name).cast(pl.Enum(words[name])).to_physical()
        channels = words["channel"]
        if len(channels) > 60:
            sys.exit("more than 60 channels do not fit into a bit set")
        # The place in CHANNELS, or that after them for any other.
        self.kinds = {i: CHANNELS.index(w.lower()) if w.lower() in CHANNELS else len(CHANNELS) for i, w in enumerate(channels)}
        roles = {w: CODE[self.job["roles"].get(w, "other")] for w in words["event_type"]}
        us = col("event_time").dt.epoch("us")
        self.events = collect(raw.join(self.customers.lazy(), on="customer_id").select(
            "c", us.alias("us"), (us // DAY).cast(pl.Int32).alias("day"),
            col("event_type").replace_strict(roles, default=0, return_dtype=pl.Int32).fill_null(0).cast(pl.UInt8).alias("role"), code("event_type").cast(pl.UInt16).alias("type"),
            (col("amount") * 10000).round().cast(pl.Int64).alias("amount"), col("quantity").cast(pl.Int32), col("rating").cast(pl.Float32),
            code("product_id").cast(pl.Int32).alias("product"), code("category").cast(pl.UInt16).alias("category"),
            code("channel").cast(pl.UInt8).alias("channel"), code("campaign_id").cast(pl.Int32).alias("campaign"),
            where(col("session_id").is_not_null(), col("session_id").hash()).alias("session")))

    def kind(self, channel):
        return channel.replace_strict(self.kinds, default=None, return_dtype=pl.Int32)

    def prepare(self, lo, hi):
        """What all dates share, of the customers lo to hi."""
        days = self.days
        e = collect(self.events.lazy().filter((col("c") >= lo) & (col("c") < hi)).sort("c", "us", "role"))
        lazy = e.lazy()
        of = lambda r: lazy.filter(col("role") == CODE[r])
        self.customers_here = self.customers.filter((col("c") >= lo) & (col("c") < hi)).lazy()

        bit = lambda r=None: (where(col("channel").is_not_null() & (col("role") == CODE[r] if r else True), 2 ** col("channel").cast(pl.Int64))
                              .otherwise(0).cast(pl.Int64).bitwise_or())
        ch, us = col("channel").cast(pl.Int64), col("us")
        role, stage = col("role").cast(pl.Int64), col("stage")
        back = lambda n: where(col("c") == col("c").shift(n), role.shift(n)).otherwise(NO_STEP)
        stage_of = col("role").replace_strict({CODE[r]: i for i, r in enumerate(FUNNEL, 1)}, default=None, return_dtype=pl.Int8)
        d = collect(lazy.with_columns((2 ** role).cast(pl.Int32).alias("bit"), before("role", "c").alias("role_before"), stage_of.alias("stage"),
                                      (pl.int_range(pl.len()) * 32768 + back(2) * 1024 + back(1) * 32 + role).alias("steps"))
                    .with_columns(earlier(stage, stage.is_not_null()).alias("stage_before"))
                    .group_by("c", "day").agg(
            pl.len().alias("n"), count(col("role") != CODE["message_sent"]).alias("engaged"), col("bit").bitwise_or().alias("roles"),
            bit().alias("touched"), bit("view").alias("viewed"), bit("purchase").alias("paid"), bit("message_open").alias("opened"),
            (us * 64 + ch).min().alias("first_touch"), (us * 64 + 63 - ch).max().alias("last_touch"),
            count(col("role") != col("role_before")).alias("changes"), col("steps").max(), count(stage > col("stage_before")).alias("advances"),
            count(stage < col("stage_before")).alias("retreats")).sort("c", "day")
            .with_columns((col("day") - before("day", "c")).alias("gap"), where(has(*VISITING), col("day") - earlier(col("day"), has(*VISITING))).alias("visit_gap"), col("day").min().over("c").alias("first_day"), month_of(col("day")).alias("month"), (col("day") + 3).mod(7).alias("weekday")))
        self.d = d.lazy()
        new_run = (col("day") - col("previous") != 1).fill_null(True)
        self.engaged = (collect(self.d.filter(col("engaged") > 0).with_columns(before("day", "c").alias("previous"), before("month", "c").alias("previous_month"))
                                .with_columns((col("day") - where(new_run, col("day")).forward_fill() + 1).alias("streak")))).lazy()
        self.bought_days = collect(self.d.filter(has("purchase")).with_columns(before("day", "c").alias("previous"))).lazy()

        counts = [count(within(t, w, col("day") <= t)).alias(f"n{j}_{s}") for j, t in enumerate(days) for w, s in WINDOWS]
        counts += [where(col("day") <= t, col("day")).max().alias(f"last{j}") for j, t in enumerate(days)]
        by_role = collect(lazy.group_by("c", "role").agg(counts))
        log = lambda x: x * where(x > 0, x.cast(pl.Float64).log(2)).otherwise(0)
        wide = by_role.lazy().group_by("c").agg(log(col(f"n{j}_lifetime")).sum().alias(f"log_sum{j}") for j in range(len(days)))
        for r, code in CODE.items():
            wide = wide.join(by_role.lazy().filter(col("role") == code).drop("role").rename(lambda f, r=r: f if f == "c" else f"{r}_{f}"), on="c", how="left")
        self.roles = collect(wide).lazy()

        hour = (us // HOUR % 24).cast(pl.Int32).alias("place")
        per = [count(col("day") <= t).alias(f"n{j}") for j, t in enumerate(days)]
        clock = lambda f, place: collect(f.group_by("c", place).agg(per)).lazy()
        self.hours = clock(lazy.filter(col("role") != CODE["message_sent"]), hour)
        self.weekdays = collect(self.engaged.group_by("c", (col("weekday") + 1).cast(pl.Int32).alias("place"))
                                .agg(total(col("engaged"), col("day") <= t).alias(f"n{j}") for j, t in enumerate(days))).lazy()
        self.bought_hours = clock(of("purchase"), hour)
        self.bought_weekdays = clock(of("purchase"), ((col("day") + 3).mod(7) + 1).cast(pl.Int32).alias("place"))
        self.bought_months = clock(of("purchase"), col("day").cast(pl.Date).dt.month().cast(pl.Int32).alias("place"))

        # Purchase lines with what looks back.
        by_value = lambda f, name: (f.sort("c", name, "us").with_columns(before("day", "c", name).alias(f"{name}_day"), pl.int_range(pl.len()).alias("row"))
                                    .with_columns(where((col("c") == col("c").shift(1)) & col(name).eq_missing(col(name).shift(1)), None).otherwise(col("row")).forward_fill().alias("start"))
                                    .with_columns((col("row") - col("start") + 1).alias(f"{name}_nth"), col("us").gather(col("start")).alias(f"{name}_first")).drop("row", "start"))
        nth = col("category_nth").cast(pl.Float64)
        lines = by_value(collect(of("purchase").with_columns(before("us", "c").alias("previous_us"), before("day", "c").alias("previous_day"),
                                                             col("day").min().over("c").alias("first_day"))), "product")
        lines = lines.with_columns(where(col("quantity") > 0, col("amount") / 1e4 / col("quantity")).alias("unit_price"))
        # The highest price paid for the product at an earlier instant.
        prices = lines.filter(col("product").is_not_null() & col("unit_price").is_not_null()).group_by("c", "product", "us").agg(col("unit_price").max()).sort("c", "product", "us")
        prices = prices.with_columns(col("unit_price").cum_max().over("c", "product").alias("highest")).select("c", "product", "us", before("highest", "c", "product").alias("paid_before"))
        lines = lines.join(prices, on=["c", "product", "us"], how="left").with_columns(where(col("unit_price").is_not_null(), col("paid_before")).alias("paid_before"))
        lines = by_value(lines, "category")
        amount = col("amount").fill_null(0).cast(pl.Float64)
        lines = lines.with_columns(amount.cum_sum().over("c", "category").alias("category_sum")).with_columns(
            (amount * (2 * col("category_sum") - amount)).alias("concentration_term"),
            where(col("day") > col("previous_day"), col("day") - col("previous_day")).alias("gap"), col("us").ne_missing(col("previous_us")).alias("new_order"),
            (nth * nth.log(2) - where(nth > 1, (nth - 1) * (nth - 1).log(2)).otherwise(0)).alias("entropy_term"),
            month_of(col("day")).alias("month"), (us // HOUR % 24).alias("hour"), (col("day") + 3).mod(7).alias("weekday"))
        spans = [(day, name, begin) for name, begin, end in seasons(int(e["day"].min()), max(days)) for day in range(begin, end + 1)]
        calendar = pl.DataFrame(spans, schema=["day", "occasion", "begin"], orient="row").with_columns(col("day").cast(pl.Int32)).pivot(on="occasion", on_columns=OCCASIONS, index="day", values="begin")
        coupons = d.select("c", "day", has("coupon").alias("with_coupon"))
        self.lines = lines.join(calendar, on="day", how="left").join(coupons, on=["c", "day"], how="left").lazy()
        orders = collect(self.lines.group_by("c", "us").agg(col("day").first(), where(col("amount").count() > 0, col("amount").sum()).alias("amount")).sort("c", "us"))
        views = collect(of("view").select("c", "us", col("us").alias("view_us"))).sort("us")
        self.orders = orders.sort("us").join_asof(views, on="us", by="c", strategy="backward", check_sortedness=False).with_columns((us - col("view_us")).alias("since_view")).lazy()
        self.returns = of("return").select("c", "day", col("amount").abs()).collect().lazy()

        # Visits and carts, whole.
        def runs(f):
            named = f.filter(col("session").is_not_null()).select("c", "us", "day", "role", "amount", col("session").alias("run"), pl.lit(False).alias("by_gap"))
            opens = (col("us") - before("us", "c") > SESSION_GAP).fill_null(True)
            gaps = f.filter(col("session").is_null()).with_columns(opens.cum_sum().cast(pl.UInt64).alias("run")).select("c", "us", "day", "role", "amount", "run", pl.lit(True).alias("by_gap"))
            return collect(pl.concat([named, gaps])).lazy()
        self.keys = ["c", "run", "by_gap"]
        self.visit_events = runs(lazy.filter(col("role").is_in([CODE[r] for r in VISITING])))
        self.cart_events = runs(of("cart_add"))
        self.visits = collect(self.whole(self.visit_events)).lazy()
        self.carts = collect(self.whole(self.cart_events)).lazy()
        next_order = orders.select("c", "us", col("us").alias("next_purchase")).sort("us")
        self.cart_ends = (self.carts.select(*self.keys, col("begun").alias("us")).collect().sort("us")
                          .join_asof(next_order, on="us", by="c", strategy="forward", check_sortedness=False)
                          .join_asof(views, on="us", by="c", strategy="backward", check_sortedness=False)
                          .with_columns((us - col("view_us")).alias("since_view")).drop("us", "view_us").lazy())
        self.checkouts = of("checkout").select("c", "us", "day").collect().sort("us").join_asof(next_order, on="us", by="c", strategy="forward", check_sortedness=False).lazy()
        first = lambda r: where(col("role") == CODE[r], col("day")).min().alias(r)
        near = sum((col("day").is_between(t - 29, t).cast(pl.Int32) * 2 ** j for j, t in enumerate(days)), pl.lit(0, pl.Int32))
        viewed = col("role") == CODE["view"]
        self.products = collect(lazy.filter(col("product").is_not_null() & col("role").is_in([CODE[r] for r in ("view", "cart_add", "purchase")]))
                                .group_by("c", "product").agg(first("view"), first("cart_add"), first("purchase"), where(viewed, near).otherwise(0).cast(pl.Int32).bitwise_or().alias("near"))).lazy()
        self.categories = collect(lazy.filter(viewed & col("category").is_not_null()).group_by("c", "category").agg(col("day").min())
                                  .group_by("c").agg(count(col("day") <= t).alias(f"n{j}") for j, t in enumerate(days))).lazy()
        self.features = collect(of("feature_use").group_by("c", "type").agg(per + [where(col("day") <= t, col("day")).max().alias(f"last{j}") for j, t in enumerate(days)])).lazy()

        # Messages: the open that follows a sending is found from the end.
        m = collect(lazy.filter(col("role").is_between(CODE["message_sent"], CODE["message_click"])))
        opened = m.filter(col("role") == CODE["message_open"]).select("c", "campaign", "channel", "us", col("us").alias("next_open")).sort("us")
        sent = where(col("role") == CODE["message_sent"], 1).otherwise(0)
        m = m.with_columns(col("campaign").fill_null(-1), col("channel").cast(pl.Int32).fill_null(-1)).sort("us").join_asof(
            opened.with_columns(col("campaign").fill_null(-1), col("channel").cast(pl.Int32).fill_null(-1)), on="us", by=["c", "campaign", "channel"], strategy="forward", check_sortedness=False)
        m = m.sort("c", "us").with_columns(sent.cum_sum().over("c").alias("so_far")).with_columns(
            # Sendings at the instant of an opening are before it.
            col("so_far").max().over("c", "us"), (col("us") * 0 + 1).cum_sum().over("c", "role", "channel").alias("nth"),
            self.kind(col("channel")).alias("name"))
        self.messages = m.lazy()
        a = []
        for j, t in enumerate(days):
            for r in ("sent", "open", "click"):
                of_role = (col("role") == CODE["message_" + r]) & (col("day") <= t)
                a += [count(within(t, 90, of_role)).alias(f"{r}{j}_90d"), count(of_role).alias(f"{r}{j}")]
            a.append(where((col("role") != CODE["message_sent"]) & (col("day") <= t), col("day")).max().alias(f"responded{j}"))
            a.append(where((col("role") == CODE["message_sent"]) & (col("next_open") < (t + 1) * DAY), col("next_open") - col("us")).mean().alias(f"response{j}"))
        self.by_channel = collect(self.messages.filter(col("name").is_not_null()).group_by("c", "name").agg(a)).lazy()
        self.ratings = lazy.filter(col("rating").is_not_null()).select("c", "us", "day", "rating").collect().lazy()
        self.subscriptions = lazy.filter(col("role").is_in([CODE[r] for r in ("subscribe", "renew", "cancel")])).select("c", "us", "day", "role", self.kind(col("channel")).alias("name")).collect().lazy()

    def whole(self, f):
        return f.group_by(self.keys).agg(col("us").min().alias("begun"), col("us").max().alias("ended"), col("day").min().alias("first_day"), col("day").max().alias("day"),
                                         pl.len().alias("n"), (col("role") == CODE["purchase"]).any().alias("converted"), col("amount").sum())

    def seen(self, kind, t):
        """Visits or carts as they look at the end of day t: those under way are made again."""
        done, events = getattr(self, kind), getattr(self, kind[:-1] + "_events")
        under_way = done.filter((col("first_day") <= t) & (col("day") > t)).select(self.keys)
        return pl.concat([done.filter(col("day") <= t), self.whole(events.join(under_way, on=self.keys, how="semi").filter(col("day") <= t))])

    def publish(self, date, t, k):
        """The features of those customers at the end of day t."""
        j, instant = self.days.index(t), (t + 1) * DAY
        now = month_of(pl.lit(t, pl.Int32))
        upto = col("day") <= t
        frames, out = [], []

        def add(name, f, aggregates):
            frames.append(f.group_by("c").agg(x.alias(f"{name}_{a}") for a, x in aggregates.items()))
        p = lambda name: col(name)

        # days
        a = {"first": col("day").min(), "last": col("day").max(), "events": col("n").sum(), "changes": col("changes").sum(), "days": pl.len(), "roles": col("roles").bitwise_or(),
             "touched": col("touched").bitwise_or(), "viewed": col("viewed").bitwise_or(), "paid": col("paid").bitwise_or(), "opened": col("opened").bitwise_or(),
             "touched_7d": where(col("day") < col("first_day") + 7, col("touched")).otherwise(0).bitwise_or(), "first_touch": col("first_touch").min(), "last_touch": col("last_touch").max(),
             "first_month": col("month").min(), "coupon_days": count(has("purchase") & has("coupon")), "ticket_first": where(has("ticket"), col("day")).min(),
             "ticket_last": where(has("ticket"), col("day")).max(), "ticket_days": count(has("ticket")),
             "steps": col("steps").max(), "advances": col("advances").sum(), "retreats": col("retreats").sum(), "advances_90": total(col("advances"), within(t, 90)),
             "retreats_90": total(col("retreats"), within(t, 90)), "gap_mean": col("gap").mean(), "gap_sd": col("gap").std(), "gap_max": col("gap").max(),
             "visit_gap_mean": col("visit_gap").mean(), "visit_gap_sd": col("visit_gap").std(), "visit_gap_max": col("visit_gap").max(), "visit_days": count(has(*VISITING)),
             "visit_last": where(has(*VISITING), col("day")).max(), "cart_days": count(has("cart_add"))}
        for w, s in WINDOWS:
            a |= {f"events_{s}": total(col("n"), within(t, w)), f"days_{s}": count(within(t, w)) if w else pl.len(), f"bought_{s}": count(within(t, w, has("purchase")))}
        for w in (30, 90):
            a |= {f"engaged_{w}": count(within(t, w, col("engaged") > 0)), f"visit_{w}": count(within(t, w, has(*VISITING))), f"roles_{w}": where(within(t, w), col("roles")).otherwise(0).bitwise_or(),
                  f"feature_days_{w}": count(within(t, w, has("feature_use")))}
        for r in ("view", "cart_add", "checkout", "purchase"):
            a[f"first_{r}"] = where(within(t, 30, has(r)), col("day")).min()
        add("d", self.d.filter(upto), a)
        slope = (2.5 - (t - col("day")) // 30).cast(pl.Float64)
        week = (t - col("day")) // 7
        start = lambda stretch: where(((stretch.shift(1) - stretch > 1) | (col("c") != col("c").shift(1))).fill_null(True), stretch).forward_fill() - stretch + 1
        gap = col("day") - col("previous")
        new_week = week.ne_missing((t - col("previous")) // 7)
        add("g", self.engaged.filter(upto).with_columns(start(week).alias("week_streak")),
            {"slope": total(slope, col("day") > t - 180), "streak": where(col("day") == t, col("streak")).max(), "longest": col("streak").max(),
             "weeks": where(week == 0, col("week_streak")).max(), "weeks_longest": col("week_streak").max(), "gap_mean": gap.mean(), "gap_sd": gap.std(),
             "months": count(col("month").ne_missing(col("previous_month"))), "weeks_84": count((week < 12) & new_week)})
        month30 = (t - col("day")) // 30
        add("pm", self.bought_days.filter(upto).with_columns(start(month30).alias("run")), {"slope": total(slope, col("day") > t - 180), "streak": where(month30 == 0, col("run")).max()})
        role_frame = self.roles

        # purchases
        spend = lambda cond: total(col("amount"), cond)
        new_day = col("day").ne_missing(col("previous_day"))
        a = {"lines": pl.len(), "first": col("day").min(), "last": col("day").max(), "first_month": col("month").min(), "priced": col("amount").count(), "spend": col("amount").sum(),
             "first_day_spend": spend(col("day") == col("first_day")), "later_spend": spend(col("day") > col("first_day")), "gap_mean": col("gap").mean(), "gap_sd": col("gap").std(),
             "gap_min": col("gap").min(), "gap_max": col("gap").max(), "gap_last": (col("day").cast(pl.Int64) * 100_000 + col("gap")).max() % 100_000,
             "with_product": col("product").count(), "product_most": where(col("product").is_not_null(), col("product_nth")).max(), "with_category": col("category").count(),
             "category_most": where(col("category").is_not_null(), col("category_nth")).max(), "entropy": where(col("category").is_not_null(), col("entropy_term")).sum(),
             "unit_price_mean": col("unit_price").mean(), "unit_price_sd": col("unit_price").std(), "unit_price_max": col("unit_price").max(),
             "unit_price_mean_90d": where(col("day") > t - 90, col("unit_price")).mean(), "line_max": col("amount").max(),
             "novel": count(col("product").is_not_null() & (col("day") > t - 90) & (col("us") == col("product_first"))), "products_seen_90d": count(col("product").is_not_null() & (col("day") > t - 90)),
             "months": month_of(col("day")).n_unique(), "weekend": count(col("weekday") >= 5), "festive": spend((col("month") - 1) % 12 >= 10),
             "days_year_ago": count(new_day & (t - col("day")).is_between(365, 394)), "days_year_ago_next": count(new_day & (t - col("day")).is_between(335, 364)),
             "year_ago": spend((t - col("day")).is_between(365, 394)), "year_ago_next": spend((t - col("day")).is_between(335, 364)),
             "slope": total((5 - 2 * month30) * col("amount"), col("day") > t - 180)}
        for lo, part in ((0, "night"), (6, "morning"), (12, "afternoon"), (18, "evening")):
            a[part] = count(col("hour").is_between(lo, lo + 5))
        known = col("category").is_not_null()
        a |= {"minus": spend(col("amount") < 0), "plus": spend(col("amount") > 0), "concentration": total(col("concentration_term"), known), "category_amount": spend(known),
              "comparable": count(col("paid_before") > 0), "cheaper": count((col("paid_before") > 0) & (col("unit_price") < 0.99 * col("paid_before"))), "coupon_spend": spend(col("with_coupon"))}
        for o in OCCASIONS:
            latest = max(begin for name, begin, _ in seasons(t, t) if name == o and begin <= t)
            a |= {f"{o}_days": where(col(o).is_not_null(), col("day")).drop_nulls().n_unique(), f"{o}_spend": spend(col(o).is_not_null()), f"{o}_latest": spend(col(o) == latest),
                  f"{o}_last": where(col(o).is_not_null(), col("day")).max()}
        for w, s in WINDOWS:
            a |= {f"spend_{s}": spend(within(t, w)), f"items_{s}": total(col("quantity"), within(t, w)), f"orders_{s}": count(within(t, w, col("new_order")))}
            for what, plural in (("product", "products"), ("category", "categories")):
                outside = col(f"{what}_day").is_null() | (col(f"{what}_day") <= t - w) if w else col(f"{what}_day").is_null()
                a[f"{plural}_{s}"] = count(within(t, w, col(what).is_not_null() & outside))
        add("p", self.lines.filter(upto), a)
        add("o", self.orders.filter(upto), {"largest": col("amount").max(), "wait": where(col("since_view") <= PATIENCE, col("since_view")).mean()})
        add("f", self.returns.filter(upto), {f"refund_{s}": spend(within(t, w)) for w, s in WINDOWS})

        # the clock
        n = col(f"n{j}").cast(pl.Int64)
        for name, f in (("h", self.hours), ("w", self.weekdays), ("bh", self.bought_hours), ("bw", self.bought_weekdays), ("bm", self.bought_months)):
            a = {"best": (100 * n - col("place")).max(), "n": n.sum(), "squares": (n * n).sum()}
            if name == "h":
                a |= {part: total(n, col("place").is_between(lo, lo + 5)) for lo, part in ((0, "night"), (6, "morning"), (12, "afternoon"), (18, "evening"))}
            if name == "w":
                a["weekend"] = total(n, col("place") >= 6)
            if name == "bm":
                a |= {f"quarter_{q}": total(n, (col("place") + 2) // 3 == q) for q in (1, 2, 3, 4)}
            add(name, f.filter(n > 0), a)

        # visits, carts, products
        a = {f"n_{s}": count(within(t, w)) if w else pl.len() for w, s in WINDOWS}
        a |= {"micros": (col("ended") - col("begun")).sum(), "events": col("n").sum(), "bounced": count(col("n") == 1), "converted": count(col("converted"))}
        add("v", self.seen("visits", t), a)

        def fate(f, end):
            bought = (col("next_purchase") < instant) & (col("next_purchase") <= col(end) + PATIENCE)
            return f.with_columns(bought.fill_null(False).alias("bought")).with_columns((~col("bought") & (col(end) + PATIENCE < instant)).alias("gone"))
        recent = col("day") > t - 90
        add("k", fate(self.seen("carts", t).join(self.cart_ends, on=self.keys, how="left"), "ended"),
            {"carts": pl.len(), "carts_90d": count(recent), "value": col("amount").sum(), "value_90d": spend(recent), "additions": col("n").sum(), "gone": count(col("gone")),
             "gone_90d": count(col("gone") & recent), "lost": spend(col("gone")), "lost_90d": spend(col("gone") & recent), "decided": count(col("gone") | col("bought")),
             "wait": where(col("bought"), col("next_purchase") - col("begun")).mean(), "decided_value": spend(col("gone") | col("bought")),
             "view_wait": where(col("since_view") <= PATIENCE, col("since_view")).mean()})
        add("q", fate(self.checkouts.filter(upto), "us"), {"gone": count(col("gone")), "decided": count(col("gone") | col("bought"))})
        viewed, carted, bought = ((col(r) <= t).fill_null(False) for r in ("view", "cart_add", "purchase"))
        add("x", self.products, {"viewed": count(viewed), "carted": count(carted), "viewed_carted": count(viewed & carted), "viewed_bought": count(viewed & bought), "carted_bought": count(carted & bought), "viewed_30d": count((col("near") & (1 << j)) != 0)})
        frames.append(self.categories.select("c", col(f"n{j}").alias("categories_viewed")))
        add("u", self.features, {"used": count(n > 0), "used_30d": count((col(f"last{j}") > t - 30).fill_null(False)), "most": n.max()})

        # messages, loyalty, feedback
        a = {}
        for i, ch in enumerate(CHANNELS):
            for r in ("sent", "open", "click"):
                a |= {f"{ch}_{r}_90d": total(col(f"{r}{j}_90d"), col("name") == i), f"{ch}_{r}": total(col(f"{r}{j}"), col("name") == i)}
            a |= {f"{ch}_{r}": where(col("name") == i, col(f"{r}{j}")).max() for r in ("responded", "response")}
        opened = col(f"open{j}").cast(pl.Int64)
        a["best"] = where(opened > 0, 100 * opened - col("name") - 1).max()
        add("c", self.by_channel, a)
        is_open, is_sent = col("role") == CODE["message_open"], col("role") == CODE["message_sent"]
        add("m", self.messages.filter(upto), {"response": where(is_sent & (col("next_open") < instant), col("next_open") - col("us")).mean(),
                                              "most": where(is_open & (col("channel") >= 0), col("nth")).max(), "opens": count(is_open & (col("channel") >= 0)),
                                              "sent": count(is_sent), "sent_before": where(is_open, col("so_far")).max()})
        cancel = col("role") == CODE["cancel"]
        s = self.subscriptions.filter(upto).with_columns(where(cancel, col("us")).max().over("c").alias("last_cancel"), where(cancel, col("us")).min().over("c").alias("first_cancel"))
        live = ~cancel & (col("last_cancel").is_null() | (col("us") > col("last_cancel")))
        # Of a channel's last instant a cancellation counts.
        said = {f"{ch}_said": where(col("name") == i, col("us") * 2 + cancel.cast(pl.Int64)).max() for i, ch in enumerate(CHANNELS)}
        add("s", s, said | {"cancels": count(cancel), "live": count(live), "begun": where(live, col("day")).min(), "renewals": count(live & (col("role") == CODE["renew"])),
                     "again": count((col("role") == CODE["subscribe"]) & (col("us") > col("first_cancel")).fill_null(False))})
        y = self.ratings.filter(upto)
        add("y", y.with_columns((col("us") == col("us").max().over("c")).alias("latest")),
            {"n": pl.len(), "sum": col("rating").cast(pl.Float64).sum(), "low": col("rating").min(), "last": where(col("latest"), col("rating")).min(), "day": col("day").max()})

        # the columns, in the catalogue's order
        put = lambda name, x: out.append(x.alias(name))
        zero = lambda name: col(name).fill_null(0)
        rc = lambda r, s="lifetime": col(f"{r}_n{j}_{s}").fill_null(0)
        tenure = t - p("d_first") + 1
        put("days_since_first_event", t - p("d_first"))
        put("days_since_last_event", t - p("d_last"))
        put("days_since_first_purchase", t - p("p_first"))
        for r in ROLES[1:]:
            put(f"days_since_last_{r}", t - col(f"{r}_last{j}"))
        for _, s in WINDOWS:
            put(f"event_count_{s}", zero(f"d_events_{s}"))
            put(f"active_days_{s}", zero(f"d_days_{s}"))
        for r in ROLES:
            for _, s in WINDOWS:
                put(f"{r}_count_{s}", rc(r, s))
        for _, s in WINDOWS:
            put(f"spend_{s}", zero(f"p_spend_{s}") / 1e4)
            put(f"refund_{s}", zero(f"f_refund_{s}") / 1e4)
            put(f"orders_{s}", zero(f"p_orders_{s}"))
            put(f"purchase_days_{s}", p(f"d_bought_{s}"))
            put(f"items_{s}", zero(f"p_items_{s}"))
        put("average_order_value", p("p_spend") / 1e4 / p("p_orders_lifetime"))
        put("largest_order", p("o_largest") / 1e4)
        put("return_share", ratio(zero("f_refund_lifetime"), p("p_spend")))
        put("first_day_spend", p("p_first_day_spend") / 1e4)
        put("repeat_day_spend_mean", ratio(p("p_later_spend") / 1e4, p("d_bought_lifetime").cast(pl.Int32) - 1))
        for _, s in WINDOWS:
            put(f"net_spend_{s}", (zero(f"p_spend_{s}") - zero(f"f_refund_{s}")) / 1e4)
        put("largest_order_share", ratio(p("o_largest"), p("p_spend")))
        put("purchase_gap_mean", p("p_gap_mean"))
        put("purchase_gap_sd", p("p_gap_sd"))
        put("purchase_gap_cv", p("p_gap_sd") / p("p_gap_mean"))
        for g in ("min", "max", "last"):
            put(f"purchase_gap_{g}", p(f"p_gap_{g}"))
        put("purchase_overdue_ratio", (t - p("p_last")) / p("p_gap_mean"))
        put("active_day_gap_mean", ratio(p("d_last") - p("d_first"), p("d_days").cast(pl.Int32) - 1))
        for _, s in WINDOWS:
            put(f"products_{s}", zero(f"p_products_{s}"))
            put(f"categories_{s}", zero(f"p_categories_{s}"))
        put("products_viewed_lifetime", zero("x_viewed"))
        put("channels_lifetime", p("d_touched").bitwise_count_ones())
        put("product_repeat_share", 1 - ratio(p("p_products_lifetime"), p("p_with_product")))
        put("favourite_product_share", ratio(p("p_product_most"), p("p_with_product")))
        put("favourite_category_share", ratio(p("p_category_most"), p("p_with_category")))
        put("category_entropy", where(p("p_with_category") > 0, p("p_with_category").cast(pl.Float64).log(2) - p("p_entropy") / p("p_with_category")))
        put("category_spend_concentration", where(p("p_category_amount") > 0, p("p_concentration") / p("p_category_amount").cast(pl.Float64).pow(2)))
        for _, s in WINDOWS:
            put(f"sessions_{s}", zero(f"v_n_{s}"))
        visits = p("v_n_lifetime")
        put("session_minutes_mean", p("v_micros") / 6e7 / visits)
        put("session_events_mean", p("v_events") / visits)
        put("session_bounce_share", p("v_bounced") / visits)
        put("session_conversion_share", p("v_converted") / visits)
        put("sessions_per_30d", 30 * zero("v_n_lifetime") / tenure)
        put("events_per_30d", 30 * p("d_events") / tenure)
        put("purchase_days_per_30d", 30 * p("d_bought_lifetime") / tenure)
        orders = p("p_orders_lifetime")
        put("items_per_order", p("p_items_lifetime") / orders)
        for name, r in (("coupons", "coupon"), ("tickets", "ticket"), ("reviews", "review")):
            put(f"{name}_per_order", rc(r) / orders)
        for r in ("open", "click"):
            put(f"message_{r}_rate", ratio(rc("message_" + r), rc("message_sent")))
        put("event_trend_30d_90d", ratio(3 * p("d_events_30d"), p("d_events_90d")))
        put("engaged_day_trend_30d_90d", ratio(3 * p("d_engaged_30"), p("d_engaged_90")))
        put("visit_day_trend_30d_90d", ratio(3 * p("d_visit_30"), p("d_visit_90")))
        put("purchase_day_trend_30d_90d", ratio(3 * p("d_bought_30d"), p("d_bought_90d")))
        put("spend_trend_30d_90d", ratio(3 * p("p_spend_30d"), p("p_spend_90d")))
        put("event_trend_90d_365d", 365 / 90 * ratio(p("d_events_90d"), p("d_events_365d")))
        put("purchase_day_trend_90d_365d", 365 / 90 * ratio(p("d_bought_90d"), p("d_bought_365d")))
        put("spend_trend_90d_365d", 365 / 90 * ratio(p("p_spend_90d"), p("p_spend_365d")))
        old = p("d_first") <= t - 179
        put("engaged_day_slope_180d", where(old, zero("g_slope") / 17.5))
        put("purchase_day_slope_180d", where(old, zero("pm_slope") / 17.5))
        put("spend_slope_180d", where(old, zero("p_slope") / 2e4 / 17.5))
        put("engaged_streak_days", zero("g_streak"))
        put("engaged_streak_days_longest", zero("g_longest"))
        put("engaged_streak_weeks", zero("g_weeks"))
        put("engaged_streak_weeks_longest", zero("g_weeks_longest"))
        put("purchase_streak_months", zero("pm_streak"))
        put("purchase_gap_burstiness", (p("p_gap_sd") - p("p_gap_mean")) / (p("p_gap_sd") + p("p_gap_mean")))
        put("engaged_day_gap_burstiness", (p("g_gap_sd") - p("g_gap_mean")) / (p("g_gap_sd") + p("g_gap_mean")))
        mode = lambda name: (100 - p(f"{name}_best") % 100) % 100
        squares = lambda name: p(f"{name}_squares") / (p(f"{name}_n") * p(f"{name}_n"))
        parts = ("night", "morning", "afternoon", "evening")
        put("activity_weekend_share", p("w_weekend") / p("w_n"))
        for part in parts:
            put(f"activity_{part}_share", p(f"h_{part}") / p("h_n"))
        put("activity_hour_mode", mode("h"))
        put("activity_weekday_mode", mode("w"))
        put("activity_hour_concentration", squares("h"))
        put("activity_weekday_concentration", squares("w"))
        put("purchase_weekend_share", p("p_weekend") / p("p_lines"))
        for part in parts:
            put(f"purchase_{part}_share", p(f"p_{part}") / p("p_lines"))
        put("purchase_hour_mode", mode("bh"))
        put("purchase_weekday_mode", mode("bw"))
        put("purchase_hour_concentration", squares("bh"))
        put("purchase_weekday_concentration", squares("bw"))
        put("purchase_month_mode", mode("bm"))
        put("november_december_spend_share", ratio(p("p_festive"), p("p_spend")))
        put("spend_year_ago_30d", zero("p_year_ago") / 1e4)
        put("spend_year_ago_next_30d", zero("p_year_ago_next") / 1e4)
        put("purchase_month_concentration", squares("bm"))
        for q in (1, 2, 3, 4):
            put(f"purchase_quarter_{q}_share", p(f"bm_quarter_{q}") / p("bm_n"))
        put("purchase_days_year_ago_30d", zero("p_days_year_ago"))
        put("purchase_days_year_ago_next_30d", zero("p_days_year_ago_next"))
        put("carts_90d", zero("k_carts_90d"))
        put("carts_lifetime", zero("k_carts"))
        put("cart_value_90d", zero("k_value_90d") / 1e4)
        put("cart_value_mean", p("k_value") / 1e4 / p("k_carts"))
        put("cart_additions_mean", p("k_additions") / p("k_carts"))
        put("carts_abandoned_90d", zero("k_gone_90d"))
        put("carts_abandoned_lifetime", zero("k_gone"))
        put("cart_abandoned_value_90d", zero("k_lost_90d") / 1e4)
        put("cart_abandoned_value_lifetime", zero("k_lost") / 1e4)
        put("cart_abandonment_share", ratio(p("k_gone"), p("k_decided")))
        put("checkout_abandonment_share", ratio(p("q_gone"), p("q_decided")))
        put("cart_to_purchase_minutes_mean", p("k_wait") / 6e7)
        put("view_to_purchase_minutes_mean", p("o_wait") / 6e7)
        put("products_viewed_not_bought", zero("x_viewed") - zero("x_viewed_bought"))
        put("products_carted_not_bought", zero("x_carted") - zero("x_carted_bought"))
        put("view_to_cart_share", ratio(p("x_viewed_carted"), p("x_viewed")))
        put("cart_to_purchase_share", ratio(p("x_carted_bought"), p("x_carted")))
        put("view_to_purchase_share", ratio(p("x_viewed_bought"), p("x_viewed")))
        put("cart_abandoned_value_share", ratio(p("k_lost"), p("k_decided_value")))
        put("view_to_cart_minutes_mean", p("k_view_wait") / 6e7)
        for ch in CHANNELS:
            put(f"{ch}_sent_90d", zero(f"c_{ch}_sent_90d"))
            put(f"{ch}_opened_90d", zero(f"c_{ch}_open_90d"))
            put(f"{ch}_clicked_90d", zero(f"c_{ch}_click_90d"))
            put(f"{ch}_sent_lifetime", zero(f"c_{ch}_sent"))
            put(f"{ch}_open_rate", ratio(p(f"c_{ch}_open"), p(f"c_{ch}_sent")))
            put(f"{ch}_click_rate", ratio(p(f"c_{ch}_click"), p(f"c_{ch}_sent")))
            put(f"days_since_last_{ch}_response", t - p(f"c_{ch}_responded"))
        put("message_response_hours_mean", p("m_response") / HOUR)
        put("preferred_message_channel_share", ratio(p("m_most"), p("m_opens")))
        put("messages_since_last_open", (zero("m_sent").cast(pl.Int64) - zero("m_sent_before")))
        for ch in CHANNELS:
            put(f"{ch}_unsubscribed", p(f"s_{ch}_said") & 1)
            put(f"{ch}_response_hours_mean", p(f"c_{ch}_response") / HOUR)
        put("preferred_message_channel", mode("c"))
        put("engaged_months_lifetime", zero("g_months"))
        put("engaged_month_share", zero("g_months") / (now - p("d_first_month") + 1))
        put("purchase_months_lifetime", zero("p_months"))
        put("purchase_month_share", p("p_months") / (now - p("p_first_month") + 1))
        put("repeat_purchase_day_share", 1 - ratio(pl.lit(1), p("d_bought_lifetime")))
        put("advocacy_share", (rc("referral") + rc("review") + rc("social_engage")) / p("d_events"))
        put("subscribed", (zero("s_live") > 0).cast(pl.Int32))
        put("subscription_days", t - p("s_begun"))
        put("subscription_renewals", where(p("s_live") > 0, p("s_renewals")))
        put("resubscriptions_lifetime", zero("s_again"))
        put("subscription_cancelled", ((zero("s_cancels") > 0) & (zero("s_live") == 0)).cast(pl.Int32))
        put("advocacy_events_90d", rc("referral", "90d") + rc("review", "90d") + rc("social_engage", "90d"))
        put("tickets_per_30d", 30 * rc("ticket") / tenure)
        put("ticket_gap_mean", ratio(p("d_ticket_last") - p("d_ticket_first"), p("d_ticket_days").cast(pl.Int32) - 1))
        put("ratings_lifetime", zero("y_n"))
        put("rating_mean", p("y_sum") / p("y_n"))
        put("rating_min", p("y_low"))
        put("rating_last", p("y_last"))
        put("rating_trend", p("y_last").cast(pl.Float64) - p("y_sum") / p("y_n"))
        put("days_since_last_rating", t - p("y_day"))
        for name in ("mean", "sd", "max", "mean_90d"):
            put(f"unit_price_{name}", p(f"p_unit_price_{name}"))
        put("line_amount_mean", ratio(p("p_spend") / 1e4, p("p_priced")))
        put("line_amount_max", p("p_line_max") / 1e4)
        put("coupons_per_purchase_day", ratio(rc("coupon"), p("d_bought_lifetime")))
        put("coupon_day_share", ratio(p("d_coupon_days"), p("d_bought_lifetime")))
        put("novelty_share_90d", ratio(p("p_novel"), p("p_products_seen_90d")))
        put("coupon_day_spend_share", ratio(p("p_coupon_spend"), p("p_spend")))
        put("discount_share", ratio(-p("p_minus"), p("p_plus")))
        put("below_own_price_share", ratio(p("p_cheaper"), p("p_comparable")))
        in_set = lambda name, r: (p(name) & mask(r)) != 0
        stage = lambda name: where(in_set(name, "purchase"), 4).when(in_set(name, "checkout")).then(3).when(in_set(name, "cart_add")).then(2).when(in_set(name, "view")).then(1).otherwise(0)
        put("funnel_stage_30d", stage("d_roles_30"))
        put("funnel_stage_90d", stage("d_roles_90"))
        put("funnel_stage_days", t - pl.coalesce("d_first_purchase", "d_first_checkout", "d_first_cart_add", "d_first_view"))
        put("view_channels_lifetime", p("d_viewed").bitwise_count_ones())
        put("purchase_channels_lifetime", p("d_paid").bitwise_count_ones())
        put("message_open_channels_lifetime", p("d_opened").bitwise_count_ones())
        put("channels_first_7d", p("d_touched_7d").bitwise_count_ones())
        put("first_channel_is_last", (p("d_first_touch") % 64 == 63 - p("d_last_touch") % 64).cast(pl.Int32))
        put("roles_30d", p("d_roles_30").bitwise_count_ones())
        put("roles_lifetime", p("d_roles").bitwise_count_ones())
        put("role_entropy", p("d_events").cast(pl.Float64).log(2) - col(f"log_sum{j}") / p("d_events"))
        put("role_change_share", ratio(p("d_changes"), p("d_events").cast(pl.Int64) - 1))
        put("first_channel", self.kind(p("d_first_touch") & 63) + 1)
        put("last_channel", self.kind(63 - (p("d_last_touch") & 63)) + 1)
        for shift, name in ((1, "last_step"), (32, "last_step_but_one"), (1024, "last_step_but_two")):
            step = p("d_steps") // shift & 31
            put(name, where(step != NO_STEP, step))
        put("funnel_advances_90d", p("d_advances_90"))
        put("funnel_retreats_90d", p("d_retreats_90"))
        put("funnel_advance_share", ratio(p("d_advances"), p("d_advances") + p("d_retreats")))

        for o in OCCASIONS:
            put(f"{o}_purchase_day_share", ratio(p(f"p_{o}_days"), p("d_bought_lifetime")))
            put(f"{o}_spend_share", ratio(p(f"p_{o}_spend"), p("p_spend")))
            put(f"{o}_spend_last_season", zero(f"p_{o}_latest") / 1e4)
            put(f"days_since_{o}_purchase", t - p(f"p_{o}_last"))
        put("stickiness_30d", p("d_engaged_30") / pl.min_horizontal(tenure, 30))
        put("engaged_week_share_84d", zero("g_weeks_84") / pl.min_horizontal((tenure - 1) // 7 + 1, 12))
        put("active_day_gap_sd", p("d_gap_sd"))
        put("active_day_gap_max", p("d_gap_max"))
        put("active_overdue_ratio", (t - p("d_last")) / p("d_gap_mean"))
        for what in ("mean", "sd", "max"):
            put(f"visit_day_gap_{what}", p(f"d_visit_gap_{what}"))
        put("visit_overdue_ratio", (t - p("d_visit_last")) / p("d_visit_gap_mean"))
        for name, times in (("views_per_visit_day", rc("view")), ("searches_per_visit_day", rc("search")), ("visit_day_cart_share", p("d_cart_days")), ("visit_day_purchase_share", p("d_bought_lifetime"))):
            put(name, ratio(times, p("d_visit_days")))
        put("products_viewed_30d", zero("x_viewed_30d"))
        put("categories_viewed_lifetime", zero("categories_viewed"))
        put("feature_use_days_30d", p("d_feature_days_30"))
        put("feature_uses_per_day_90d", ratio(rc("feature_use", "90d"), p("d_feature_days_90")))
        put("features_used_30d", zero("u_used_30d"))
        put("features_used_lifetime", zero("u_used"))
        put("favourite_feature_share", ratio(p("u_most"), rc("feature_use")))

        f = frames[0].join(self.customers_here, on="c").join(role_frame, on="c")
        for other in frames[1:]:
            f = f.join(other, on="c", how="left")
        collect(f.select("customer_id", *out)).write_parquet(target(self.job, date, k), compression="snappy")


def windowed(job, counted):
    """Counts and sums at one date, from the files to the answer in one lazy query."""
    date = job["dates"][-1]
    t = day_number(date)
    types = lambda role: [e for e, r in job["roles"].items() if r == role]
    rows = source({**job, "dates": [date]}).select("customer_id", "event_type", (col("event_time").dt.epoch("us") // DAY).cast(pl.Int32).alias("day"),
                                                  (col("amount") * 10000).round().cast(pl.Int64).alias("cents"), "quantity")
    if not counted:
        bought = col("event_type").is_in(types("purchase"))
        answer = rows.group_by("customer_id").agg(pl.len().alias("event_count_lifetime"), count(bought).alias("purchase_count_lifetime"), (total(col("cents"), bought) / 1e4).alias("spend_lifetime"))
    else:
        a = []
        for w, s in WINDOWS:
            a += [(count(within(t, w)) if w else pl.len()).alias(f"n_{s}")]
            a += [total(v, within(t, w)).alias(f"{name}_{s}") for name, v in (("amount", col("cents")), ("refund", col("cents").abs()), ("items", col("quantity")))]
        spread = [col(f"n_{s}").sum().alias(f"event_count_{s}") for _, s in WINDOWS]
        for r in ROLES:
            these = col("event_type").is_in(types(r)) if r != "other" else ~col("event_type").is_in(list(job["roles"])).fill_null(False)
            spread += [total(col(f"n_{s}"), these).alias(f"{r}_count_{s}") for _, s in WINDOWS]
        bought, returned = (col("event_type").is_in(types(r)) for r in ("purchase", "return"))
        for _, s in WINDOWS:
            spend, refund = total(col(f"amount_{s}"), bought), total(col(f"refund_{s}"), returned)
            spread += [(spend / 1e4).alias(f"spend_{s}"), (refund / 1e4).alias(f"refund_{s}"), ((spend - refund) / 1e4).alias(f"net_spend_{s}"), total(col(f"items_{s}"), bought).alias(f"items_{s}")]
        answer = rows.group_by("customer_id", "event_type").agg(a).group_by("customer_id").agg(spread)
    answer.sink_parquet(target(job, date), compression="snappy", maintain_order=False, engine="streaming")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("job", help="JSON file that features.py wrote")
    with open(p.parse_args().job) as f:
        job = json.load(f)
    if job["variant"] == "full":
        Full(job).run()
    else:
        windowed(job, job["variant"] == "counts")


if __name__ == "__main__":
    main()
