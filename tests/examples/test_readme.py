"""The page of the examples: it names each of them, and its table is whole."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
TABLE = (EXAMPLES / "README.md").read_text().partition("<!-- table")[2].partition("<!-- end of table")[0]


def test_it_names_every_example():
    text = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        if path.stem not in ("shared", "compare"):
            assert f"]({path.name})" in text, path.name


def test_the_table_has_every_project():
    for project in ("S0", "S1", "S2", "S3", "S4"):
        assert f"| {project} | [s{project[1]}" in TABLE


def test_the_recipe_reached_what_was_asked_for():
    row = next(line for line in TABLE.splitlines() if "recipe.py" in line)
    assert "(mean of 3 seeds)" in row
    assert float(row.partition(" train, ")[2].partition("% test")[0]) >= 98.8
