"""What holds for the source as a whole: lint, types, imports, documentation."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_np

ROOT = Path(__file__).parents[1]
MODULES = [
    tinygrad_np.__name__,
    *(found.name for found in pkgutil.walk_packages(tinygrad_np.__path__, f"{tinygrad_np.__name__}.")),
]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in the root of the project."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_ruff_has_nothing_to_say() -> None:
    result = python("-m", "ruff", "check", "--output-format=concise", ".")
    assert result.returncode == 0, result.stdout + result.stderr


def test_mypy_has_nothing_to_say() -> None:
    result = python("-m", "mypy", "--strict", "-p", "tinygrad_np")
    assert result.returncode == 0, result.stdout + result.stderr


IMPORT = """
import sys, numpy.random

allowed = {*sys.stdlib_module_names, "numpy", "tinygrad_np"}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(name)  # as where nothing else is installed

sys.meta_path.insert(0, Blocked())
before = {*sys.modules}
import tinygrad_np
print(sorted({name.partition(".")[0] for name in {*sys.modules} - before} - allowed))
"""


def test_importing_needs_the_standard_library_and_numpy_only() -> None:
    result = python("-c", IMPORT)
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported_first(name: str) -> None:
    """Imports point downwards, so none depends on what was imported before."""
    assert python("-c", f"import {name}").stderr == ""


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, f"{name}.{public}"
