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
