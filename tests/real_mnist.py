"""The real MNIST files, where ``$TINYGRAD_NP_DATA`` has them: tests that need them say so where it has not."""

import os
from pathlib import Path

import pytest

FOLDER = os.environ.get("TINYGRAD_NP_DATA", "")


def _is_there() -> bool:
    places = [Path(FOLDER), Path(FOLDER) / "mnist"] if FOLDER else []
    return any(place.glob("train-images-idx3-ubyte*") for place in places if place.is_dir())


needs_mnist = pytest.mark.skipif(not _is_there(), reason="the real MNIST files are not in $TINYGRAD_NP_DATA")
