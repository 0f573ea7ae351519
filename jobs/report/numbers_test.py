"""Runs every query of a report in DuckDB over the files that the run published, and
compares with the page: the tables cell by cell, the readings' numbers with the tables."""
import datetime
import decimal
import json
import math
import os
import re
import sys
from html.parser import HTMLParser

import duckdb


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.figures, self.fig, self.texts = [], None, {}
        self.stack, self.buffer, self.name = [], None, ""
        self.leads, self.cards, self.card, self.section = [], [], None, ""

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        cls = (a.get("class") or "").split()
        if tag == "td":
            self.close_cell()
        if tag == "article" and "fig" in cls:
            self.fig = {"id": a["id"], "rows": [], "sql": None, "reading": "", "about": "", "marks": [], "heads": []}
            self.figures.append(self.fig)
        if tag == "section":
            self.section = a.get("id", "")
        if tag == "article" and "seg" in cls:
            self.card = {"facts": [], "texts": []}
            self.cards.append(self.card)
        # A mark's tip, and what is written at it or in it. Ticks and names of axes are no numbers
        # of the tables.
        if self.fig is not None and (tag == "title" and "id" not in a or tag == "text" and set(cls) & {"v"}):
            self.buffer, self.attrs, self.kind = [], a, "mark"
        if tag == "li" or self.card is not None and tag in ("dd", "p") or tag == "p" and "about" in cls:
            self.buffer, self.attrs, self.kind = [], a, tag
        if tag in ("th", "td", "pre", "summary", "h4") or tag == "p" and "reading" in cls:
            self.buffer, self.attrs, self.kind = [], a, "reading" if tag == "p" else tag
        if tag == "tr" and self.fig is not None:
            self.row = []

    def close_cell(self):
        """A cell ends where the next begins, or its row ends."""
        if self.buffer is not None and self.kind == "td":
            self.row.append((self.attrs.get("data-v"), "".join(self.buffer)))
            self.buffer = None

    def handle_endtag(self, tag):
        if tag in ("td", "tr"):
            self.close_cell()
        if self.buffer is not None and self.kind == {"title": "mark", "text": "mark"}.get(tag, tag) and self.kind in ("mark", "li", "dd", "p"):
            text = "".join(self.buffer)
            if self.kind == "mark":
                self.fig["marks"].append(text)
            elif self.kind == "li":
                self.leads.append((self.section, text))
            elif self.card is not None:
                self.card["facts" if self.kind == "dd" else "texts"].append(text)
            elif self.fig is not None:
                self.fig["about"] = text
            self.buffer = None
        if tag == "article" and self.card is not None:
            self.card = None
        text = "".join(self.buffer) if self.buffer is not None else ""
        if tag == "th" and self.fig is not None:
            self.fig["heads"].append(text)
        elif tag == "tr" and self.row:
            self.fig["rows"].append(self.row)
            self.row = []
        elif tag == "summary":
            self.name = text
        elif tag == "pre":
            if self.fig is not None and self.name == "SQL":
                self.fig["sql"] = text
            else:
                self.texts[self.name] = text
        elif tag == "p" and self.buffer is not None:
            self.fig["reading"] = text
        elif tag == "article":
            self.fig = None
        if tag in ("th", "td", "pre", "summary", "h4", "p"):
            self.buffer = None

    def handle_data(self, data):
        if self.buffer is not None:
            self.buffer.append(data)


def same(value, cell):
    exact, shown = cell
    text = shown if exact is None else exact
    if value is None or isinstance(value, float) and math.isnan(value):
        return text in ("", "–")
    if isinstance(value, bool):
        return text in (("yes", "true") if value else ("no", "false"))
    if isinstance(value, (int, float, decimal.Decimal)):
        try:
            number = float(text)
        except ValueError:
            return False
        return math.isclose(number, float(value), rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return text == value.isoformat()
    return text == str(value)


PLAIN = re.compile(r"−?\d[\d,]*(\.\d+)?%?")

# Steps that a value falls in are shown by their bounds, not by their number.
STEPS = {("alive", 0), ("alive", 1), ("silence", 0)}


def rounded(value, shown):
    """What is shown of a number is the number, rounded to the digits there are."""
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)) or not PLAIN.fullmatch(shown):
        return True
    text = shown.replace(",", "").replace("−", "-").rstrip("%")
    digits = len(text.partition(".")[2])
    want = float(value) * (100 if shown.endswith("%") else 1)
    return abs(float(text) - want) <= 0.5 * 10**-digits * (1 + 1e-6) + 1e-9 * abs(want)


NUMBER = re.compile(r"[−]?\d[\d,]*(?:\.\d+)?(?:e[-−]?\d+)?%?")


# Numbers of the tips' own words: quantiles, and hours of a clock.
QUANTILES = ["10%", "90%"]
CLOCK = re.compile(r"\b\d{1,2}:\d{2}")


