"""Reading the signatures of NumPy functions and of their rules, binding calls to them, and explaining failed calls."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_np.errors import (
    BadAxisError,
    BadIndexError,
    DtypeError,
    RuleError,
    ShapeError,
    UnsupportedArgumentError,
)

# Keyword arguments of an elementwise ufunc that choose how it computes, not what: no rule needs to see them.
_UFUNC_OPTIONS = frozenset({"casting", "order", "dtype", "subok", "signature"})
_WEAK = (int, float, complex)
"""What does not widen the dtype of an array that it meets."""
_UFUNC_DEFAULTS = {"out": None, "where": True, "casting": "same_kind", "order": "K", "dtype": None, "subok": True}


def function_name(function: Any) -> str:
    """How a user would write the function: ``np.tanh``, ``np.linalg.det``, ``np.add.reduce``, ``my_function``."""
    if isinstance(function, np.ufunc):
        name = function.__name__
        return f"np.{name}" if getattr(np, name, None) is function else name
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"{function_name(owner)}.{function.__name__}"
    name = str(getattr(function, "__qualname__", getattr(function, "__name__", repr(function))))
    module = str(getattr(function, "__module__", None) or "")
    return f"{module.replace('numpy', 'np', 1)}.{name}" if module.split(".")[0] == "numpy" else name


class RuleSignature:
    """What one rule ``rule(g, y, x0, x1, ..., **static)`` asks for.

    Attributes
    ----------
    keeps_output : bool
        Whether the rule reads the output's values.
    keeps : tuple of bool
        Whether it reads the values of each input; one bool for all inputs of a function of any number of arrays.
    arrays : list of str
        The names of its array parameters.
    static : set of str, or None
        The static keyword arguments that it knows; None if it takes any.
    """

    def __init__(self, rule: Callable[..., Any], arity: int, owner: str) -> None:
        parameters = list(inspect.signature(rule).parameters.values())
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        rest = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        given = 0 if rest else arity
        if len(positional) < 2 + given:
            raise RuleError(
                f"a rule for {owner} must be a function of the cotangent, the output and its {arity} array arguments, "
                f"rule(g, y, {', '.join(f'x{i}' for i in range(arity))}, **static), not {rule_name(rule)}"
                f"{inspect.signature(rule)}"
            )
        arrays = positional[2 : 2 + given]
        self.keeps_output = not positional[1].name.startswith("_")
        self.keeps = tuple(not p.name.startswith("_") for p in ([rest] if rest else arrays))
        self.arrays = [p.name.lstrip("_") for p in arrays]
        self.static_order = [p.name for p in positional[2 + given :]]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = {p.name for p in positional[2 + given :]} | {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.static: set[str] | None = None if takes_any else named


def rule_name(rule: Callable[..., Any]) -> str:
    """A rule's name, with the line that defines it: rules are often lambdas."""
    rule = getattr(rule, "func", rule)  # the engine binds the argument's position to the rule of a variadic function
    code = getattr(rule, "__code__", None)
    where = f" ({code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno})" if code else ""
    return f"{getattr(rule, '__name__', 'rule')}{where}"


class CallSignature:
    """How the arguments of a function divide into arrays, by position, and static keywords."""

    def __init__(self, function: Callable[..., Any], rules: Sequence[RuleSignature], arity: int, name: str) -> None:
        self.name = name
        self.arity = arity
        self.is_ufunc = isinstance(function, np.ufunc)
        self.elementwise: Any = None
        if isinstance(function, np.ufunc) and function.signature is None and function.nout == 1:
            self.elementwise = function
        self.defaults: dict[str, Any] = dict(_UFUNC_DEFAULTS) if self.is_ufunc else {"out": None}
        self.names = [*(rules[0].arrays if rules else []), *(rules[0].static_order if rules else [])]
        if not self.is_ufunc:
            try:
                parameters = inspect.signature(function).parameters
            except ValueError:  # some of NumPy's C functions do not tell
                pass
            else:
                by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                self.names = [p.name for p in parameters.values() if p.kind in by_position]
                self.defaults |= {p.name: p.default for p in parameters.values() if p.default is not p.empty}
        known = [rule.static for rule in rules if rule.static is not None]
        self.known = set.intersection(*known) if known else None

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Sort a call's arguments into arrays and static keywords that are not at their default.

        Raises
        ------
        UnsupportedArgumentError
            If ``out=`` is given: tensors are values, and nothing writes into them.
        """
        if self.arity < 0:
            arrays, static = list(args), dict(kwargs)
        else:
            arrays = list(args[: self.arity])
            extra = args[self.arity :]
            static = {**dict(zip(self.names[self.arity :], extra, strict=False)), **kwargs}
            for name in self.names[len(arrays) : self.arity]:
                if name not in static and name not in self.defaults:
                    raise DtypeError(f"{self.name}() misses its argument {name!r}")
                arrays.append(static.pop(name, self.defaults.get(name)))
            if len(args) > max(len(self.names), self.arity):
                raise DtypeError(f"{self.name}() takes {len(self.names)} positional arguments, not {len(args)}")
        static = {k: v for k, v in static.items() if k not in self.defaults or v is not self.defaults[k]}
        refuse_out(static.get("out"), self.name, args, kwargs)
        if self.elementwise and ("dtype" in static or "signature" in static):
            return self._converted(arrays, static)
        return arrays, static

    def _converted(self, arrays: list[Any], static: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """A call with ``dtype=`` as one without: on arguments of the dtypes that NumPy converts them to for it.

        So rules compute in those as well, and what is in range for the function is in range for its derivative.
        """
        arrays = [a if type(a) in _WEAK or hasattr(a, "dtype") else np.asarray(a) for a in arrays]
        kinds = [type(a) if type(a) in _WEAK else a.dtype for a in arrays]
        signature = static.get("signature", (*[None] * len(arrays), static.get("dtype")))
        if isinstance(signature, str):
            signature = tuple(map(np.dtype, signature.replace("->", "")))
        try:
            resolved = self.elementwise.resolve_dtypes(
                (*kinds, None), signature=signature, casting=static.get("casting", "same_kind")
            )
        except (TypeError, ValueError):
            return arrays, static  # NumPy refuses the call itself, and says why
        arrays = [
            a if isinstance(kind, type) or kind == dtype else a.astype(dtype)
            for a, kind, dtype in zip(arrays, kinds, resolved, strict=False)
        ]
        return arrays, {name: value for name, value in static.items() if name not in ("dtype", "signature")}

    def for_rules(self, static: dict[str, Any]) -> dict[str, Any]:
        """The static keywords that the rules see.

        Raises
        ------
        UnsupportedArgumentError
            If there is one that the rules do not know, since they would be silently wrong for it.
        """
        seen = {k: v for k, v in static.items() if k not in _UFUNC_OPTIONS} if self.is_ufunc else static
        unknown = [] if self.known is None else sorted(seen.keys() - self.known)
        if not unknown:
            return seen
        advice = "leave it out, write the call in other terms, or call the function on t.data"
        if self.is_ufunc or unknown == ["dtype"]:
            advice = _INSTEAD.get(unknown[0], advice)
        given = ", ".join(f"{k}={_brief(seen[k])}" for k in unknown)
        raise UnsupportedArgumentError(f"{self.name}: there is no derivative for {given}; {advice}")


_INSTEAD = {
    "axes": "move the axes that are meant to the end first, with np.moveaxis",
    "dtype": "convert the tensor first, with t.astype(dtype)",
    "where": "where= leaves the other elements undefined: write np.where(mask, f(x), other)",
}


def refuse_out(out: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise if a call was given an array to write into, with what to write instead."""
    if out is not None:
        raise UnsupportedArgumentError(
            f"{described_call(name, args, kwargs)}: a tensor is a value, and writing into an array, as out= asks for, "
            f"would lose its gradient. Write y = {name}(...), or t[...] = {name}(...) to update t"
        )


