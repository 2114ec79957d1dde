"""How we make a LangChain tool: described arguments, and mistakes as a sentence."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from allotrope.exceptions import AllotropeError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


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
