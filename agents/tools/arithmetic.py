"""Exact arithmetic for models that can't count: fractions instead of floats, bounded in size.

The expression is parsed by simpleeval with only numbers, operators and the functions below; there
are no names, attributes, strings or calls that could reach Python.
"""

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from allotrope.agents.tools.expressions import mixed_percent, plain, read_expression
from allotrope.exceptions import InputError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

MAX_LENGTH = 500
"""Characters of an expression."""
MAX_DIGITS = 4000
"""Digits of any number on the way to the result (Python's own limit for printing is 4,300)."""
_MAX_BITS = int(MAX_DIGITS * math.log2(10))
_PRECISION = 50
_SHOWN = 30
_BEYOND = 1e15
"""More than a tangent of any angle that a float can hold apart from a right one."""
_HINT = "Use numbers, + - * / // % **, parentheses and functions such as sqrt(2) or round(x, 2)."


@dataclass(frozen=True)
class Calculation:
    """What an expression comes to.

    Args:
        value: The value.
        exact: Whether no rounding happened on the way (roots, logarithms and angles may round).
        text: The value for people: all digits where they end, else 30 significant ones.
    """

    value: Fraction
    exact: bool
    text: str


def evaluate(expression: str) -> Calculation:
    """Works out an arithmetic expression exactly.

    Understands `+ - * / // % **`, `^` as power, `×`, `÷`, `−`, thousands separators, `15% of 80`,
    a per cent sign after a number, `pi`, `e`, and the functions in `FUNCTIONS`.

    Args:
        expression: For example `(1/3 + 0.1) * 12`.

    Returns:
        The value, whether it is exact, and its text.

    Raises:
        InputError: It isn't arithmetic, divides by zero, or would be too large.
    """
    return _Run(read_expression(_checked(expression)).text).result()


def _checked(expression: str) -> str:
    if not expression.strip():
        raise InputError("The expression is empty.", hint=_HINT)
    if len(expression) > MAX_LENGTH:
        raise InputError(
            f"The expression has {len(expression)} characters; {MAX_LENGTH} is the limit.",
            hint="Split it into steps.",
        )
    return expression


def _too_large() -> InputError:
    return InputError(
        f"The result would have more than {MAX_DIGITS} digits.",
        hint="Use smaller numbers, or work with their logarithms.",
    )