def refuse_masked(argument: Any, name: str) -> None:
    """Raise if an argument is a masked array, whose mask nothing here would look at."""
    if isinstance(argument, np.ma.MaskedArray):
        raise DtypeError(f"{name}: a masked array would lose its mask: write np.where(mask, other, t) instead")


def given_out(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The ``out`` argument of a call, by name or by position; None if there is none."""
    position = _position_of_out(function)
    return kwargs.get("out", args[position] if position is not None and len(args) > position else None)


def without_out(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments of a call without its ``out=None``, which asks for nothing."""
    position = _position_of_out(function)
    if position is not None:
        args, kwargs = named_from(position, function, args, kwargs)
    return args, {name: value for name, value in kwargs.items() if name != "out"}


def named_from(
    position: int, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments of a call, with those from a position on given by their names."""
    names = parameters_by_position(function)[position:]
    return args[:position], dict(zip(names, args[position:], strict=False)) | kwargs


@functools.cache
def parameters_by_position(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what a function takes by position; none if it does not tell, as some of NumPy's in C do not."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


def _position_of_out(function: Callable[..., Any]) -> int | None:
    names = parameters_by_position(function)
    return names.index("out") if "out" in names else None


def explained(error: Exception, name: str, values: Sequence[Any], static: dict[str, Any]) -> Exception:
    """The same error as NumPy's, saying also which call it was: operation, shapes and dtypes.

    Somebody's own exception already says what it means, and is raised again as it is. What was raised in the body of
    somebody's own function may be about anything, so that there is no advice.
    """
    if type(error).__module__.split(".")[0] not in ("builtins", "numpy") or isinstance(error, np.linalg.LinAlgError):
        raise error
    kind = next(
        ours
        for theirs, ours in (
            (np.exceptions.AxisError, BadAxisError),
            (IndexError, BadIndexError),
            ((TypeError, AttributeError), DtypeError),
            (ValueError, ShapeError),
        )
        if isinstance(error, theirs)
    )
    message = str(error)
    if message.startswith(f"{name}: "):  # raised here on purpose, and says what to do
        return kind(f"{described_call(name, values, static)}{message.removeprefix(name)}")
    if _raised_in(error) not in ("numpy", "tinygrad_np"):
        return kind(f"{described_call(name, values, static)}: {message}")
    return kind(f"{described_call(name, values, static)}: {message.rstrip(' .')}. {_ADVICE[kind]}")


def _raised_in(error: Exception) -> str:
    """The package whose Python code raised an error, or made the call to C that did."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).split(".")[0] if frames else "tinygrad_np"


_ADVICE = {
    BadAxisError: "Axes count from 0, or from -1 backwards",
    BadIndexError: "Indices are integers, slices, None, Ellipsis, or integer and boolean arrays",
    DtypeError: "Arguments must be numbers or numeric arrays of the dtypes that the function takes",
    ShapeError: "Reshape, transpose or index an argument so that the shapes agree",
}


def described_call(name: str, values: Sequence[Any], static: dict[str, Any]) -> str:
    """A call with shapes and dtypes in the place of arrays: ``np.add(float64(3,), float64(4,))``."""
    arguments = [_brief(value) for value in values] + [f"{k}={_brief(v)}" for k, v in static.items()]
    return f"{name}({', '.join(arguments)})"


def _brief(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, list | tuple) and any(hasattr(item, "dtype") for item in value):
        return f"[{', '.join(map(_brief, value))}]"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
