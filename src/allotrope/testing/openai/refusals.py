"""The error bodies of what a model refuses: parameters, values, endpoints, and itself when retired.

Wordings and codes as users reported them in public issues: `temperature`
BeehiveInnovations/pal-mcp-server#78, `parallel_tool_calls` evalstate/fast-agent#279, `stop`
crewAIInc/crewAI#2738, efforts openai/openai-agents-python#2089 (Responses) and
immersive-translate/immersive-translate#3529 (chat), tools with an effort
pipecat-ai/pipecat#4043 and BerriAI/litellm#34569, cache retention
NousResearch/hermes-agent#91164, encrypted content continuedev/continue#10643,
Wei-Shaw/sub2api#2863 and pydantic/pydantic-ai#2865, items that aren't stored
can1357/oh-my-pi#41, retired models langflow-ai/langflow#1337, simonw/llm#1553,
NVIDIA/NemoClaw#11902 (410) and Azure/azure-dev#7246 (Azure). `top_p`, penalties and logprobs
follow the form of `stop`, and 400 and 403 for a retired model the form of its neighbours: no report
of their wording was at hand.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from allotrope.testing.errors import ErrorReply, openai_error, unknown_model


def unsupported_parameter(param: str, *, instead: str | None = None) -> ErrorReply:
    """400: this model knows no such parameter."""
    tail = f" Use '{instead}' instead." if instead else ""
    return openai_error(
        400,
        f"Unsupported parameter: '{param}' is not supported with this model.{tail}",
        code="unsupported_parameter",
        param=param,
    )


def unsupported_value(
    param: str, value: object, allowed: str, *, model: str | None = None
) -> ErrorReply:
    """400: this model takes other values only; `allowed` is the end of the sentence.

    The Responses API names the model, Chat Completions the parameter.
    """
    shown = f"'{value}'" if isinstance(value, str) else value
    if model is None:
        message = f"'{param}' does not support {shown} with this model."
    else:
        message = f"{shown} is not supported with the '{model}' model."
    return openai_error(
        400, f"Unsupported value: {message} {allowed}", code="unsupported_value", param=param
    )


def supported(values: Collection[Any]) -> str:
    """The sentence that lists what is allowed."""
    names = [f"'{value}'" for value in values]
    if len(names) < 3:
        return f"Supported values are: {' and '.join(names)}."
    return f"Supported values are: {', '.join(names[:-1])}, and {names[-1]}."


def invalid_value(value: object, allowed: Collection[Any], param: str) -> ErrorReply:
    """400: no model takes such a value."""
    message = f"Invalid value: '{value}'. {supported(allowed)}"
    return openai_error(400, message, code="invalid_value", param=param)


def unknown_parameter(param: str) -> ErrorReply:
    """400: there is no such parameter."""
    message = f"Unknown parameter: '{param}'."
    return openai_error(400, message, code="unknown_parameter", param=param)


def missing_parameter(param: str) -> ErrorReply:
    """400: a parameter that must be there isn't."""
    message = f"Missing required parameter: '{param}'."
    return openai_error(400, message, code="missing_required_parameter", param=param)


def moved(param: str, to: str) -> ErrorReply:
    """400: a parameter of Chat Completions was sent to the Responses API."""
    return openai_error(
        400,
        f"Unsupported parameter: '{param}'. In the Responses API, this parameter has moved to "
        f"'{to}'. Try again with the new parameter. See the API documentation for more "
        "information: https://platform.openai.com/docs/api-reference/responses/create.",
        code="unsupported_parameter",
        param=param,
    )


def wrong_endpoint(right: str, wrong: str) -> ErrorReply:
    """404: the model answers on the other endpoint only."""
    message = f"This model is only supported in {right} and not in {wrong}."
    return openai_error(404, message, param="model")


def tools_with_effort(model: str, *, takes_none: bool) -> ErrorReply:
    """400: Chat Completions takes no function tools with a reasoning effort (from GPT-5.4 on).

    GPT-5.6 names the effort `none` as a way out, those before it don't.
    """
    way_out = "Please use /v1/responses instead."
    if takes_none:
        way_out = "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
    return openai_error(
        400,
        f"Function tools with reasoning_effort are not supported for {model} in "
        f"/v1/chat/completions. {way_out}",
        param="reasoning_effort",
    )


