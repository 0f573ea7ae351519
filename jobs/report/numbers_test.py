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

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        cls = (a.get("class") or "").split()
        if tag == "article" and "fig" in cls:
            self.fig = {"id": a["id"], "rows": [], "sql": None, "reading": "", "columns": 0, "names": []}
            self.figures.append(self.fig)
        if tag in ("th", "td", "pre", "summary", "h4") or tag == "p" and "reading" in cls:
            self.buffer, self.attrs, self.kind = [], a, "reading" if tag == "p" else tag
        if tag == "tr" and self.fig is not None:
            self.row = []

    def handle_endtag(self, tag):
        text = "".join(self.buffer) if self.buffer is not None else ""
        if tag == "td":
            self.row.append((self.attrs.get("data-v"), text))
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


NUMBER = re.compile(r"[−]?\d[\d,]*(?:\.\d+)?(?:e[-−]?\d+)?%?")


def main():
    job = json.load(sys.stdin)
    page = Page()
    with open(job["page"], encoding="utf-8") as f:
        page.feed(f.read())
    os.chdir(job["out"])
    db = duckdb.connect()
    db.sql("SET threads = 2")
    views = next(t for n, t in page.texts.items() if n.startswith("Views"))
    faults, cells, queries, readings = [], 0, 0, 0
    db.execute(views)
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
        # A reading says no number that its table does not have, counts of its rows aside.
        known = {str(n) for n in range(0, len(f["rows"]) + 1)}
        words = set()
        for row in f["rows"]:
            for exact, shown in row:
                for text in (exact or "", shown):
                    known.add(text)
                    known.update(NUMBER.findall(text))
                    words.add(text)
        reading = f["reading"]
        readings += bool(reading)
        for n in NUMBER.findall(reading):
            if n.rstrip(",") not in known and not any(n in w for w in job["constants"]):
                faults.append(f"{f['id']}: the reading says {n}, its table does not: {reading}")
    print(json.dumps({"faults": faults[:40], "fault_count": len(faults), "cells": cells, "queries": queries, "readings": readings}))


main()
