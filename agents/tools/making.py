"""How we make a LangChain tool: described arguments, and mistakes as a sentence."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from allotrope.exceptions import AllotropeError, SettingsError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


MAKERS: Mapping[str, str] = {
    "current_time": "allotrope.agents.tools.clock:clock_tool",
    "convert_time": "allotrope.agents.tools.clock:convert_time_tool",
    "date_difference": "allotrope.agents.tools.clock:dates_tool",
    "date_add": "allotrope.agents.tools.clock:date_add_tool",
    "calculate": "allotrope.agents.tools.arithmetic:arithmetic_tool",
    "convert_units": "allotrope.agents.tools.units:units_tool",
    "read": "allotrope.agents.tools.reading:reading_tool",
}
"""What makes each tool, by the name under which a spec asks for it and the model calls it."""


def tools_named(names: Sequence[str]) -> "list[BaseTool]":
    """The tools that a spec names.

    Args:
        names: Of `MAKERS`.

    Raises:
        SettingsError: There is no tool of that name.
    """
    made = []
    for name in names:
        if name not in MAKERS:
            raise SettingsError(
                f"There is no tool {name!r}.", hint=f"There are {', '.join(MAKERS)}."
            )
        module, _, function = MAKERS[name].partition(":")
        made.append(getattr(importlib.import_module(module), function)())
    return made


def make_tool(
    function: Callable[..., str], *, description: str, arguments: Mapping[str, str]
) -> "BaseTool":
    """Wraps a function as a tool whose errors come back to the model as one sentence.

    Args:
        function: Takes plain values, gives text. Its name is the tool's name. An `AllotropeError`
            becomes a tool message with `status="error"`.
        description: What the tool does, for the model.
        arguments: What each argument is, for the model. Arguments that LangGraph injects (their
            annotation says so) need none and aren't shown to the model.

    Returns:
        The tool; asynchronous use runs the function in a thread.
    """
    from langchain_core.tools import StructuredTool, ToolException
    from pydantic import Field, create_model

    def guarded(**values: object) -> str:
        try:
            return function(**values)
        except AllotropeError as exc:
            raise ToolException(str(exc)) from exc

    fields: dict[str, tuple[object, object]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (parameter.annotation, Field(default, description=arguments.get(name)))
    schema = create_model(function.__name__, **fields)  # type: ignore[call-overload] # the fields are built at run time
    return StructuredTool.from_function(
        guarded,
        name=function.__name__,
        description=description,
        args_schema=schema,
        handle_tool_error=True,
        handle_validation_error=lambda exc: f"The arguments don't fit: {exc}",
    )
