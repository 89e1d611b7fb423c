"""``sanoscope demo`` in a process of its own, from nothing to a report, and what can be done with what it leaves."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from command_line import finished, in_own_process, sanoscope


def test_demo_and_what_it_leaves(tmp_path: Path) -> None:
    done = in_own_process("demo", "--epochs", 1, "--device", "cpu", cwd=tmp_path)
    assert done.code == 0, done
    assert not re.search(r"Traceback|Warning", done.err), done.err
    folder = tmp_path / "demo"
    lines = done.out.splitlines()
    assert lines[-1] == f"report: {Path('demo', 'findings', 'report.html')}"
    assert next(line for line in lines if line).split()[:3] == ["Method", "Kind", "AUROC"]
    for row in ("conv-vae, mse", "mean intensity", "detail", "per-pixel z-map", "PCA residual", "predict all abnormal"):
        assert any(line.startswith(row) for line in lines)
    assert (folder / "findings" / "report.html").stat().st_size > 10_000
    assert json.loads((folder / "model" / "detector.json").read_text())["recipe"]["options"]["training.epochs"] == 1

    again = sanoscope("demo", "--out", folder)
    assert again.error == f"{folder}: exists already; choose another --out"

    # The model knows which of the images it may be judged by.
    out = tmp_path / "again"
    finished("score", folder / "model", folder / "images", "--out", out, "--device", "cpu", "--no-maps")
    tables = []
    for findings in (folder / "findings", out):
        with (findings / "scores.csv").open(newline="") as stream:
            tables.append([(row["name"], row["score"], row["abnormal"]) for row in csv.DictReader(stream)])
    assert tables[0] == tables[1]
    finished("evaluate", folder / "findings", "--resamples", 20)
