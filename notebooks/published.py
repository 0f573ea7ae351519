"""What a run of Shoal published, as tables in DuckDB.

    from published import Run
    run = Run()                    # the newest date of $SHOAL_OUT, or of ../sample/out
    run.sql("SELECT segment_name, customers FROM segments")

Reads the pointer, then the manifest it names, and makes a view of every table
from exactly the files the manifest lists: never a file of a run that is still
being written. `outputs.ipynb` does the same step by step.
"""

import json
import os
import pathlib
import subprocess

import duckdb

HERE = pathlib.Path(__file__).resolve().parent


class Run:
    """One published run: its manifest, and its tables as views in `con`."""

    def __init__(self, out=None, date=None):
        self.out = pathlib.Path(out or os.environ.get("SHOAL_OUT") or HERE.parent / "sample" / "out").resolve()
        pointer = self.out / "current.json"
        if not pointer.exists():
            raise FileNotFoundError(f"{pointer}: nothing is published there; `make run` publishes a sample, SHOAL_OUT names another place")
        dates = json.loads(pointer.read_text())
        date = date or dates["latest"]
        if date not in dates["dates"]:
            raise KeyError(f"no run of {date} is published in {self.out}; there are {', '.join(dates['dates'])}")
        self.manifest_path = self.out / dates["dates"][date]["manifest"]
        self.manifest = json.loads(self.manifest_path.read_text())
        self.date, self.id = self.manifest["date"], self.manifest["run_id"]
        self.summary = self.manifest["summary"]
        self.currency = self.summary["input"].get("currency") or "currency"
        self.con = duckdb.connect()
        self.con.execute("SET TimeZone = 'UTC'")
        for t in self.manifest["tables"]:
            files = ", ".join(text(self.out / f["path"]) for f in t["files"])
            if files:
                self.con.execute(f"CREATE VIEW {t['name']} AS FROM read_parquet([{files}], hive_partitioning = false)")

    def sql(self, query, *parameters):
        """The answer to a query, as a pandas data frame."""
        return self.con.execute(query, list(parameters)).df()

    def one(self, query, *parameters):
        """The single row of an answer."""
        return self.con.execute(query, list(parameters)).fetchone()

    def column(self, table, name):
        """What the manifest declares about a column: name, type, unit, meaning."""
        for t in self.manifest["tables"]:
            for c in t["columns"] if t["name"] == table else ():
                if c["name"] == name:
                    return c
        raise KeyError(f"run {self.id} publishes no column {name} in {table}")

    def label(self, table, name):
        """A column as an axis title, with its unit."""
        unit = self.column(table, name).get("unit", "").replace("currency", self.currency)
        return name.replace("_", " ") + (f" ({unit})" if unit else "")

    def target(self, kind):
        """The first target of a kind: churn or propensity."""
        for t in self.summary["targets"]:
            if t["kind"] == kind:
                return t
        raise KeyError(f"run {self.id} has no {kind} target")

    def events(self):
        """Make the table `events`: the canonical events, later ones included.

        Shoal writes the SQL from the run's own configuration, which names its
        sources relative to the directory that the run was started in.
        """
        if self.one("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'events'")[0]:
            return
        shoal = os.environ.get("SHOAL") or HERE.parent / "bin" / "shoal"
        script = subprocess.run(
            [shoal, "features", "--config", self.manifest_path, "--family", "frequency", "--sql", "--date", self.date],
            cwd=self.started_in(), check=True, capture_output=True, text=True).stdout
        head, select = script.split(";\n", 1)[0].split(" AS\n", 1)
        if head != "CREATE OR REPLACE TABLE events":
            raise ValueError(f"shoal features --sql begins with {head!r}, not with the table of events")
        back = os.getcwd()
        os.chdir(self.started_in())
        try:  # the run left out repeated rows, so DISTINCT
            self.con.execute(f"CREATE TABLE events AS SELECT DISTINCT * FROM (\n{select}\n) WHERE customer_id IS NOT NULL")
        finally:
            os.chdir(back)

    def started_in(self):
        """The directory that the relative paths of the configuration begin at."""
        if where := os.environ.get("SHOAL_STARTED_IN"):
            return pathlib.Path(where)
        named = pathlib.Path(self.manifest["config"]["out"])
        if not named.is_absolute() and self.out.parts[-len(named.parts):] == named.parts:
            return self.out.parents[len(named.parts) - 1]
        return self.out.parent


def text(s):
    """A SQL string literal."""
    return "'" + str(s).replace("'", "''") + "'"
