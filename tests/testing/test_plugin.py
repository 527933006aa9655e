"""The pytest plugin, in runs of pytest of its own."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
import numpy as np
import tinygrad_np as tg

def test_right(gradcheck):
    gradcheck(np.sin, np.ones(3), order=2)

def test_by_hand(check_gradient):
    check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, np.ones(3))

def test_wrong(gradcheck):
    some_local_variable = tg.defvjp(lambda x: x * x, lambda g, _y, x: g * x)
    gradcheck(some_local_variable, np.ones(3))

def test_other_failure():
    assert 1 == 2, "as usual"
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "test_file.py").write_text(FILE)

    def run(*options: str) -> str:
        root = Path(__file__).parents[2]
        # Where the package is installed, pytest would load the plugin twice: by its entry point and by -p.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(root), *sys.path]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        command = [sys.executable, "-m", "pytest", "-p", "tinygrad_np.testing.plugin", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, *options, "test_file.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
        ).stdout

    return run


def test_a_failure_shows_the_report_and_no_traceback(run):
    output = run()
    assert "2 failed, 2 passed" in output
    assert "analytic    1" in output
    assert "numerical   2" in output
    assert "some_local_variable" not in output.replace("test_wrong", "")
    assert "as usual" in output


def test_the_fixtures_are_listed(run):
    output = run("--fixtures")
    assert "gradcheck" in output
    assert "check_gradient" in output


def test_importing_the_plugin_needs_no_hypothesis():
    program = "import sys, tinygrad_np.testing.plugin; print('hypothesis' in sys.modules, 'pytest' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["False", "False"]


def test_pytest_finds_the_plugin_by_its_entry_point():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    assert config["options.entry_points"]["pytest11"].split(" = ") == ["\ntinygrad_np", "tinygrad_np.testing.plugin"]
