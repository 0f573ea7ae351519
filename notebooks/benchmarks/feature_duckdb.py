"""The catalogue in DuckDB, as a child process of features.py that is timed.

Three variants compute every column of the catalogue at every as-of date:

  catalogue  the catalogue's own statements, events read once, one history a date
  encoded    the same statements over events of codes: customers, products and
             sessions as integers, roles and channels as ENUMs
  tuned      the same values by a plan made for this question (below)

and two only counts and sums at one date: `counts`, the windowed ones of the
catalogue, and `plain`, events, purchases and spend. What makes `tuned` fast:

- Parquet is read once into integers: roles, products, channels and sessions as
  codes, customers as dense numbers, money as 1e-4, time as µs and local day.
- Customers are worked off in slices, so that sorts and hash tables stay small.
- Nothing is sorted once a date. What looks back only (the gap to the last
  purchase day, the nth line of a product, the last view before an order) is the
  same at every date from which it can be seen, so each window runs once; what
  looks forward (the purchase after a cart) is computed once and hidden when it
  lies beyond the date. Sessions and carts that straddle a date are made again.
- Distinct counts in windows become plain counts: a purchase line is the first of
  its product in a window when the line before it lies outside; a mode and a
  favourite are the maximum of running counts; an entropy is a sum of differences
  of n·log2(n), which telescope. Of a product viewed, a bit a date says whether
  it was in the 30 days.
- Days are rolled up once (roles and channels as bit sets; the last three steps as
  one number behind the event's place in line, so that the latest is the highest),
  counts by role in one pass for all dates.
"""

import argparse
import datetime
import json
import os
import sys

import duckdb

ROLES = ["other", "purchase", "return", "cart_add", "cart_remove", "checkout", "view", "search", "session", "feature_use",
         "message_sent", "message_open", "message_click", "social_engage", "referral", "review", "ticket", "subscribe",
         "renew", "cancel", "coupon"]
CODE = {r: i for i, r in enumerate(ROLES)}
VISITING = ["other", "purchase", "cart_add", "cart_remove", "checkout", "view", "search", "session", "feature_use"]
CHANNELS = ["email", "push", "sms", "mail", "ad", "social"]
FUNNEL = ["view", "cart_add", "checkout", "purchase"]
NO_STEP = 31  # in place of a role's code
WINDOWS = [(7, "7d"), (30, "30d"), (90, "90d"), (365, "365d"), (None, "lifetime")]
SESSION_GAP = 30 * 60 * 1_000_000
PATIENCE = 24 * 3600 * 1_000_000
EPOCH = datetime.date(1970, 1, 1)
OCCASIONS = ["christmas", "black_friday", "valentines", "easter"]


def mask(*roles):
    return sum(1 << CODE[r] for r in roles)


def day_number(date):
    return (datetime.date.fromisoformat(date) - EPOCH).days


def easter(year):
    """Western Easter, by the anonymous Gregorian algorithm."""
    a, (b, c) = year % 19, divmod(year, 100)
    h = (19 * a + b - b // 4 - (8 * b + 13) // 25 + 15) % 30
    e = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * e) // 451
    month, day = divmod(h + e - 7 * m + 114, 31)
    return datetime.date(year, month, day + 1)


def seasons(first, last):
    """The default occasions' seasons that begin in the years of two days: [(occasion, begin, end)]."""
    out = []
    for year in range((EPOCH + datetime.timedelta(first)).year - 1, (EPOCH + datetime.timedelta(last)).year + 2):
        fourth_thursday = datetime.date(year, 11, 22) + datetime.timedelta((3 - datetime.date(year, 11, 22).weekday()) % 7)
        for name, day, ahead, past in (("christmas", datetime.date(year, 12, 25), 30, 0), ("black_friday", fourth_thursday + datetime.timedelta(1), 3, 3),
                                       ("valentines", datetime.date(year, 2, 14), 7, 0), ("easter", easter(year), 7, 0)):
            n = (day - EPOCH).days
            out.append((name, n - ahead, n + past))
    return out


def within(t, days, cond=""):
    """FILTER clause: a condition in the window of `days` that ends with day t."""
    parts = [c for c in (cond, f"day > {t - days}" if days else "") if c]
    return f" FILTER (WHERE {' AND '.join(parts)})" if parts else ""


