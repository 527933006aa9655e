"""benchmarks/transforms.py: it runs, checks what it compares, and says what it cannot compare with."""

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "transforms.py"


def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "path", list(sys.path))
    main = runpy.run_path(str(SCRIPT))["main"]
    main(["--rounds", "1", "--seconds", "0.001"])
    return capsys.readouterr().out


def test_the_ratios_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in: Any = ModuleType("autograd")
    stand_in.jacobian, stand_in.hessian, stand_in.numpy = tg.jacobian, tg.hessian, np
    monkeypatch.setitem(sys.modules, "autograd", stand_in)
    monkeypatch.setitem(sys.modules, "autograd.numpy", np)
    printed = report(monkeypatch, capsys)
    assert "| Jacobian of tanh(W @ x), 300 x 300 | us |" in printed
    assert "times the time by hand (target: at most 5)" in printed
    assert "times as fast as HIPS autograd (target: at least 5)" in printed
    assert " - |" not in printed
    assert "A dash" not in printed


def test_without_autograd_there_is_a_dash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "autograd", None)
    printed = report(monkeypatch, capsys)
    assert printed.count(" - |") == 2
    assert "Hessian: - times as fast" in printed
    assert 'A dash: needs autograd: pip install -e ".[bench]"' in printed
    assert "Jacobian: -" not in printed
