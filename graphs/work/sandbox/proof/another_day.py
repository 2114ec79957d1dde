"""Runs tests at a later date, inside the sandbox: its text is sent there before `inside.py`'s.

Code that does something else from some day on passes today; so do tests that hold until a day. The
modules `time` and `datetime` of one process are told another date. Clocks that only measure how
long something takes stay as they are. Standard library only.
"""

import datetime as _datetime
import time as _time
from typing import Any

DAYS = 1100
"""Days that tests are put forward: three years."""


class _AsReal(type):
    """What is an instance of the real class is one of its stand-in."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


def put_forward(days: int) -> None:
    """Lets this process take today for a later day.

    Args:
        days: How many.
    """
    later_s = days * 86_400
    real: dict[str, Any] = {name: getattr(_time, name) for name in _OF_TIME}

    def time() -> float:
        return float(real["time"]()) + later_s

    def time_ns() -> int:
        return int(real["time_ns"]()) + later_s * 10**9

    def of_now(name: str) -> Any:
        return lambda at=None: real[name](time() if at is None else at)

    def asctime(at: Any = None) -> str:
        return str(real["asctime"](_time.localtime() if at is None else at))

    def strftime(form: str, at: Any = None) -> str:
        return str(real["strftime"](form, _time.localtime() if at is None else at))

    stand_ins = {"time": time, "time_ns": time_ns, "asctime": asctime, "strftime": strftime}
    stand_ins |= {name: of_now(name) for name in ("localtime", "gmtime", "ctime")}
    for name, function in stand_ins.items():
        setattr(_time, name, function)

    class date(_datetime.date, metaclass=_AsReal):  # the name that code prints
        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(time())

    class datetime(_datetime.datetime, metaclass=_AsReal):  # as above
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(_datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    for one in (date, datetime):
        one.__module__, one.__qualname__ = "datetime", one.__name__
        setattr(_datetime, one.__name__, one)


_OF_TIME = ("time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime")
