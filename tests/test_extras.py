from __future__ import annotations

import sys

import pytest

from tinygrad_np._extras import need


def test_a_module_that_is_there_is_imported():
    import json.decoder

    assert need("json.decoder", "Reading") is json.decoder


def test_a_missing_package_names_the_extra():
    with pytest.raises(ImportError) as caught:
        need("no_such.thing", "Reading")
    assert str(caught.value) == (
        'Reading needs no_such: pip install "tinygrad_np[examples]", or in a clone pip install -e ".[examples]"'
    )


def test_a_broken_package_keeps_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import something_it_lacks")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_lacks") as caught:
        need("broken_package", "Reading")
    assert "pip install" not in str(caught.value)
    assert "broken_package" not in sys.modules