def main():
    job = json.load(sys.stdin)
    page = Page()
    with open(job["page"], encoding="utf-8") as f:
        page.feed(f.read())
    os.chdir(job["out"])
    db = duckdb.connect()
    db.sql("SET threads = 2")
    views = next(t for n, t in page.texts.items() if n.startswith("Views"))
    faults, cells, queries, readings, marks = [], 0, 0, 0, 0
    db.execute(views)
    # Names of segments may have numbers, and are said beside other tables too.
    names = sorted({row[1][1] for f in page.figures if f["id"].startswith("segments-") for row in f["rows"] if len(row) > 2}, key=len, reverse=True)

    def numbers(text):
        for name in names:
            text = text.replace(name, "")
        return [n.rstrip(",") for n in NUMBER.findall(CLOCK.sub("", text))]

    for f in page.figures:
        if f["sql"] is None:
            continue
        queries += 1
        try:
            rows = db.execute(f["sql"]).fetchall()
        except Exception as e:
            faults.append(f"{f['id']}: {e}\n{f['sql']}")
            continue
        if len(rows) != len(f["rows"]):
            faults.append(f"{f['id']}: {len(rows)} rows by SQL, {len(f['rows'])} on the page\n{f['sql']}")
            continue
        for i, (want, got) in enumerate(zip(rows, f["rows"])):
            if len(want) != len(got):
                faults.append(f"{f['id']}: {len(want)} columns by SQL, {len(got)} on the page")
                break
            for j, (v, c) in enumerate(zip(want, got)):
                cells += 1
                if not same(v, c):
                    faults.append(f"{f['id']}: row {i + 1}, column {j + 1}: SQL says {v!r}, the page {c!r}\n{f['sql']}")
                elif not rounded(v, c[1]) and (f["id"], j) not in STEPS:
                    faults.append(f"{f['id']}: row {i + 1}, column {j + 1}: {v!r} is shown as {c[1]!r}")
        # A reading, a tip or a label says no number that its table does not have, counts of its
        # rows aside; of a table that was cut short the rest may have it.
        if "stays small" in f["about"]:
            continue
        known = {str(n) for n in range(0, len(f["rows"]) + 1)}
        for row in f["rows"]:
            for exact, shown in row:
                for text in (exact or "", shown):
                    known.add(text)
                    known.update(NUMBER.findall(text))
        own = [n for i, ns in job["constants"].items() if f["id"].startswith(i) for n in ns]
        reading = f["reading"]
        readings += bool(reading)
        for n in numbers(reading):
            if n not in known and n not in own:
                faults.append(f"{f['id']}: the reading says {n}, its table does not: {reading}")
        # All numbers of a mark are of one row, whose labels may have numbers too.
        rows = []
        heads = {n for head in f["heads"] for n in NUMBER.findall(head)}
        for row in f["rows"]:
            tokens = set(heads) | set(own) | set(QUANTILES)
            for exact, shown in row:
                for text in (exact or "", shown):
                    tokens.update(n.rstrip(",") for n in NUMBER.findall(text))
                try:
                    v = float(exact or shown.replace(",", ""))
                    tokens.update((f"{v:.1f}".replace("-", "−"), f"{100 * v:.0f}"))
                except ValueError:
                    pass
            rows.append(tokens)
        for text in f["marks"]:
            marks += 1
            if text == "nobody" or text.endswith("\nnobody"):
                continue
            said = set(numbers(text))
            if not any(said <= tokens for tokens in rows):
                faults.append(f"{f['id']}: no row of its table has what a mark says: {text!r}")
    # What is said at the head of a section is a figure's reading, word for word.
    said = [f["reading"].lower() for f in page.figures if f["reading"]]
    table = {f["id"]: f["rows"] for f in page.figures}
    for section, lead in page.leads:
        text = lead.lower()
        if any(text == r or text.endswith(": " + r) for r in said):
            continue
        warnings = table.get("warnings", [])
        gates = {row[1][1] for row in warnings if row[1][1].startswith("gate.")}
        counts = NUMBER.findall(lead)
        if section == "tonight" and ("gate" in lead or "warn" in lead):
            want = [str(len(gates))] * (len(gates) > 1) + [str(len(warnings))] * (len(warnings) > 0)
            if counts == want:
                continue
        if counts:
            faults.append(f"the head of {section} says what no figure reads: {lead}")
    # A card's facts are cells of its segment's rows: who it is, and what to expect of it.
    segments = [[c[1] for c in row] for i, rows in table.items() if i.startswith("segments-") for row in rows]
    outlook = [[c[1] for c in row] for i, rows in table.items() if i.startswith("outlook-") for row in rows]
    for card in page.cards:
        mine = [row for row in segments if len(row) > 2 and card["texts"] and row[2].lower() == card["texts"][0].lower() and set(card["facts"][:3]) <= set(row)]
        if not mine:
            faults.append(f"no segment's row has what a card says: {card}")
        elif len(card["facts"]) > 3 and not any(row[0] == mine[0][0] and set(card["facts"][3:]) <= set(row) for row in outlook):
            faults.append(f"the outlook of segment {mine[0][0]} is not what its card says: {card}")
    if len(page.leads) < job["leads"] or job["leads"] > 4 and not page.cards:
        faults.append(f"{len(page.leads)} sentences at the heads of sections and {len(page.cards)} cards were found")
    print(json.dumps({"faults": faults[:40], "fault_count": len(faults), "cells": cells, "queries": queries, "readings": readings, "marks": marks}))


main()
