"""What ``import tinygrad_np`` gives, and what it needs."""

import os
import subprocess
import sys

import tinygrad_np as tg


def test_every_public_name_is_there():
    for name in tg.__all__:
        assert getattr(tg, name) is not None
    assert {"manual_seed", "nn", "optim", "functions", "fused", "random"} <= set(tg.__all__)


def test_importing_needs_numpy_only():
    program = """
import sys
import numpy.random
before = set(sys.modules)
import tinygrad_np
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - sys.stdlib_module_names))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert found.stdout.split() in (["tinygrad_np"], ["numpy", "tinygrad_np"])


def test_modules_that_most_programs_do_not_need_are_imported_when_they_are_first_used():
    program = """
import sys
import tinygrad_np as tg
later = ["coverage", "data", "plots", "saving", "testing", "training"]
assert set(later) <= set(dir(tg))
assert {f"tinygrad_np.{name}" for name in later}.isdisjoint(sys.modules)
for name in later:
    assert getattr(tg, name).__name__ == f"tinygrad_np.{name}"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
