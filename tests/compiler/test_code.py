"""Steps and lines become one Python function."""

from typing import Any

from tinygrad_np.compiler.code import Code


def test_steps_are_made_in_order_with_the_lines_between_them() -> None:
    code, made = Code(), list[Any]()
    code.step(made.append, 1)
    code.step(made.append, 2)
    code.add(f"{code.name(made.extend)}([x, 3])")
    code.step(made.append, 4)
    source, function = code.function(["x"])
    function("x")
    assert made == [1, 2, "x", 3, 4]
    assert sum(line.strip().startswith("for ") for line in source.splitlines()) == 2


def test_names_do_not_hide_what_the_loop_uses() -> None:
    code = Code()
    for name in ("call", "given", "steps"):

        def function(x: Any) -> Any:
            return x

        function.__name__ = name
        code.add(f"x = {code.name(function)}(x)")
        code.step(len, "")
    code.add("return x")
    assert code.function(["x"])[1](7) == 7
