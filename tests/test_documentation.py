"""Every example in a docstring, and every block of Python in the documents, runs and shows what it says."""

import ast
import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tinygrad_np

ROOT = Path(__file__).parents[1]


def modules() -> Iterator[ModuleType]:
    """The package and everything in it."""
    yield tinygrad_np
    for found in pkgutil.walk_packages(tinygrad_np.__path__, f"{tinygrad_np.__name__}."):
        yield importlib.import_module(found.name)


EXAMPLES = [test for module in modules() for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.fixture(autouse=True)
def scratch(scratch_table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let examples register rules and write files."""
    monkeypatch.chdir(tmp_path)


def test_there_are_examples() -> None:
    names = {test.name for test in EXAMPLES}
    assert {"tinygrad_np.core.Tensor", "tinygrad_np.core.defvjp", "tinygrad_np.transforms.grad"} <= names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
def test_docstring(example: doctest.DocTest) -> None:
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    result = runner.run(example, out=report.write, clear_globs=False)
    assert result.failed == 0, report.getvalue()


# ------------------------------------------------------------------------------------------------------------ documents


def blocks(document: Path) -> list[tuple[int, str]]:
    """The blocks of Python in a document, each with the number of the line before it."""
    text = document.read_text(encoding="utf-8")
    fenced = re.finditer(r"^```python[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in fenced]


def run(document: Path) -> None:
    """Run all blocks in one namespace, one statement at a time.

    What a statement prints has to be what the comment behind it ends with, if there is one; where numbers have many
    digits, up to rounding.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    for before, source in blocks(document):
        lines = ["\n"] * before + source.splitlines(keepends=True)
        for statement in ast.parse("".join(lines)).body:
            code = compile(ast.Module([statement], []), str(document), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, namespace)
            comment = lines[statement.end_lineno - 1][statement.end_col_offset :].strip()
            if comment.startswith("#") and printed.getvalue():
                assert_ends_with(comment, printed.getvalue(), f"{document.name}:{statement.lineno}")


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")
LONG = re.compile(r"-?\d+\.\d{6,}(?:e[-+]?\d+)?")  # its last digits may be others on another machine


def assert_ends_with(comment: str, printed: str, where: str) -> None:
    """Assert that a comment ends with what was printed: the same text, spaces aside, but for digits of long numbers."""
    numbers = [float(number) for number in NUMBER.findall(printed)]
    said = [float(number) for number in NUMBER.findall(comment)][-len(numbers) :] if numbers else []
    assert said == pytest.approx(numbers, rel=1e-6), where
    texts = ["".join(LONG.sub("0", text).split()) for text in (comment, printed)]
    assert texts[0].endswith(texts[1]), where


DOCUMENTS = sorted(path for folder in ("", "docs", "examples", "benchmarks") for path in (ROOT / folder).glob("*.md"))


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.name)
def test_document(document: Path) -> None:
    run(document)


def test_the_readme_shows_code() -> None:
    assert len(blocks(ROOT / "README.md")) > 0


def test_the_report_in_the_readme_names_the_line_of_the_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = ROOT / "README.md"
    (source,) = (source for _, source in blocks(readme) if "def swish" in source)
    script = tmp_path / "your_file.py"
    script.write_text(source, encoding="utf-8")
    runpy.run_path(str(script))
    (blame,) = (line for line in capsys.readouterr().out.splitlines() if "to blame" in line)
    assert blame in readme.read_text(encoding="utf-8").splitlines()


def test_a_wrong_comment_in_a_document_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    right = "Text\n\n```python\nx = 1\nprint(x)  # that is 1\nprint(x / 3)  # 0.33333334\n```\n\n"
    document.write_text(f"{right}```python\nprint([x + 1])  # [2]\n```\n")
    run(document)
    for wrong in ("3", "[3]", "2", "([2])", "[2.1]", "[2.0]", "[2.]", "[2, 2]", "[2] or so"):
        document.write_text(f"{right}```python\nprint([x + 1])  # {wrong}\n```\n")
        with pytest.raises(AssertionError, match=r"wrong.md:10"):
            run(document)