def limit_too_large(param: str, value: int, most: int) -> ErrorReply:
    """400: Chat Completions was asked for longer answers than the model can give."""
    return openai_error(
        400,
        f"{param} is too large: {value}. This model supports at most {most} completion tokens, "
        f"whereas you provided {value}.",
        code="invalid_value",
        param=param,
    )


def out_of_range(
    param: str, value: int, *, at_least: int | None = None, at_most: int | None = None
) -> ErrorReply:
    """400: a number of the Responses API is too small or too large."""
    kind, sign, bound = ("below_min", ">=", at_least)
    if at_least is None:
        kind, sign, bound = ("above_max", "<=", at_most)
    return openai_error(
        400,
        f"Invalid '{param}': integer {kind.replace('_', ' ')}imum value. Expected a value {sign} "
        f"{bound}, but got {value} instead.",
        code=f"integer_{kind}_value",
        param=param,
    )


def no_json_schema(param: str) -> ErrorReply:
    """400: the model follows no JSON schema."""
    return openai_error(
        400,
        f"Invalid parameter: '{param}' of type 'json_schema' is not supported with this model. "
        "Learn more about supported models at the Structured Outputs guide: "
        "https://platform.openai.com/docs/guides/structured-outputs",
        param=param,
    )


def no_images(param: str) -> ErrorReply:
    """400: the model sees no images."""
    return openai_error(
        400,
        "Invalid content type. image_url is only supported by certain models.",
        param=f"{param}.type",
    )


def no_retention() -> ErrorReply:
    """400: GPT-5.6 and later take `prompt_cache_options.ttl` instead."""
    return openai_error(
        400,
        "prompt_cache_retention is not supported on this model",
        code="invalid_parameter",
        param="prompt_cache_retention",
    )


def item_not_found(item: str, *, stored: bool) -> ErrorReply:
    """404: an item of the input is known by its id only, and nobody kept it."""
    hint = (
        " Items are not persisted when `store` is set to false. Try again with `store` set to "
        "true, or remove this item from your input."
    )
    message = f"Item with id '{item}' not found.{'' if stored else hint}"
    return openai_error(404, message, param="input")


def sealed_for_another(item: str | None, content: str) -> ErrorReply:
    """400: a reasoning item of another model, account or provider."""
    what = f"for item {item}" if item else f"{content[:4]}...{content[-4:]}"
    return openai_error(
        400,
        f"The encrypted content {what} could not be verified. Reason: Encrypted content could not "
        "be decrypted or parsed.",
        code="invalid_encrypted_content",
    )


def nothing_to_encrypt() -> ErrorReply:
    """400: encrypted reasoning was asked for, and the model doesn't reason."""
    message = "Encrypted content is not supported with this model."
    return openai_error(400, message, param="include")


def item_alone(item: str, kind: str, needs: str) -> ErrorReply:
    """400: a reasoning item and what followed it belong together."""
    message = f"Item '{item}' of type '{kind}' was provided without its required {needs}."
    return openai_error(400, message, param="input")


def _azure(model: str, day: str) -> ErrorReply:
    year, month, date = day.split("-")
    message = (
        f"The model 'Format:OpenAI,Name:{model}' has been deprecated since "
        f"{month}/{date}/{year} 00:00:00."
    )
    return ErrorReply(410, {"error": {"code": "ModelDeprecated", "message": message}})


def _gone(model: str, day: str) -> ErrorReply:
    detail = f"The model '{model}' has reached its end of life on {day} and is no longer available."
    body = {"type": "about:blank", "title": "Gone", "status": 410, "detail": detail}
    return ErrorReply(410, body, {"content-type": "application/problem+json"})


RETIREMENTS: Mapping[str, Callable[[str, str], ErrorReply]] = MappingProxyType(
    {
        "not_found": lambda model, day: unknown_model(model),
        "deprecated": lambda model, day: openai_error(
            404,
            f"The model `{model}` has been deprecated, learn more here: "
            "https://platform.openai.com/docs/deprecations",
            code="model_not_found",
        ),
        "bad_request": lambda model, day: openai_error(
            400, f"The model `{model}` has been retired on {day}. Please use another model."
        ),
        "forbidden": lambda model, day: openai_error(
            403, f"The model `{model}` is deprecated and no longer available to your organization."
        ),
        "gone": _gone,
        "azure": _azure,
        "no_access": lambda model, day: openai_error(
            403,
            f"Project `proj_simulator` does not have access to model `{model}`.",
            code="model_not_found",
        ),
    }
)
"""How a model that is gone, or that the account may not use, is refused: by a name for the way."""
