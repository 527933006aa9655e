"""``python -m benchmarks``: contenders are checked before they are timed, and the report has what was asked for."""

import importlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import graphs, growth, harness, memory, mlp
from benchmarks.harness import Apart, Here, check, measure

QUICK = ["--rounds", "1", "--times", "1", "--seconds", "0.001"]
OWN = ["numpy", "numpy-kept", "eager", "eager-kept", "compiled", "inexact"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Little data, and a page of our own."""
    small = [mlp.workload(*task, rows=256) for task in mlp.TASKS]
    monkeypatch.setattr(mlp, "WORKLOADS", small)
    monkeypatch.setattr(command, "WORKLOADS", {w.name: w for w in [*small, *graphs.WORKLOADS]})
    monkeypatch.setattr(growth, "LENGTHS", (10, 100))
    monkeypatch.setattr(growth, "OPERATIONS", 100)
    page = tmp_path / "README.md"
    page.write_text(f"# Head: 5 µs\n\n{command.HERE}\n\nold\n", encoding="utf-8")
    page.chmod(0o644)
    monkeypatch.setattr(command, "PAGE", page)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments, *QUICK])
    command.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("name", [w.name for w in [*mlp.WORKLOADS, *graphs.WORKLOADS]])
def test_all_of_ours_compute_what_numpy_by_hand_does(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(monkeypatch, capsys, name, "--frameworks", *OWN)
    row = next(line for line in printed.splitlines() if line.startswith(f"| {name} |"))
    times = dict(zip(OWN, row.split("|")[3:], strict=False))
    kept = {name: times.pop(name).strip() for name in list(times) if name.endswith("-kept")}
    assert all(float(t) > 0 for t in times.values())
    assert all(t == "-" if name[0] in "OR" else float(t) > 0 for t in kept.values())


@pytest.mark.parametrize("seat", [Here, Apart])
def test_a_wrong_contender_is_found_out(seat: Any) -> None:
    right, wrong = mlp.TASKS[3], mlp.workload("M4", "with another batch", (784, 10, 10), 64, "sgd", rows=256)
    workload = mlp.workload(*right, rows=256)
    workload.contenders["eager"] = wrong.contenders["eager"]
    with pytest.raises(AssertionError, match="M4, eager: the loss"):
        measure(workload, ["numpy", "eager"], 1, 0.001, seat)


def test_new_processes_add_to_the_times() -> None:
    result = measure(graphs.O1, ["numpy", "eager"], 2, 0.001, times=3)
    assert {name: len(times) for name, times in result.times.items()} == {"numpy": 6, "eager": 6}


def test_a_wrong_gradient_is_found_out() -> None:
    loss, gradients = graphs.ChainByHand().loss_and_gradients()
    check("O1, eager", (loss, gradients), (loss, gradients))
    with pytest.raises(AssertionError, match="O1, eager: a gradient"):
        check("O1, eager", (loss, [g * 1.01 for g in gradients]), (loss, gradients))
    with pytest.raises(AssertionError, match="O1, eager: 2 gradients, not 1"):
        check("O1, eager", (loss, gradients * 2), (loss, gradients))


def test_each_has_a_process_of_its_own_whose_errors_come_through() -> None:
    seat = Apart(partial(os.getpid))  # type: ignore[arg-type]
    seat.wait()
    with pytest.raises(RuntimeError, match="'int' object has no attribute 'run'"):
        seat.warm_up(0.01)
    seat.leave()
    assert seat.process.exitcode is not None

    with pytest.raises(RuntimeError, match="ModuleNotFoundError: No module named 'no_such_module'"):
        Apart(partial(importlib.import_module, "no_such_module")).wait()  # type: ignore[arg-type]


def test_a_missing_framework_is_a_dash_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(harness.FRAMEWORKS, "mygrad", "no_such_package")
    printed = run(monkeypatch, capsys, "M4", "--frameworks", "numpy", "mygrad")
    assert "| - |" in printed
    assert 'A dash: needs no_such_package: pip install -e ".[bench]".' in printed


def test_the_page_the_plot_and_all_times_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    times, plot = tmp_path / "times.json", tmp_path / "plot.png"
    arguments = ["O1", "growth", "--frameworks", *OWN, "--write", "--json", str(times), "--plot", str(plot)]
    printed = run(monkeypatch, capsys, *arguments)
    page = command.PAGE.read_text(encoding="utf-8")
    assert page.startswith("# Head: 5 µs\n")
    assert os.name == "nt" or command.PAGE.stat().st_mode & 0o777 == 0o644
    assert "old" not in page
    assert "| 10 operations | 100 operations |" in page
    assert printed.strip() in page
    kept: dict[str, Any] = json.loads(times.read_text())
    assert list(kept["results"][0]["times"]) == [name for name in OWN if not name.endswith("-kept")]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_memory_is_that_of_a_fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.peak_growth("numpy") > 100


def test_an_unknown_workload_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, "M9")
    assert "there is no workload M9" in capsys.readouterr().err
