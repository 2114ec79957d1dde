"""What a function made of a text, kept for the next time, but not of long ones.

`functools.lru_cache` counts entries and not their size: texts from outside can have megabytes, and
20,000 of them would fill any memory.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LONGEST = 2_000
"""Characters of a text whose result is kept."""


def remembered(
    *, most: int, longest: int = LONGEST
) -> Callable[[Callable[Concatenate[str, P], T]], Callable[Concatenate[str, P], T]]:
    """Keeps the results of a function of a text, the latest ones.

    Args:
        most: Results that are kept.
        longest: Characters of a text up to which its result is.
    """

    def wrap(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
        kept = lru_cache(maxsize=most)(function)

        @wraps(function)
        def call(text: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if len(text) > longest:
                return function(text, *args, **kwargs)
            found: T = kept(text, *args, **kwargs)  # type: ignore[arg-type]  # hashable ones
            return found

        return call

    return wrap