class Tuned:
    def __init__(self, con, job):
        self.con, self.job = con, job
        self.days = [day_number(d) for d in job["dates"]]
        self.last = max(self.days)

    def run(self):
        self.load()
        n = self.con.execute("SELECT count(*) FROM customers").fetchone()[0]
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
        x = self.con.execute
        files = self.job["files"]
        x(f"CREATE VIEW raw AS SELECT * FROM read_parquet('{files}', hive_partitioning = false) WHERE customer_id IS NOT NULL"
          f" AND epoch_us(event_time) < {(self.last + 1) * 86_400_000_000}"
          + ("" if self.job["integer_ids"] else " AND customer_id <> ''"))
        # One pass for the dictionaries: the distinct tuples of the narrow columns.
        x("CREATE TABLE customers AS SELECT customer_id, CAST(row_number() OVER () - 1 AS INTEGER) AS c FROM (SELECT DISTINCT customer_id FROM raw)")
        x("CREATE TABLE words AS SELECT DISTINCT product_id, category, channel, campaign_id FROM raw")
        for name, column in (("products", "product_id"), ("categories", "category"), ("channels", "channel"), ("campaigns", "campaign_id")):
            # Codes in the order of the texts: the least code is the least text.
            x(f"CREATE TABLE {name} AS SELECT word, CAST(row_number() OVER (ORDER BY word) - 1 AS INTEGER) AS code"
              f" FROM (SELECT DISTINCT {column} AS word FROM words WHERE {column} IS NOT NULL)")
        channels = x("SELECT word, code FROM channels ORDER BY code").fetchall()
        if len(channels) > 60:
            sys.exit("more than 60 channels do not fit into a bit set")
        self.channel_codes = {w: [c for word, c in channels if word.lower() == w] for w in CHANNELS}
        types = x("SELECT DISTINCT event_type FROM raw").fetchall()
        x("CREATE TABLE types (word VARCHAR, code UTINYINT, type USMALLINT)")
        x("INSERT INTO types SELECT unnest(?), unnest(?), unnest(?)", [[t for t, in types], [CODE[self.job["roles"].get(t, "other")] for t, in types], list(range(len(types)))])
        x("""CREATE TABLE events AS
SELECT customers.c AS c, epoch_us(event_time) AS us, CAST(epoch_us(event_time) // 86400000000 AS INTEGER) AS day,
  coalesce(types.code, 0)::UTINYINT AS role, types.type AS type, round(amount * 10000) AS amount, quantity::DOUBLE AS quantity, rating,
  products.code::INTEGER AS product, categories.code::USMALLINT AS category, channels.code::UTINYINT AS channel,
  campaigns.code::INTEGER AS campaign, hash(session_id) AS session, session_id IS NULL AS no_session
FROM raw JOIN customers USING (customer_id) LEFT JOIN types ON event_type = types.word
  LEFT JOIN products ON product_id = products.word LEFT JOIN categories ON category = categories.word
  LEFT JOIN channels ON channel = channels.word LEFT JOIN campaigns ON campaign_id = campaigns.word""")

    def kind(self, code):
        """The place in CHANNELS of a channel's code, the place after them for any other, null for none."""
        known = "".join(f" WHEN {code} IN ({', '.join(map(str, codes))}) THEN {i}" for i, codes in enumerate(self.channel_codes.values()) if codes)
        return f"CASE{known} WHEN {code} IS NOT NULL THEN {len(CHANNELS)} END"

    def prepare(self, lo, hi):
        """What all dates share, of the customers lo to hi."""
        x = self.con.execute
        table = lambda name, sql: x(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")
        table("e", f"SELECT * FROM events WHERE c >= {lo} AND c < {hi}")

        # Day by day, with how often the kind of behaviour changed.
        bit = lambda cond: f"coalesce(bit_or(CASE WHEN {cond} THEN 1::BIGINT << channel END), 0)"
        table("changes", f"""SELECT c, day, count(*) FILTER (WHERE role <> previous) AS changes,
  max(nth * 32768 + coalesce(before_last, {NO_STEP}) * 1024 + coalesce(previous, {NO_STEP}) * 32 + role) AS steps
 FROM (SELECT c, day, role, lag(role::INTEGER) OVER w AS previous, lag(role::INTEGER, 2) OVER w AS before_last, row_number() OVER w AS nth
  FROM e WINDOW w AS (PARTITION BY c ORDER BY us * 32 + role)) GROUP BY c, day""")
        stage = "CASE role " + " ".join(f"WHEN {CODE[r]} THEN {i}" for i, r in enumerate(FUNNEL, 1)) + " END"
        moved = ", ".join(f"count(*){within(t, w, f'{way} AND day <= {t}')} AS {name}{j}" + (f"_{w}d" if w else "")
                                        for j, t in enumerate(self.days) for name, way in (("advances", "forth"), ("retreats", "NOT forth")) for w in (90, None))
        table("moves", f"""SELECT c, {moved} FROM (SELECT c, day, stage > previous AS forth
  FROM (SELECT c, day, stage, lag(stage) OVER (PARTITION BY c ORDER BY us * 32 + role) AS previous
   FROM (SELECT c, us, day, role, {stage}::UTINYINT AS stage FROM e WHERE role IN ({', '.join(str(CODE[r]) for r in FUNNEL)}))) WHERE stage <> previous) GROUP BY c""")
        table("d0", f"""SELECT c, day, count(*)::INTEGER AS n, (count(*) FILTER (WHERE role <> {CODE['message_sent']}))::INTEGER AS engaged,
  bit_or(1::INTEGER << role) AS roles, {bit('true')} AS touched, {bit(f"role = {CODE['view']}")} AS viewed,
  {bit(f"role = {CODE['purchase']}")} AS paid, {bit(f"role = {CODE['message_open']}")} AS opened,
  min(us * 64 + channel) AS first_touch, max(us * 64 + 63 - channel) AS last_touch
 FROM e GROUP BY c, day""")
        table("d", f"""SELECT *, engaged_day - max(CASE WHEN engaged > 0 AND (previous_engaged IS NULL OR previous_engaged < day - 1) THEN day END)
     OVER (PARTITION BY c ORDER BY day) + 1 AS streak
 FROM (SELECT d0.*, changes.changes::INTEGER AS changes, changes.steps, CASE WHEN engaged > 0 THEN day END AS engaged_day,
   year(date_add(DATE '1970-01-01', day)) * 12 + month(date_add(DATE '1970-01-01', day)) AS month,
   isodow(date_add(DATE '1970-01-01', day)) AS weekday,
   first_value(day) OVER w AS first_day, day - lag(day) OVER w AS gap,
   CASE WHEN roles & {mask(*VISITING)} <> 0 THEN day - max(CASE WHEN roles & {mask(*VISITING)} <> 0 THEN day END) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) END AS visit_gap,
   max(CASE WHEN engaged > 0 THEN day END) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_engaged,
   max(CASE WHEN roles & {mask('ticket')} <> 0 THEN day END) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_ticket
  FROM d0 JOIN changes USING (c, day) WINDOW w AS (PARTITION BY c ORDER BY day))""")

        # Counts by role, for all dates in one pass.
        counts = ", ".join(f"(count(*){within(t, w, f'day <= {t}')})::INTEGER AS n{j}_{s}" for j, t in enumerate(self.days) for w, s in WINDOWS)
        last = ", ".join(f"max(day) FILTER (WHERE day <= {t}) AS last{j}" for j, t in enumerate(self.days))
        table("by_role", f"SELECT c, role, {counts}, {last} FROM e GROUP BY c, role")
        fields = [f"n{j}_{s}" for j in range(len(self.days)) for _, s in WINDOWS] + [f"last{j}" for j in range(len(self.days))]
        wide = ", ".join(f"r{code}.{f} AS {r}_{f}" for r, code in CODE.items() for f in fields)
        joined = " ".join(f"LEFT JOIN (SELECT * FROM by_role WHERE role = {code}) r{code} ON a.c = r{code}.c" for code in CODE.values())
        table("roles", f"SELECT a.*, {wide} FROM (SELECT c, {', '.join(f'sum(n{j}_lifetime * log2(n{j}_lifetime)) FILTER (WHERE n{j}_lifetime > 0) AS log_sum{j}' for j in range(len(self.days)))} FROM by_role GROUP BY c) a {joined}")

        # The clock: hours of engaged events, of purchases; weekdays; months.
        per = lambda what: ", ".join(f"{what.format(t=t)} AS n{j}" for j, t in enumerate(self.days))
        hour = "(us // 3600000000 % 24)::UTINYINT"
        table("hours", f"SELECT c, {hour} AS place, {per('(count(*) FILTER (WHERE day <= {t}))::INTEGER')} FROM e WHERE role <> {CODE['message_sent']} GROUP BY ALL")
        table("weekdays", f"SELECT c, weekday::UTINYINT AS place, {per('sum(engaged) FILTER (WHERE day <= {t})')} FROM d WHERE engaged > 0 GROUP BY ALL")

        # Purchases with everything that looks back.
        telescope = lambda k: f"{k} * log2({k}) - CASE WHEN {k} > 1 THEN ({k} - 1) * log2({k} - 1) ELSE 0 END"
        table("lines", f"""SELECT *, CASE WHEN day > previous_day THEN day - previous_day END AS gap, us IS DISTINCT FROM previous_us AS new_order,
  day IS DISTINCT FROM previous_day AS new_day, {telescope('category_nth')} AS entropy_term,
  coalesce(amount * (2 * category_sum - amount), 0) AS concentration_term,
  CASE WHEN product IS NOT NULL AND unit_price IS NOT NULL THEN max_before END AS paid_before,
  year(date_add(DATE '1970-01-01', day)) * 12 + month(date_add(DATE '1970-01-01', day)) AS month, {hour} AS hour,
  isodow(date_add(DATE '1970-01-01', day)) AS weekday
 FROM (SELECT c, us, day, amount, quantity, product, category,
   lag(us) OVER w AS previous_us, lag(day) OVER w AS previous_day, first_value(day) OVER w AS first_day,
   lag(day) OVER x AS product_day, first_value(us) OVER x AS product_first, row_number() OVER x AS product_nth,
   lag(day) OVER y AS category_day, row_number() OVER y AS category_nth,
   sum(amount) OVER (y ROWS UNBOUNDED PRECEDING) AS category_sum, unit_price,
   max(unit_price) OVER (x RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS max_before
  FROM (SELECT *, CASE WHEN quantity > 0 THEN (amount / 1e4) / quantity END AS unit_price FROM e WHERE role = {CODE['purchase']})
  WINDOW w AS (PARTITION BY c ORDER BY us), x AS (PARTITION BY c, product ORDER BY us), y AS (PARTITION BY c, category ORDER BY us))""")
        for name in ("hour", "weekday"):
            table(f"bought_{name}s", f"SELECT c, {name}::UTINYINT AS place, {per('(count(*) FILTER (WHERE day <= {t}))::INTEGER')} FROM lines GROUP BY ALL")
        table("bought_months", f"SELECT c, ((month - 1) % 12 + 1)::UTINYINT AS place, {per('(count(*) FILTER (WHERE day <= {t}))::INTEGER')} FROM lines GROUP BY ALL")
        table("calendar", "SELECT day, " + ", ".join(f"max(season) FILTER (WHERE occasion = '{o}') AS {o}" for o in OCCASIONS)
              + " FROM (SELECT occasion, season, unnest(range(season, final + 1))::INTEGER AS day FROM (VALUES "
              + ", ".join(map(str, seasons(self.first(), self.last))) + ") v(occasion, season, final)) GROUP BY day")
        table("pd", f"""SELECT b.*, roles & {mask('coupon')} <> 0 AS with_coupon, {', '.join(OCCASIONS)} FROM (SELECT c, day, any_value(first_day) AS first_day, any_value(month) AS month, any_value(weekday) AS weekday, count(*) AS lines, count(amount) AS priced,
  sum(amount) AS amount, sum(quantity) AS quantity, max(gap) AS gap, count(*) FILTER (WHERE new_order) AS orders,
  min(previous_day) FILTER (WHERE new_day) AS previous_day, count(product) AS products, max(product_nth) FILTER (WHERE product IS NOT NULL) AS product_nth,
  count(category) AS categories, max(category_nth) FILTER (WHERE category IS NOT NULL) AS category_nth, sum(entropy_term) FILTER (WHERE category IS NOT NULL) AS entropy_term,
  count(*) FILTER (WHERE hour < 6) AS night, count(*) FILTER (WHERE hour BETWEEN 6 AND 11) AS morning, count(*) FILTER (WHERE hour BETWEEN 12 AND 17) AS afternoon,
  count(*) FILTER (WHERE hour >= 18) AS evening, max(amount) AS line_max,
  sum(amount) FILTER (WHERE amount < 0) AS minus, sum(amount) FILTER (WHERE amount > 0) AS plus,
  sum(concentration_term) FILTER (WHERE category IS NOT NULL) AS concentration_term, sum(amount) FILTER (WHERE category IS NOT NULL) AS category_amount,
  count(*) FILTER (WHERE paid_before > 0) AS comparable, count(*) FILTER (WHERE paid_before > 0 AND unit_price < 0.99 * paid_before) AS cheaper
 FROM lines GROUP BY c, day) b JOIN d USING (c, day) LEFT JOIN calendar USING (day)""")
        table("orders", f"""SELECT o.*, o.us - v.us AS since_view
 FROM (SELECT c, us, any_value(day) AS day, sum(amount) AS amount FROM lines GROUP BY c, us) o
 ASOF LEFT JOIN (SELECT c, us FROM e WHERE role = {CODE['view']}) v ON o.c = v.c AND o.us >= v.us""")
        table("returns", f"SELECT c, day, abs(amount) AS amount FROM e WHERE role = {CODE['return']}")

        # Visits and carts, whole; those that straddle a date are made again.
        run = lambda key, cond: f"""SELECT *, sum(opens) OVER (PARTITION BY {key} ORDER BY us, opens DESC ROWS UNBOUNDED PRECEDING)::UBIGINT AS run
 FROM (SELECT *, CASE WHEN coalesce(us - lag(us) OVER (PARTITION BY {key} ORDER BY us) > {SESSION_GAP}, true) THEN 1 ELSE 0 END AS opens
  FROM e WHERE no_session AND {cond})"""
        visiting = f"(1::INTEGER << role) & {mask(*VISITING)} <> 0"
        columns = "c, no_session, us, day, role, amount"
        table("visit_events", f"SELECT {columns}, session AS run FROM e WHERE NOT no_session AND {visiting} UNION ALL SELECT {columns}, run FROM ({run('c', visiting)})")
        adding = f"role = {CODE['cart_add']}"
        table("cart_events", f"SELECT {columns}, session AS run FROM e WHERE NOT no_session AND {adding} UNION ALL SELECT {columns}, run FROM ({run('c', adding)})")
        self.visit = f"c, run, no_session, min(us) AS begun, max(us) AS ended, min(day) AS first_day, max(day) AS day, count(*) AS n, bool_or(role = {CODE['purchase']}) AS converted"
        self.cart = "c, run, no_session, min(us) AS begun, max(us) AS ended, min(day) AS first_day, max(day) AS day, count(*) AS n, sum(amount) AS amount"
        table("visits", f"SELECT {self.visit} FROM visit_events GROUP BY c, run, no_session")
        table("carts", f"SELECT {self.cart} FROM cart_events GROUP BY c, run, no_session")
        table("cart_ends", f"""SELECT carts.c, run, no_session, o.us AS next_purchase, begun - v.us AS since_view
 FROM carts ASOF LEFT JOIN orders o ON carts.c = o.c AND carts.begun <= o.us
 ASOF LEFT JOIN (SELECT c, us FROM e WHERE role = {CODE['view']}) v ON carts.c = v.c AND carts.begun >= v.us""")
        table("checkouts", f"""SELECT k.c, k.us, k.day, o.us AS next_purchase FROM (SELECT c, us, day FROM e WHERE role = {CODE['checkout']}) k
 ASOF LEFT JOIN orders o ON k.c = o.c AND k.us <= o.us""")
        first = lambda r: f"min(day) FILTER (WHERE role = {CODE[r]}) AS {r}"
        near = " + ".join(f"{1 << j} * (day BETWEEN {t - 29} AND {t})::INTEGER" for j, t in enumerate(self.days))
        table("products_of", f"SELECT c, {first('view')}, {first('cart_add')}, {first('purchase')}, bit_or({near}) FILTER (WHERE role = {CODE['view']}) AS near FROM e WHERE product IS NOT NULL AND role IN ({CODE['view']}, {CODE['cart_add']}, {CODE['purchase']}) GROUP BY c, product")

        table("categories_of", f"SELECT c, {per('count(*) FILTER (WHERE day <= {t})')} FROM (SELECT c, min(day) AS day FROM e WHERE role = {CODE['view']} AND category IS NOT NULL GROUP BY c, category) GROUP BY c")
        table("features_of", "SELECT c, " + ", ".join(f"count(*) FILTER (WHERE n{j} > 0) AS used{j}, count(*) FILTER (WHERE near{j} > 0) AS near{j}, max(n{j}) AS most{j}" for j in range(len(self.days)))
              + f" FROM (SELECT c, {per('count(*) FILTER (WHERE day <= {t})')}, " + ", ".join(f"count(*){within(t, 30, f'day <= {t}')} AS near{j}" for j, t in enumerate(self.days))
              + f" FROM e WHERE role = {CODE['feature_use']} GROUP BY c, type) GROUP BY c")

        # Messages.
        is_open = f"role = {CODE['message_open']}"
        table("m", f"""SELECT c, us, day, role, channel, {self.kind('channel')} AS name,
   min(us) FILTER (WHERE {is_open}) OVER (PARTITION BY c, campaign, channel ORDER BY us RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_open,
   count(*) FILTER (WHERE role = {CODE['message_sent']}) OVER (PARTITION BY c ORDER BY us RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS sent_so_far,
   row_number() OVER (PARTITION BY c, role, channel ORDER BY us) AS nth
  FROM e WHERE role BETWEEN {CODE['message_sent']} AND {CODE['message_click']}""")
        aggregates = []
        for j, t in enumerate(self.days):
            for r in ("sent", "open", "click"):
                cond = f"role = {CODE['message_' + r]} AND day <= {t}"
                aggregates += [f"count(*){within(t, 90, cond)} AS {r}{j}_90d", f"count(*){within(t, None, cond)} AS {r}{j}"]
            aggregates.append(f"max(day) FILTER (WHERE role <> {CODE['message_sent']} AND day <= {t}) AS responded{j}")
            aggregates.append(f"avg(next_open - us) FILTER (WHERE role = {CODE['message_sent']} AND next_open < {(t + 1) * 86_400_000_000}) AS response{j}")
        table("by_channel", f"SELECT c, name, {', '.join(aggregates)} FROM m WHERE name IS NOT NULL GROUP BY c, name")
        table("ratings", "SELECT c, us, day, rating FROM e WHERE rating IS NOT NULL")
        table("subscriptions", f"SELECT c, us, day, role, {self.kind('channel')} AS name FROM e WHERE role IN ({CODE['subscribe']}, {CODE['renew']}, {CODE['cancel']})")

    def publish(self, date, t, k):
        """The features of those customers at the end of day t."""
        x, j = self.con.execute, self.days.index(t)
        instant = (t + 1) * 86_400_000_000
        seen = f"day <= {t}"
        parts = []  # name and query by customer
        out = []  # column and expression
        money = lambda v: f"coalesce({v}, 0)::DOUBLE / 1e4"
        n = lambda r, s="lifetime": f"coalesce(r.{r}_n{j}_{s}, 0)"

        # by day
        a = [f"{t} - min(day) AS first_age", f"{t} - max(day) AS last_age", "min(day) AS first_day", "sum(n)::BIGINT AS events", "sum(changes)::BIGINT AS changes",
             "count(*) AS active_days", "max(day) AS last_day", "max(steps) AS steps",
             "stddev_samp(gap) AS active_gap_sd", "max(gap) AS active_gap_max",
             "avg(visit_gap) AS visit_gap_mean", "stddev_samp(visit_gap) AS visit_gap_sd", "max(visit_gap) AS visit_gap_max"]
        has = lambda *roles: f"roles & {mask(*roles)} <> 0"
        engaged = "engaged > 0"
        for w, s in WINDOWS:
            a += [f"coalesce(sum(n){within(t, w)}, 0)::BIGINT AS event_count_{s}", f"count(*){within(t, w)} AS active_days_{s}",
                  f"count(*){within(t, w, has('purchase'))} AS purchase_days_{s}"]
        for d in (30, 90):
            a += [f"count(*){within(t, d, engaged)} AS engaged_days_{d}", f"count(*){within(t, d, has(*VISITING))} AS visit_days_{d}"]
        for d in (30, 90):
            a += [f"bit_or(roles){within(t, d)} AS roles_{d}", f"count(*){within(t, d, has('feature_use'))} AS feature_days_{d}"]
        a += [f"count(*) FILTER (WHERE {has(*VISITING)}) AS visit_days", f"{t} - max(day) FILTER (WHERE {has(*VISITING)}) AS visit_age",
              f"count(*) FILTER (WHERE {has('cart_add')}) AS cart_days", f"bit_or(CASE WHEN {engaged} AND day > {t - 84} THEN 1::INTEGER << (({t} - day) // 7) END) AS weeks_84"]
        for r in ("view", "cart_add", "checkout", "purchase"):
            a += [f"min(day){within(t, 30, has(r))} AS first_{r}_30d"]
        a += [f"sum(2.5 - ({t} - day) // 30) FILTER (WHERE {engaged} AND day > {t - 180})::DOUBLE AS engaged_slope",
              f"sum(2.5 - ({t} - day) // 30) FILTER (WHERE {has('purchase')} AND day > {t - 180})::DOUBLE AS purchase_slope",
              f"max(streak) FILTER (WHERE {engaged} AND day = {t}) AS streak", f"max(streak) FILTER (WHERE {engaged}) AS longest",
              f"bitstring_agg(({t} - day) // 7, 0, {(t - self.first()) // 7 + 1}) FILTER (WHERE {engaged})::VARCHAR AS weeks",
              f"bitstring_agg(({t} - day) // 30, 0, {(t - self.first()) // 30 + 1}) FILTER (WHERE {has('purchase')})::VARCHAR AS months30",
              f"avg(day - previous_engaged) FILTER (WHERE {engaged}) AS gap_mean", f"stddev_samp(day - previous_engaged) FILTER (WHERE {engaged}) AS gap_sd",
              f"count(*) FILTER (WHERE {engaged} AND (previous_engaged IS NULL OR previous_engaged < day - dayofmonth(date_add(DATE '1970-01-01', day)) + 1)) AS engaged_months",
              f"max(month) AS last_month, min(month) AS first_month",
              f"bit_or(touched) AS touched", "bit_or(viewed) AS viewed", "bit_or(paid) AS paid", "bit_or(opened) AS opened",
              "bit_or(touched) FILTER (WHERE day < first_day + 7) AS touched_7d", "min(first_touch) AS first_touch", "max(last_touch) AS last_touch",
              f"count(*) FILTER (WHERE roles & {mask('purchase', 'coupon')} = {mask('purchase', 'coupon')}) AS coupon_days",
              f"{t} - max(day) FILTER (WHERE {has('ticket')}) AS ticket_age", f"max(day) FILTER (WHERE {has('ticket')}) - min(day) FILTER (WHERE {has('ticket')}) AS ticket_span",
              f"count(*) FILTER (WHERE {has('ticket')}) AS ticket_days", "bit_or(roles) AS roles"]
        parts.append(("d", f"SELECT c, {', '.join(a)} FROM d WHERE {seen} GROUP BY c"))

        # purchases, by day and by line
        a = ["sum(lines) AS lines", f"{t} - min(day) AS first_age", "max(day) AS last_day", "min(month) AS first_month", "sum(priced) AS priced",
             "sum(amount) AS spend", "sum(amount) FILTER (WHERE day = first_day) AS first_day_spend", "sum(amount) FILTER (WHERE day > first_day) AS later_spend",
             "sum(gap)::DOUBLE / count(gap) AS gap_mean", "stddev_samp(gap) AS gap_sd", "min(gap) AS gap_min", "max(gap) AS gap_max", "arg_max(gap, day) FILTER (WHERE gap IS NOT NULL) AS gap_last",
             "sum(products) AS with_product", "max(product_nth) AS product_most", "sum(categories) AS with_category",
             "max(category_nth) AS category_most", "sum(entropy_term) AS entropy_sum", "max(line_max) AS line_max",
             f"sum(products) FILTER (WHERE day > {t - 90}) AS with_product_90d",
             "count(*) FILTER (WHERE previous_day IS NULL OR previous_day < day - dayofmonth(date_add(DATE '1970-01-01', day)) + 1) AS months",
             "sum(lines) FILTER (WHERE weekday >= 6) AS weekend", "sum(night) AS night", "sum(morning) AS morning", "sum(afternoon) AS afternoon", "sum(evening) AS evening",
             "sum(amount) FILTER (WHERE (month - 1) % 12 >= 10) AS festive", f"sum(amount) FILTER (WHERE {t} - day BETWEEN 365 AND 394) AS year_ago",
             f"sum(amount) FILTER (WHERE {t} - day BETWEEN 335 AND 364) AS year_ago_next", f"count(*) FILTER (WHERE {t} - day BETWEEN 365 AND 394) AS days_year_ago",
             f"count(*) FILTER (WHERE {t} - day BETWEEN 335 AND 364) AS days_year_ago_next",
             f"sum((5 - 2 * (({t} - day) // 30)) * amount) FILTER (WHERE day > {t - 180}) AS spend_slope"]
        a += ["sum(minus) AS minus", "sum(plus) AS plus", "sum(concentration_term) AS concentration", "sum(category_amount) AS category_amount",
              "sum(comparable) AS comparable", "sum(cheaper) AS cheaper", "sum(amount) FILTER (WHERE with_coupon) AS coupon_spend"]
        for o in OCCASIONS:
            latest = max(begin for name, begin, _ in seasons(self.first(), t) if name == o and begin <= t)
            a += [f"count({o}) AS {o}_days", f"sum(amount) FILTER (WHERE {o} IS NOT NULL) AS {o}_spend", f"sum(amount) FILTER (WHERE {o} = {latest}) AS {o}_latest",
                  f"max(day) FILTER (WHERE {o} IS NOT NULL) AS {o}_last"]
        for w, s in WINDOWS:
            a += [f"sum(amount){within(t, w)} AS spend_{s}", f"sum(quantity){within(t, w)} AS items_{s}", f"sum(orders){within(t, w)} AS orders_{s}"]
        parts.append(("p", f"SELECT c, {', '.join(a)} FROM pd WHERE {seen} GROUP BY c"))
        a = ["avg(unit_price) AS unit_price_mean", "stddev_samp(unit_price) AS unit_price_sd", "max(unit_price) AS unit_price_max",
             f"avg(unit_price) FILTER (WHERE day > {t - 90}) AS unit_price_mean_90d", f"count(product) FILTER (WHERE day > {t - 90} AND us = product_first) AS novel"]
        for w, s in WINDOWS:
            for what, plural in (("product", "products"), ("category", "categories")):
                before = f" AND ({what}_day IS NULL OR {what}_day <= {t - w})" if w else f" AND {what}_day IS NULL"
                a.append(f"count({what}){within(t, w, 'true' + before)} AS {plural}_{s}")
        parts.append(("l", f"SELECT c, {', '.join(a)} FROM lines WHERE {seen} GROUP BY c"))
        parts.append(("o", f"SELECT c, max(amount) AS largest, avg(since_view) FILTER (WHERE since_view <= {PATIENCE}) AS view_wait FROM orders WHERE {seen} GROUP BY c"))
        parts.append(("f", "SELECT c, " + ", ".join(f"sum(amount){within(t, w)} AS refund_{s}" for w, s in WINDOWS) + f" FROM returns WHERE {seen} GROUP BY c"))

        # the clock
        for name, source in (("h", "hours"), ("w", "weekdays"), ("bh", "bought_hours"), ("bw", "bought_weekdays"), ("bm", "bought_months")):
            extra = ""
            if name == "h":
                extra = "".join(f", sum(n{j}) FILTER (WHERE place BETWEEN {lo} AND {lo + 5}) AS q{lo}" for lo in (0, 6, 12, 18))
            if name == "w":
                extra = f", sum(n{j}) FILTER (WHERE place >= 6) AS weekend"
            if name == "bm":
                extra = "".join(f", sum(n{j}) FILTER (WHERE (place + 2) // 3 = {q}) AS q{q}" for q in (1, 2, 3, 4))
            parts.append((name, f"SELECT c, max(100 * n{j}::BIGINT - place) AS best, sum(n{j}) AS n, sum(n{j}::BIGINT * n{j}::BIGINT) AS squares{extra} FROM {source} WHERE n{j} > 0 GROUP BY c"))

        # visits and carts
        def whole(name, select, keys):
            again = f"SELECT {select} FROM {name}_events JOIN (SELECT {keys} FROM {name}s WHERE first_day <= {t} AND day > {t}) USING ({keys}) WHERE {seen} GROUP BY {keys}"
            return f"(SELECT * FROM {name}s WHERE {seen} UNION ALL BY NAME {again})"
        keys = "c, run, no_session"
        a = [f"count(*){within(t, w)} AS sessions_{s}" for w, s in WINDOWS]
        a += ["count(*) AS visits", "sum(ended - begun) AS micros", "sum(n) AS events", "count(*) FILTER (WHERE n = 1) AS bounced", "count(*) FILTER (WHERE converted) AS converted"]
        parts.append(("v", f"SELECT c, {', '.join(a)} FROM {whole('visit', self.visit, keys)} GROUP BY c"))
        abandoned = "fate = 'abandoned'"
        recent = f"day > {t - 90}"
        fate = lambda end: f"CASE WHEN next_purchase < {instant} AND next_purchase <= {end} + {PATIENCE} THEN 'bought' WHEN {end} + {PATIENCE} < {instant} THEN 'abandoned' ELSE 'open' END AS fate"
        parts.append(("k", f"""SELECT c, count(*) AS carts, count(*) FILTER (WHERE {recent}) AS carts_90d, sum(amount) AS value, sum(amount) FILTER (WHERE {recent}) AS value_90d, sum(n) AS additions,
 count(*) FILTER (WHERE {abandoned}) AS abandoned, count(*) FILTER (WHERE {abandoned} AND {recent}) AS abandoned_90d, sum(amount) FILTER (WHERE {abandoned}) AS lost,
 sum(amount) FILTER (WHERE {abandoned} AND {recent}) AS lost_90d, count(*) FILTER (WHERE fate <> 'open') AS decided, avg(next_purchase - begun) FILTER (WHERE fate = 'bought') AS wait,
 sum(amount) FILTER (WHERE fate <> 'open') AS decided_value, avg(since_view) FILTER (WHERE since_view <= {PATIENCE}) AS view_wait
 FROM (SELECT *, {fate('ended')} FROM {whole('cart', self.cart, keys)} JOIN cart_ends USING ({keys})) GROUP BY c"""))
        parts.append(("q", f"SELECT c, count(*) FILTER (WHERE {abandoned}) AS abandoned, count(*) FILTER (WHERE fate <> 'open') AS decided FROM (SELECT *, {fate('us')} FROM checkouts WHERE {seen}) GROUP BY c"))
        viewed, carted, bought = f"view <= {t}", f"cart_add <= {t}", f"purchase <= {t}"
        count = lambda *conds: f"count(*) FILTER (WHERE {' AND '.join(conds)})"
        parts.append(("g", f"SELECT c, {count(viewed)} AS viewed, {count(carted)} AS carted, {count(viewed, carted)} AS viewed_carted, {count(viewed, bought)} AS viewed_bought, {count(carted, bought)} AS carted_bought, {count(f'near & {1 << j} <> 0')} AS viewed_30d FROM products_of GROUP BY c"))
        parts.append(("z", f"SELECT c, advances{j} AS advances, retreats{j} AS retreats, advances{j}_90d AS advances_90d, retreats{j}_90d AS retreats_90d FROM moves"))
        parts.append(("n", f"SELECT c, n{j} AS viewed FROM categories_of"))
        parts.append(("u", f"SELECT c, used{j} AS used, near{j} AS used_30d, most{j} AS most FROM features_of"))

        # messages
        a = []
        for i, ch in enumerate(CHANNELS):
            pick = lambda v: f"max({v}) FILTER (WHERE name = {i})"
            a += [f"{pick(f'{r}{j}_90d')} AS {ch}_{r}_90d" for r in ("sent", "open", "click")] + [f"{pick(f'{r}{j}')} AS {ch}_{r}" for r in ("sent", "open", "click")]
            a += [f"{pick(f'responded{j}')} AS {ch}_responded", f"{pick(f'response{j}')} AS {ch}_response"]
        a.append(f"max(100 * open{j} - name - 1) FILTER (WHERE open{j} > 0) AS best")
        parts.append(("c", f"SELECT c, {', '.join(a)} FROM by_channel GROUP BY c"))
        is_open, is_sent = f"role = {CODE['message_open']}", f"role = {CODE['message_sent']}"
        parts.append(("m", f"""SELECT c, avg(next_open - us) FILTER (WHERE {is_sent} AND next_open < {instant}) AS response, max(nth) FILTER (WHERE {is_open} AND channel IS NOT NULL) AS most,
 count(channel) FILTER (WHERE {is_open}) AS opens, count(*) FILTER (WHERE {is_sent}) AS sent, max(sent_so_far) FILTER (WHERE {is_open}) AS sent_before FROM m WHERE {seen} GROUP BY c"""))

        # loyalty, feedback
        live = "role <> {cancel} AND (last_cancel IS NULL OR us > last_cancel)".format(**CODE)
        # Of a channel's last instant a cancellation counts.
        said = ", ".join(f"max(us * 2 + (role = {CODE['cancel']})::INTEGER) FILTER (WHERE name = {i}) & 1 AS {ch}_unsubscribed" for i, ch in enumerate(CHANNELS))
        parts.append(("s", f"""SELECT c, {said}, count(last_cancel) > 0 AS cancelled, count(*) FILTER (WHERE {live}) > 0 AS subscribed, min(day) FILTER (WHERE {live}) AS begun, count(*) FILTER (WHERE {live} AND role = {CODE['renew']}) AS renewals,
 count(*) FILTER (WHERE role = {CODE['subscribe']} AND us > first_cancel) AS again
 FROM (SELECT *, max(us) FILTER (WHERE role = {CODE['cancel']}) OVER (PARTITION BY c) AS last_cancel, min(us) FILTER (WHERE role = {CODE['cancel']}) OVER (PARTITION BY c) AS first_cancel
  FROM subscriptions WHERE {seen}) GROUP BY c"""))
        parts.append(("y", f"""SELECT c, count(*) AS ratings, sum(rating)::DOUBLE AS total, min(rating) AS lowest, min(rating) FILTER (WHERE us = last_rated) AS latest, max(day) AS last_day
 FROM (SELECT *, max(us) OVER (PARTITION BY c) AS last_rated FROM ratings WHERE {seen}) GROUP BY c"""))

        # the columns, in the catalogue's order
        put = lambda name, expression: out.append((name, expression))
        tenure = "(d.first_age + 1)"
        put("days_since_first_event", "d.first_age")
        put("days_since_last_event", "d.last_age")
        put("days_since_first_purchase", "p.first_age")
        for r in ROLES[1:]:
            put(f"days_since_last_{r}", f"{t} - r.{r}_last{j}")
        for _, s in WINDOWS:
            put(f"event_count_{s}", f"d.event_count_{s}")
            put(f"active_days_{s}", f"d.active_days_{s}")
        for r in ROLES:
            for _, s in WINDOWS:
                put(f"{r}_count_{s}", n(r, s))
        for _, s in WINDOWS:
            put(f"spend_{s}", money(f"p.spend_{s}"))
            put(f"refund_{s}", money(f"f.refund_{s}"))
            put(f"orders_{s}", f"coalesce(p.orders_{s}, 0)")
            put(f"purchase_days_{s}", f"d.purchase_days_{s}")
            put(f"items_{s}", f"coalesce(p.items_{s}, 0)::DOUBLE")
        orders, spend = "p.orders_lifetime", "p.spend"
        put("average_order_value", f"{money(spend)} / {orders}")
        put("largest_order", "o.largest::DOUBLE / 1e4")
        put("return_share", f"CASE WHEN {spend} > 0 THEN coalesce(f.refund_lifetime, 0)::DOUBLE / {spend}::DOUBLE END")
        put("first_day_spend", f"CASE WHEN p.lines > 0 THEN {money('p.first_day_spend')} END")
        put("repeat_day_spend_mean", f"{money('p.later_spend')} / nullif(greatest(d.purchase_days_lifetime - 1, 0), 0)")
        for _, s in WINDOWS:
            put(f"net_spend_{s}", f"(coalesce(p.spend_{s}, 0) - coalesce(f.refund_{s}, 0))::DOUBLE / 1e4")
        positive = lambda part: f"CASE WHEN {spend} > 0 THEN {part}::DOUBLE / {spend} END"
        put("largest_order_share", positive("o.largest"))
        # cadence
        put("purchase_gap_mean", "p.gap_mean")
        put("purchase_gap_sd", "p.gap_sd")
        put("purchase_gap_cv", "p.gap_sd / p.gap_mean")
        for g in ("min", "max", "last"):
            put(f"purchase_gap_{g}", f"p.gap_{g}")
        put("purchase_overdue_ratio", f"({t} - p.last_day) / p.gap_mean")
        put("active_day_gap_mean", "(d.last_day - d.first_day) / nullif(d.active_days - 1, 0)")
        # breadth
        for _, s in WINDOWS:
            put(f"products_{s}", f"coalesce(l.products_{s}, 0)")
            put(f"categories_{s}", f"coalesce(l.categories_{s}, 0)")
        put("products_viewed_lifetime", "coalesce(g.viewed, 0)")
        put("channels_lifetime", "coalesce(bit_count(d.touched), 0)")
        put("product_repeat_share", "1 - l.products_lifetime / nullif(p.with_product, 0)")
        put("favourite_product_share", "p.product_most / nullif(p.with_product, 0)")
        put("favourite_category_share", "p.category_most / nullif(p.with_category, 0)")
        put("category_entropy", "CASE WHEN p.with_category > 0 THEN log2(p.with_category) - p.entropy_sum / p.with_category END")
        put("category_spend_concentration", "CASE WHEN p.category_amount > 0 THEN p.concentration / pow(p.category_amount, 2) END")
        # sessions
        for _, s in WINDOWS:
            put(f"sessions_{s}", f"coalesce(v.sessions_{s}, 0)")
        put("session_minutes_mean", "v.micros / 6e7 / v.visits")
        put("session_events_mean", "v.events / v.visits")
        put("session_bounce_share", "v.bounced / v.visits")
        put("session_conversion_share", "v.converted / v.visits")
        put("sessions_per_30d", f"30 * coalesce(v.visits, 0) / {tenure}")
        # rates
        put("events_per_30d", f"30 * d.events / {tenure}")
        put("purchase_days_per_30d", f"30 * d.purchase_days_lifetime / {tenure}")
        put("items_per_order", f"coalesce(p.items_lifetime, 0)::DOUBLE / {orders}")
        for name, r in (("coupons", "coupon"), ("tickets", "ticket"), ("reviews", "review")):
            put(f"{name}_per_order", f"{n(r)} / {orders}")
        for r in ("open", "click"):
            put(f"message_{r}_rate", f"{n('message_' + r)} / nullif({n('message_sent')}, 0)")
        # trend
        ratio = lambda short, long, scale="3": f"CASE WHEN {long} > 0 THEN {scale} * coalesce({short}, 0)::DOUBLE / {long}::DOUBLE END"
        put("event_trend_30d_90d", ratio("d.event_count_30d", "d.event_count_90d"))
        put("engaged_day_trend_30d_90d", ratio("d.engaged_days_30", "d.engaged_days_90"))
        put("visit_day_trend_30d_90d", ratio("d.visit_days_30", "d.visit_days_90"))
        put("purchase_day_trend_30d_90d", ratio("d.purchase_days_30d", "d.purchase_days_90d"))
        put("spend_trend_30d_90d", ratio("p.spend_30d", "p.spend_90d"))
        put("event_trend_90d_365d", ratio("d.event_count_90d", "d.event_count_365d", "365 / 90"))
        put("purchase_day_trend_90d_365d", ratio("d.purchase_days_90d", "d.purchase_days_365d", "365 / 90"))
        put("spend_trend_90d_365d", ratio("p.spend_90d", "p.spend_365d", "365 / 90"))
        old = "CASE WHEN d.first_age >= 179 THEN {} END"
        put("engaged_day_slope_180d", old.format("coalesce(d.engaged_slope, 0) / 17.5"))
        put("purchase_day_slope_180d", old.format("coalesce(d.purchase_slope, 0) / 17.5"))
        put("spend_slope_180d", old.format("coalesce(p.spend_slope, 0)::DOUBLE / 2e4 / 17.5"))
        runs = lambda bits: f"coalesce(list_max(list_transform(string_split({bits}, '0'), lambda x: length(x))), 0)"
        leading = lambda bits: f"coalesce(length({bits}) - length(ltrim({bits}, '1')), 0)"
        put("engaged_streak_days", "coalesce(d.streak, 0)")
        put("engaged_streak_days_longest", "coalesce(d.longest, 0)")
        put("engaged_streak_weeks", leading("d.weeks"))
        put("engaged_streak_weeks_longest", runs("d.weeks"))
        put("purchase_streak_months", leading("d.months30"))
        put("purchase_gap_burstiness", "(p.gap_sd - p.gap_mean) / (p.gap_sd + p.gap_mean)")
        put("engaged_day_gap_burstiness", "(d.gap_sd - d.gap_mean) / (d.gap_sd + d.gap_mean)")
        # timing
        mode = lambda a: f"CASE WHEN {a}.best IS NOT NULL THEN (100 - {a}.best % 100) % 100 END"
        concentration = lambda a: f"{a}.squares::DOUBLE / ({a}.n * {a}.n)"
        put("activity_weekend_share", "coalesce(w.weekend, 0) / w.n")
        for lo, part in ((0, "night"), (6, "morning"), (12, "afternoon"), (18, "evening")):
            put(f"activity_{part}_share", f"coalesce(h.q{lo}, 0) / h.n")
        put("activity_hour_mode", mode("h"))
        put("activity_weekday_mode", mode("w"))
        put("activity_hour_concentration", concentration("h"))
        put("activity_weekday_concentration", concentration("w"))
        put("purchase_weekend_share", "coalesce(p.weekend, 0) / p.lines")
        for part in ("night", "morning", "afternoon", "evening"):
            put(f"purchase_{part}_share", f"p.{part} / p.lines")
        put("purchase_hour_mode", mode("bh"))
        put("purchase_weekday_mode", mode("bw"))
        put("purchase_hour_concentration", concentration("bh"))
        put("purchase_weekday_concentration", concentration("bw"))
        put("purchase_month_mode", mode("bm"))
        put("november_december_spend_share", f"CASE WHEN {spend} > 0 THEN coalesce(p.festive, 0)::DOUBLE / {spend}::DOUBLE END")
        put("spend_year_ago_30d", money("p.year_ago"))
        put("spend_year_ago_next_30d", money("p.year_ago_next"))
        put("purchase_month_concentration", concentration("bm"))
        for q in (1, 2, 3, 4):
            put(f"purchase_quarter_{q}_share", f"coalesce(bm.q{q}, 0) / bm.n")
        put("purchase_days_year_ago_30d", "coalesce(p.days_year_ago, 0)")
        put("purchase_days_year_ago_next_30d", "coalesce(p.days_year_ago_next, 0)")
        # carts
        put("carts_90d", "coalesce(k.carts_90d, 0)")
        put("carts_lifetime", "coalesce(k.carts, 0)")
        put("cart_value_90d", money("k.value_90d"))
        put("cart_value_mean", f"{money('k.value')} / k.carts")
        put("cart_additions_mean", "k.additions / k.carts")
        put("carts_abandoned_90d", "coalesce(k.abandoned_90d, 0)")
        put("carts_abandoned_lifetime", "coalesce(k.abandoned, 0)")
        put("cart_abandoned_value_90d", money("k.lost_90d"))
        put("cart_abandoned_value_lifetime", money("k.lost"))
        put("cart_abandonment_share", "k.abandoned / nullif(k.decided, 0)")
        put("checkout_abandonment_share", "q.abandoned / nullif(q.decided, 0)")
        put("cart_to_purchase_minutes_mean", "k.wait / 6e7")
        put("view_to_purchase_minutes_mean", "o.view_wait / 6e7")
        put("products_viewed_not_bought", "coalesce(g.viewed - g.viewed_bought, 0)")
        put("products_carted_not_bought", "coalesce(g.carted - g.carted_bought, 0)")
        put("view_to_cart_share", "g.viewed_carted / nullif(g.viewed, 0)")
        put("cart_to_purchase_share", "g.carted_bought / nullif(g.carted, 0)")
        put("view_to_purchase_share", "g.viewed_bought / nullif(g.viewed, 0)")
        put("cart_abandoned_value_share", "CASE WHEN k.decided_value > 0 THEN coalesce(k.lost, 0)::DOUBLE / k.decided_value END")
        put("view_to_cart_minutes_mean", "k.view_wait / 6e7")
        # messages
        for ch in CHANNELS:
            put(f"{ch}_sent_90d", f"coalesce(c.{ch}_sent_90d, 0)")
            put(f"{ch}_opened_90d", f"coalesce(c.{ch}_open_90d, 0)")
            put(f"{ch}_clicked_90d", f"coalesce(c.{ch}_click_90d, 0)")
            put(f"{ch}_sent_lifetime", f"coalesce(c.{ch}_sent, 0)")
            put(f"{ch}_open_rate", f"c.{ch}_open / nullif(c.{ch}_sent, 0)")
            put(f"{ch}_click_rate", f"c.{ch}_click / nullif(c.{ch}_sent, 0)")
            put(f"days_since_last_{ch}_response", f"{t} - c.{ch}_responded")
        put("message_response_hours_mean", "m.response / 3.6e9")
        put("preferred_message_channel_share", "m.most / nullif(m.opens, 0)")
        put("messages_since_last_open", "coalesce(m.sent - coalesce(m.sent_before, 0), 0)")
        for ch in CHANNELS:
            put(f"{ch}_unsubscribed", f"s.{ch}_unsubscribed")
            put(f"{ch}_response_hours_mean", f"c.{ch}_response / 3.6e9")
        put("preferred_message_channel", mode("c"))
        # loyalty
        now = (EPOCH + datetime.timedelta(t)).year * 12 + (EPOCH + datetime.timedelta(t)).month
        put("engaged_months_lifetime", "d.engaged_months")
        put("engaged_month_share", f"d.engaged_months / ({now} - d.first_month + 1)")
        put("purchase_months_lifetime", "coalesce(p.months, 0)")
        put("purchase_month_share", f"p.months / ({now} - p.first_month + 1)")
        put("repeat_purchase_day_share", "1 - 1 / nullif(d.purchase_days_lifetime, 0)")
        put("advocacy_share", f"({n('referral')} + {n('review')} + {n('social_engage')}) / d.events")
        put("subscribed", "coalesce(s.subscribed, false)::INTEGER")
        put("subscription_days", f"{t} - s.begun")
        put("subscription_renewals", "CASE WHEN s.subscribed THEN s.renewals END")
        put("resubscriptions_lifetime", "coalesce(s.again, 0)")
        put("subscription_cancelled", "coalesce(s.cancelled AND NOT s.subscribed, false)::INTEGER")
        put("advocacy_events_90d", " + ".join(n(r, "90d") for r in ("referral", "review", "social_engage")))
        # feedback
        put("tickets_per_30d", f"30 * {n('ticket')} / {tenure}")
        put("ticket_gap_mean", "d.ticket_span / nullif(d.ticket_days - 1, 0)")
        put("ratings_lifetime", "coalesce(y.ratings, 0)")
        put("rating_mean", "y.total / y.ratings")
        put("rating_min", "y.lowest")
        put("rating_last", "y.latest")
        put("rating_trend", "y.latest - y.total / y.ratings")
        put("days_since_last_rating", f"{t} - y.last_day")
        # price
        for name in ("mean", "sd", "max", "mean_90d"):
            put(f"unit_price_{name}", f"l.unit_price_{name}")
        put("line_amount_mean", f"{spend}::DOUBLE / 1e4 / nullif(p.priced, 0)")
        put("line_amount_max", "p.line_max::DOUBLE / 1e4")
        put("coupons_per_purchase_day", f"{n('coupon')} / nullif(d.purchase_days_lifetime, 0)")
        put("coupon_day_share", "d.coupon_days / nullif(d.purchase_days_lifetime, 0)")
        put("novelty_share_90d", "l.novel / nullif(p.with_product_90d, 0)")
        put("coupon_day_spend_share", positive("coalesce(p.coupon_spend, 0)"))
        put("discount_share", "coalesce(-p.minus, 0) / p.plus")
        put("below_own_price_share", "p.cheaper / nullif(p.comparable, 0)")
        # journey
        stage = lambda bits: "CASE " + " ".join(f"WHEN {bits} & {mask(FUNNEL[i - 1])} <> 0 THEN {i}" for i in (4, 3, 2, 1)) + " ELSE 0 END"
        put("funnel_stage_30d", stage("d.roles_30"))
        put("funnel_stage_90d", stage("d.roles_90"))
        put("funnel_stage_days", f"{t} - coalesce(d.first_purchase_30d, d.first_checkout_30d, d.first_cart_add_30d, d.first_view_30d)")
        put("view_channels_lifetime", "coalesce(bit_count(d.viewed), 0)")
        put("purchase_channels_lifetime", "coalesce(bit_count(d.paid), 0)")
        put("message_open_channels_lifetime", "coalesce(bit_count(d.opened), 0)")
        put("channels_first_7d", "coalesce(bit_count(d.touched_7d), 0)")
        put("first_channel_is_last", "(d.first_touch % 64 = 63 - d.last_touch % 64)::INTEGER")
        put("roles_30d", "coalesce(bit_count(d.roles_30), 0)")
        put("roles_lifetime", "bit_count(d.roles)")
        put("role_entropy", f"log2(d.events) - r.log_sum{j} / d.events")
        put("role_change_share", "d.changes / nullif(d.events - 1, 0)")
        put("first_channel", f"{self.kind('(d.first_touch & 63)')} + 1")
        put("last_channel", f"{self.kind('(63 - (d.last_touch & 63))')} + 1")
        for shift, name in ((0, "last_step"), (5, "last_step_but_one"), (10, "last_step_but_two")):
            put(name, f"nullif(d.steps >> {shift} & 31, {NO_STEP})")
        put("funnel_advances_90d", "coalesce(z.advances_90d, 0)")
        put("funnel_retreats_90d", "coalesce(z.retreats_90d, 0)")
        put("funnel_advance_share", "z.advances / nullif(z.advances + z.retreats, 0)")

        # occasions
        for o in OCCASIONS:
            put(f"{o}_purchase_day_share", f"p.{o}_days / nullif(d.purchase_days_lifetime, 0)")
            put(f"{o}_spend_share", positive(f"coalesce(p.{o}_spend, 0)"))
            put(f"{o}_spend_last_season", money(f"p.{o}_latest"))
            put(f"days_since_{o}_purchase", f"{t} - p.{o}_last")
        # usage
        put("stickiness_30d", f"d.engaged_days_30 / least(30, {tenure})")
        put("engaged_week_share_84d", "coalesce(bit_count(d.weeks_84), 0) / least(12, d.first_age // 7 + 1)")
        put("active_day_gap_sd", "d.active_gap_sd")
        put("active_day_gap_max", "d.active_gap_max")
        put("active_overdue_ratio", "d.last_age * (d.active_days - 1) / nullif(d.last_day - d.first_day, 0)")
        for what in ("mean", "sd", "max"):
            put(f"visit_day_gap_{what}", f"d.visit_gap_{what}")
        put("visit_overdue_ratio", "d.visit_age / d.visit_gap_mean")
        for name, times in (("views_per_visit_day", n("view")), ("searches_per_visit_day", n("search")), ("visit_day_cart_share", "d.cart_days"), ("visit_day_purchase_share", "d.purchase_days_lifetime")):
            put(name, f"{times} / nullif(d.visit_days, 0)")
        put("products_viewed_30d", "coalesce(g.viewed_30d, 0)")
        put("categories_viewed_lifetime", "coalesce(n.viewed, 0)")
        put("feature_use_days_30d", "d.feature_days_30")
        put("feature_uses_per_day_90d", f"{n('feature_use', '90d')} / nullif(d.feature_days_90, 0)")
        put("features_used_30d", "coalesce(u.used_30d, 0)")
        put("features_used_lifetime", "coalesce(u.used, 0)")
        put("favourite_feature_share", f"u.most / nullif({n('feature_use')}, 0)")

        with_parts = ",\n".join(f"{name} AS ({sql})" for name, sql in parts)
        joins = " ".join(f"LEFT JOIN {name} ON d.c = {name}.c" for name, _ in parts if name != "d")
        joins += " JOIN roles r ON d.c = r.c"
        columns = ",\n  ".join(f"{e} AS {name}" for name, e in out)
        x(f"COPY (WITH {with_parts}\nSELECT customers.customer_id,\n  {columns}\nFROM d JOIN customers ON d.c = customers.c {joins})"
          f" TO '{target(self.job, date, k)}' (FORMAT parquet)")

    def first(self):
        if not hasattr(self, "first_day"):
            self.first_day = self.con.execute("SELECT min(day) FROM events").fetchone()[0]
        return self.first_day


def catalogue(con, job, encoded):
    """The script that `shoal features --sql --config` prints, its results joined."""
    for date in job["dates"]:
        with open(job["scripts"][date]) as f:
            statements = [s for s in f.read().split(";\n") if s.strip()]
        results = []
        for s in statements:
            body = "\n".join(line for line in s.strip().splitlines() if not line.startswith("--")).rstrip(";")
            if body.startswith("CREATE OR REPLACE TABLE events"):
                if date == job["dates"][0]:
                    con.execute(body)
                    if encoded:
                        encode(con)
            elif body.startswith("CREATE OR REPLACE TEMP VIEW history"):
                con.execute("DROP TABLE IF EXISTS history")
                con.execute(body.replace("TEMP VIEW", "TEMP TABLE"))
            else:
                name = f"family_{len(results)}"
                con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {body}")
                results.append(name)
        joins = " ".join(f"JOIN {r} USING (customer_id)" for r in results[1:])
        select = "*"
        if encoded:
            joins, select = joins + " JOIN customers ON customer_id = code", "word AS customer_id, * EXCLUDE (customer_id, word, code)"
        con.execute(f"COPY (SELECT {select} FROM {results[0]} {joins}) TO '{target(job, date)}' (FORMAT parquet)")


def encode(con):
    """Events of integers and ENUMs, ordered as the texts are."""
    con.execute("CREATE TABLE customers AS SELECT word, CAST(row_number() OVER (ORDER BY word) AS INTEGER) AS code FROM (SELECT DISTINCT customer_id AS word FROM events)")
    for name, column in (("products", "product_id"), ("categories", "category"), ("campaigns", "campaign_id")):
        con.execute(f"CREATE TABLE {name} AS SELECT word, CAST(row_number() OVER (ORDER BY word) AS INTEGER) AS code FROM (SELECT DISTINCT {column} AS word FROM events WHERE {column} IS NOT NULL)")
    con.execute("CREATE TYPE a_role AS ENUM (SELECT DISTINCT role FROM events ORDER BY 1)")
    con.execute("CREATE TYPE a_channel AS ENUM (SELECT DISTINCT channel FROM events WHERE channel IS NOT NULL ORDER BY 1)")
    con.execute("""CREATE TABLE coded AS SELECT customers.code AS customer_id, event_time, role::a_role AS role, amount, quantity, rating, products.code AS product_id,
 categories.code AS category, channel::a_channel AS channel, campaigns.code AS campaign_id, CASE WHEN session_id IS NOT NULL THEN hash(session_id) END AS session_id
 FROM events JOIN customers ON customer_id = customers.word LEFT JOIN products ON product_id = products.word
 LEFT JOIN categories ON category = categories.word LEFT JOIN campaigns ON campaign_id = campaigns.word""")
    con.execute("DROP TABLE events")
    con.execute("ALTER TABLE coded RENAME TO events")


def target(job, date, part=0):
    where = os.path.join(job["out"], f"ds={date}")
    os.makedirs(where, exist_ok=True)
    return os.path.join(where, f"part-{part:03d}.parquet")


def types_of(job, role):
    return "('" + "', '".join(e for e, r in job["roles"].items() if r == role) + "')"


def counts(con, job):
    """The windowed counts and sums of frequency and money, straight from the files:
    by customer and type first, and those few rows then spread over columns."""
    date = job["dates"][-1]
    t = day_number(date)
    a = []
    for w, s in WINDOWS:
        a += [f"count(*){within(t, w)} AS n_{s}"]
        a += [f"sum({v}){within(t, w)} AS {name}_{s}" for name, v in (("amount", "cents"), ("refund", "abs(cents)"), ("items", "quantity"))]
    spread = []
    for _, s in WINDOWS:
        spread.append(f"sum(n_{s})::BIGINT AS event_count_{s}")
    known = ", ".join(f"'{e}'" for e in job["roles"])
    for r in ROLES:
        these = f"event_type IN {types_of(job, r)}" if r in job["roles"].values() else ""
        if r == "other":
            these = f"coalesce(event_type NOT IN ({known}), true)"
        for _, s in WINDOWS:
            spread.append(f"coalesce(sum(n_{s}) FILTER (WHERE {these}), 0)::BIGINT AS {r}_count_{s}" if these else f"0 AS {r}_count_{s}")
    bought, returned = f"event_type IN {types_of(job, 'purchase')}", f"event_type IN {types_of(job, 'return')}"
    for _, s in WINDOWS:
        spend, refund = f"coalesce(sum(amount_{s}) FILTER (WHERE {bought}), 0)", f"coalesce(sum(refund_{s}) FILTER (WHERE {returned}), 0)"
        spread += [f"{spend} / 1e4 AS spend_{s}", f"{refund} / 1e4 AS refund_{s}", f"({spend} - {refund}) / 1e4 AS net_spend_{s}",
                   f"coalesce(sum(items_{s}) FILTER (WHERE {bought}), 0)::DOUBLE AS items_{s}"]
    con.execute(f"""COPY (SELECT customer_id, {', '.join(spread)} FROM (SELECT customer_id, event_type, {', '.join(a)}
 FROM (SELECT customer_id, event_type, round(amount * 10000) AS cents, quantity, CAST(epoch_us(event_time) // 86400000000 AS INTEGER) AS day
  FROM read_parquet('{job["files"]}', hive_partitioning = false) WHERE customer_id IS NOT NULL AND epoch_us(event_time) < {(t + 1) * 86_400_000_000})
 GROUP BY customer_id, event_type) GROUP BY customer_id) TO '{target(job, date)}' (FORMAT parquet)""")


def plain(con, job):
    """Events, purchases and spend a customer at one date, straight from the files."""
    date = job["dates"][-1]
    bought = f"event_type IN {types_of(job, 'purchase')}"
    con.execute(f"""COPY (SELECT customer_id, count(*) AS event_count_lifetime, count(*) FILTER (WHERE {bought}) AS purchase_count_lifetime,
 coalesce(sum(round(amount * 10000)) FILTER (WHERE {bought}), 0) / 1e4 AS spend_lifetime
 FROM read_parquet('{job["files"]}', hive_partitioning = false)
 WHERE customer_id IS NOT NULL AND epoch_us(event_time) < {(day_number(date) + 1) * 86_400_000_000}
 GROUP BY customer_id) TO '{target(job, date)}' (FORMAT parquet)""")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("job", help="JSON file that features.py wrote")
    p.add_argument("--profile", action="store_true", help="print the slowest statements")
    a = p.parse_args()
    with open(a.job) as f:
        job = json.load(f)
    con = duckdb.connect(job["database"])
    for s in (f"threads = {job['threads']}", f"memory_limit = '{job['memory_limit']}'", f"temp_directory = '{job['temp']}'",
              "preserve_insertion_order = false", "enable_progress_bar = false", "TimeZone = 'UTC'"):
        con.execute("SET " + s)
    if a.profile:
        import time
        spent = []

        class Timed:
            def execute(self, sql, *args):
                began = time.monotonic()
                r = con.execute(sql, *args)
                spent.append((time.monotonic() - began, " ".join(sql.split())[:110]))
                return r
        use = Timed()
    else:
        use = con
    run = {"tuned": lambda: Tuned(use, job).run(), "catalogue": lambda: catalogue(use, job, False), "encoded": lambda: catalogue(use, job, True),
           "counts": lambda: counts(use, job), "plain": lambda: plain(use, job)}
    run[job["variant"]]()
    con.close()
    if a.profile:
        for s, sql in sorted(spent, reverse=True)[:25]:
            print(f"{s:7.2f} {sql}", file=sys.stderr)


if __name__ == "__main__":
    main()
