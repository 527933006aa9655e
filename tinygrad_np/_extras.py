"""Import what only some users need, or say which extra brings it."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["need"]


def need(module: str, purpose: str, extra: str = "examples") -> Any:
    """Import a module that NumPy alone does not bring.

    Parameters
    ----------
    module : str
        Dotted name, such as ``"matplotlib.figure"``.
    purpose : str
        What it is needed for, to begin the error with: "Drawing a figure".
    extra : str
        The extra of this library that installs it.

    Returns
    -------
    module
        Typed `Any`, so that type checking needs no stubs of packages that may be absent.

    Raises
    ------
    ImportError
        If the package is not installed; names the extra that installs it.

    Examples
    --------
    >>> need("json", "Writing JSON").dumps([1])
    '[1]'
    >>> need("no_such_package", "Drawing a figure")
    Traceback (most recent call last):
    ImportError: Drawing a figure needs no_such_package: pip install "tinygrad_np[examples]", or in a clone \
pip install -e ".[examples]"
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A package that is there but lacks something of its own is another problem, with its own message.
        if (error.name or "").partition(".")[0] != package:
            raise
        distribution = {"sklearn": "scikit-learn"}.get(package, package)
        raise ImportError(
            f'{purpose} needs {distribution}: pip install "tinygrad_np[{extra}]", or in a clone '
            f'pip install -e ".[{extra}]"'
        ) from error