def _check(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise _too_large()
    return value


def _no_root(value: Fraction) -> InputError:
    return InputError(
        f"A root of the negative number {_text(value)} isn't real.",
        hint="Use a number of 0 or more.",
    )


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise InputError(f"{what} needs a whole number, got {_text(value)}.")
    return value.numerator


def _factorial(value: Fraction) -> Fraction:
    number = _whole(value, "factorial")
    if number < 0:
        raise InputError("factorial needs a number of 0 or more.")
    if number > 1400:
        raise _too_large()
    return Fraction(math.factorial(number))


def _counting(name: str) -> Callable[..., Fraction]:
    def function(n: Fraction, k: Fraction) -> Fraction:
        whole = _whole(n, name), _whole(k, name)
        if min(whole) < 0:
            raise InputError(f"{name} needs numbers of 0 or more.")
        if max(whole) > 10_000:
            raise _too_large()
        return Fraction(getattr(math, name)(*whole))

    return function


def _round(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    """Halves away from zero, as people round; Python's own rounding goes to even."""
    places = _whole(digits, "round")
    if abs(places) > 1000:
        raise InputError("round takes at most 1,000 places.")
    scale = Fraction(10) ** places
    shifted = abs(value) * scale
    rounded = Fraction(math.floor(shifted + Fraction(1, 2))) / scale
    return -rounded if value < 0 else rounded


def _mean(*values: Fraction) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


EXACT: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": lambda x: Fraction(math.ceil(x)),
    "comb": _counting("comb"),
    "factorial": _factorial,
    "floor": lambda x: Fraction(math.floor(x)),
    "gcd": lambda *xs: Fraction(math.gcd(*(_whole(x, "gcd") for x in xs))),
    "lcm": lambda *xs: Fraction(math.lcm(*(_whole(x, "lcm") for x in xs))),
    "max": lambda *xs: max(xs),
    "mean": _mean,
    "min": lambda *xs: min(xs),
    "perm": _counting("perm"),
    "round": _round,
    "sum": lambda *xs: sum(xs, Fraction(0)),
}
"""Functions that stay exact."""

_ROUNDING: dict[str, Callable[[Context, Decimal], Decimal]] = {
    "exp": Context.exp,
    "ln": Context.ln,
    "log10": Context.log10,
    "log2": lambda context, x: context.divide(context.ln(x), context.ln(Decimal(2))),
}
_ANGLES = ("sin", "cos", "tan", "asin", "acos", "atan")
FUNCTIONS = tuple(sorted((*EXACT, *_ROUNDING, *_ANGLES, "degrees", "radians", "sqrt")))
"""Every function of the language; angles are in radians."""

_PI = Fraction("3.14159265358979323846264338327950288419716939937511")
_E = Fraction("2.71828182845904523536028747135266249775724709369996")


def _decimal(value: Fraction, context: Context) -> Decimal:
    return context.divide(Decimal(value.numerator), Decimal(value.denominator))


class _Run:
    """One evaluation; remembers whether something was rounded."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._exact = True
        self._context = Context(prec=_PRECISION, Emax=MAX_DIGITS, Emin=-MAX_DIGITS)

    def result(self) -> Calculation:
        from simpleeval import InvalidExpression, SimpleEval

        engine = SimpleEval(operators=self._operators(), functions=self._functions(), names={})
        allowed = (ast.Expr, ast.UnaryOp, ast.BinOp, ast.Call)
        engine.nodes = {kind: engine.nodes[kind] for kind in allowed}
        engine.nodes[ast.Constant] = self._literal
        engine.nodes[ast.Name] = self._name
        try:
            with localcontext(self._context):
                parsed = self._parsed()
                self._refuse_mixed(parsed, engine)
                value = engine.eval(self._text, previously_parsed=parsed)
                if not isinstance(value, Fraction):
                    raise InputError(f"{self._text!r} is no arithmetic.", hint=_HINT)
                return Calculation(_check(value), self._exact, _text(value))
        except InputError:
            raise
        except ZeroDivisionError as exc:
            raise InputError(
                f"{self._text!r} divides by zero.", hint="It has no result; check the divisor."
            ) from exc
        except (InvalidExpression, SyntaxError, UserWarning) as exc:
            raise InputError(f"{self._text!r} is no arithmetic.", hint=_HINT) from exc
        except (ArithmeticError, ValueError, TypeError, AttributeError) as exc:
            raise InputError(f"{self._text!r} has no result: {exc}.", hint=_HINT) from exc
        except (RecursionError, MemoryError) as exc:
            raise InputError("The expression is nested too deeply.", hint=_HINT) from exc

    def _parsed(self) -> ast.expr:
        """One expression and nothing beside it; simpleeval answers the first of several."""
        if "#" in self._text:  # to Python a comment, to whoever wrote it a part of the sum
            raise SyntaxError
        return ast.parse(self._text.strip(), mode="eval").body

    def _refuse_mixed(self, parsed: ast.expr, engine: Any) -> None:
        """Refuses `100 + 10%`, but not `1 + 5%`: there both readings come to the same."""
        for node in ast.walk(parsed):
            if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub):
                continue
            sides = [_percent_of(side) for side in (node.left, node.right)]
            if (sides[0] is None) == (sides[1] is None):
                continue
            other, per_cent = (node.left, sides[1]) if sides[1] else (node.right, sides[0])
            if _only_percents(other):
                continue
            value = engine.eval(self._text, previously_parsed=other)
            if sides[1] is None or value != 1:
                sign = "+" if isinstance(node.op, ast.Add) else "-"
                amount = ast.get_source_segment(self._text.strip(), other) or "it"
                raise mixed_percent(_written(self._text), _written(amount), str(per_cent), sign)

    def _literal(self, node: ast.Constant) -> Fraction:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise InputError(f"{node.value!r} is no number.", hint=_HINT)
        source = ast.get_source_segment(self._text.strip(), node) or repr(node.value)
        if re.fullmatch(r"[\d_]*\.?[\d_]*(?:[eE][-+]?\d{1,4})?", source) is None:
            return _check(Fraction(node.value))
        return _check(Fraction(source))

    def _name(self, node: ast.Name) -> Fraction:
        constant = {"pi": _PI, "π": _PI, "e": _E}.get(node.id)
        if constant is None:
            raise InputError(f"{node.id!r} is no number.", hint=_HINT)
        self._exact = False
        return constant

    def _operators(self) -> dict[type[ast.AST], Callable[..., Fraction]]:
        return {
            ast.Add: lambda a, b: _check(a + b),
            ast.Sub: lambda a, b: _check(a - b),
            ast.Mult: lambda a, b: _check(a * b),
            ast.Div: lambda a, b: _check(a / b),
            ast.FloorDiv: lambda a, b: Fraction(a // b),
            ast.Mod: lambda a, b: a % b,
            ast.Pow: self._power,
            ast.USub: lambda a: -a,
            ast.UAdd: lambda a: a,
        }

    def _power(self, base: Fraction, exponent: Fraction) -> Fraction:
        if exponent.denominator == 1:
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if abs(base) != 1 and bits * abs(exponent.numerator) > _MAX_BITS + bits:
                raise _too_large()
            if abs(exponent.numerator) > 10**9:
                raise _too_large()
            return _check(Fraction(base**exponent.numerator))
        if base < 0:
            raise _no_root(base)
        if exponent == Fraction(1, 2):
            return self._sqrt(base)
        self._exact = False
        context = self._context
        return Fraction(context.power(_decimal(base, context), _decimal(exponent, context)))

    def _sqrt(self, value: Fraction) -> Fraction:
        if value < 0:
            raise _no_root(value)
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if root * root == value:
            return root
        self._exact = False
        return Fraction(self._context.sqrt(_decimal(value, self._context)))

    def _functions(self) -> dict[str, Callable[..., Fraction]]:
        def rounding(function: Callable[[Context, Decimal], Decimal]) -> Callable[..., Fraction]:
            def call(value: Fraction) -> Fraction:
                self._exact = False
                return _check(Fraction(function(self._context, _decimal(value, self._context))))

            return call

        def angle(name: str) -> Callable[..., Fraction]:
            def call(value: Fraction) -> Fraction:
                self._exact = False
                found = getattr(math, name)(float(value))
                if abs(found) > _BEYOND:
                    raise InputError(
                        f"{name} has no value at that angle.", hint="There it grows without bound."
                    )
                if abs(found) < 1 / _BEYOND < abs(value):  # sin(180°): what a float leaves of 0
                    return Fraction(0)
                return Fraction(f"{found:.15g}")

            return call

        def turned(value: Fraction, factor: Fraction) -> Fraction:
            self._exact = False
            return _check(value * factor)

        return {
            **EXACT,
            **{name: rounding(function) for name, function in _ROUNDING.items()},
            **{name: angle(name) for name in _ANGLES},
            "percent": lambda number: _check(number / 100),
            "radians": lambda number: turned(number, _PI / 180),
            "degrees": lambda number: turned(number, 180 / _PI),
            "sqrt": self._sqrt,
        }


def _written(text: str) -> str:
    return re.sub(r"percent\(([\d._]+)\)", r"\1%", text.strip()).replace("**", "^")


def _percent_of(node: ast.AST) -> str | None:
    """The number of per cent, where a node is a number with a per cent sign."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "percent":
        return ast.unparse(node.args[0])
    return None


def _only_percents(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return _only_percents(node.left) and _only_percents(node.right)
    return _percent_of(node) is not None


def _text(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1:
        with localcontext(Context(prec=MAX_DIGITS)):
            whole = Decimal(value.numerator) / Decimal(value.denominator)
        if len(whole.as_tuple().digits) <= _SHOWN:
            return f"{whole:f}" if abs(whole.adjusted()) <= _SHOWN else str(whole)
    with localcontext(Context(prec=_SHOWN)):
        short = Decimal(value.numerator) / Decimal(value.denominator)
    return f"{short:f}" if abs(short.adjusted()) <= _SHOWN else str(short)


def answer(expression: str) -> str:
    """The expression and its value in one line, as the tool gives it to the model.

    Args:
        expression: An arithmetic expression.

    Returns:
        `0.1 + 0.2 = 0.3`, with `≈` where the value is rounded and the fraction where it is short.

    Raises:
        InputError: As `evaluate`.
    """
    read = read_expression(_checked(expression))
    result = _Run(read.text).result()
    shown = Fraction(result.text) == result.value and result.exact
    line = f"{expression.strip()} {'=' if shown else '≈'} {result.text}"
    value = result.value
    if result.exact and not shown and value.denominator < 10**6:
        line += f" (exactly {value.numerator}/{value.denominator})"
    written, understood = (re.sub(r"\s|\*\*|\^", "", one) for one in (expression, plain(read.text)))
    notes = list(read.notes)
    if understood != written.translate(_SAME).strip("=?"):
        notes.insert(0, f"read as {plain(read.text)}")
    return f"{line} ({'; '.join(notes)})" if notes else line


_SAME = str.maketrans({"×": "*", "÷": "/", "−": "-"})


def arithmetic_tool() -> "BaseTool":
    """The tool `calculate` for an agent's tool list."""
    from allotrope.agents.tools.making import make_tool

    def calculate(expression: str) -> str:
        return answer(expression)

    return make_tool(
        calculate,
        description="Works out arithmetic exactly: + - * / // % **, percentages, parentheses, "
        "sqrt, round, factorial, min, max, mean, ln, log10, sin and the like. A blank after "
        "the comma between two arguments; no dates and no units.",
        arguments={"expression": "The expression, for example (1299.99 * 3) * 0.85"},
    )
