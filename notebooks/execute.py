#!/usr/bin/env python3
"""Run notebooks from top to bottom, or strip their outputs.

    python notebooks/execute.py                        # all of them, on sample/out
    python notebooks/execute.py --charts DIR segments  # one, its charts as PNG
    python notebooks/execute.py --strip                # before a commit
    python notebooks/execute.py --check                # fail where outputs are left

A run fails on an error, on a warning, on a chart without data and on an axis
of numbers without a title. SHOAL_OUT names the place of the outputs to read.
"""

import argparse
import concurrent.futures
import functools
import os
import pathlib
import re
import sys
import tempfile
import time

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = pathlib.Path(__file__).resolve().parent


def strip(nb):
    """Leave what a person wrote; reports whether anything else was there."""
    dirty = False
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        dirty |= bool(cell.outputs) or cell.execution_count is not None or bool(cell.metadata)
        cell.outputs, cell.execution_count, cell.metadata = [], None, {}
    return dirty


def faults_of(spec, where, inherited=False):
    """What is wrong with a Vega-Lite chart."""
    faults = []
    if where and not any(spec.get("datasets", {"": True}).values()):
        faults.append(f"{where}: no data")
    for part in ("layer", "hconcat", "vconcat", "concat"):
        for i, view in enumerate(spec.get(part, [])):
            faults += faults_of(view, where and f"{where}, {part} {i + 1}", part == "layer")
    if isinstance(spec.get("spec"), dict):
        faults += faults_of(spec["spec"], where)
    if not inherited or "layer" not in spec:
        for name in ("x", "y"):
            axis = spec.get("encoding", {}).get(name)
            if not axis or "field" not in axis or ("axis" in axis and axis["axis"] is None):
                continue
            named = axis.get("type") == "nominal" and "title" in axis  # names may speak for themselves
            if not named and not (axis.get("title") or (axis.get("axis") or {}).get("title")):
                faults.append(f"{where}: axis {name} of {axis['field']!r} has no title")
    return faults


def charts_of(nb):
    for i, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            if spec := output.get("data", {}).get("application/vnd.vegalite+json"):
                yield i, spec


def execute(path, charts):
    nb = nbformat.read(path, as_version=4)
    began = time.monotonic()
    # Sockets in a directory of its own: no port is opened.
    sockets = tempfile.TemporaryDirectory(prefix="nb-")
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=os.path.join(sockets.name, "kernel"))
    try:
        NotebookClient(nb, km=kernel, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    except CellExecutionError as e:
        where = next(i for i, c in enumerate(nb.cells) for o in c.get("outputs", []) if o.output_type == "error")
        lines = [o.traceback for c in nb.cells for o in c.get("outputs", []) if o.output_type == "error"][0]
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))
        return path, time.monotonic() - began, 0, [f"cell {where}: {e.ename}: {e.evalue[:2000]}\n{trace[-2000:]}"]
    faults, n = [], 0
    for i, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                faults.append(f"cell {i}: on standard error: {output['text'].strip()}")
    for i, spec in charts_of(nb):
        n += 1
        faults += faults_of(spec, f"cell {i}")
        if charts:
            import vl_convert

            charts.mkdir(parents=True, exist_ok=True)
            (charts / f"{path.stem}-{n:02}.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=1.5))
    if charts:
        readings = [o["data"]["text/markdown"] for c in nb.cells for o in c.get("outputs", []) if "text/markdown" in o.get("data", {})]
        (charts / f"{path.stem}.md").write_text("\n".join(readings) + "\n")
    if not n:
        faults.append("no chart")
    return path, time.monotonic() - began, n, faults


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--strip", action="store_true")
    p.add_argument("--check", action="store_true")
    p.add_argument("--charts", type=pathlib.Path)
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    paths = [HERE / f"{pathlib.Path(n).stem}.ipynb" for n in a.names] or sorted(HERE.glob("*.ipynb"))
    if not paths:
        sys.exit(f"no notebooks in {HERE}")
    if a.strip or a.check:
        left = []
        for path in paths:
            nb = nbformat.read(path, as_version=4)
            nbformat.validate(nb)
            if strip(nb):
                left.append(path.name)
                if a.strip:
                    nbformat.write(nb, path)
        if a.check and left:
            sys.exit(f"outputs are left in {', '.join(left)}: run notebooks/execute.py --strip")
        return
    os.environ["SHOAL_CHARTS"] = "specification"
    if out := os.environ.get("SHOAL_OUT"):  # the notebooks run in their own directory
        os.environ["SHOAL_OUT"] = os.path.abspath(out)
    failed = False
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for path, seconds, n, faults in pool.map(functools.partial(execute, charts=a.charts), paths):
            print(f"{path.name}: {n} charts, {seconds:.1f} s")
            for fault in faults:
                failed = True
                print(f"{path.name}: {fault}", file=sys.stderr)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
