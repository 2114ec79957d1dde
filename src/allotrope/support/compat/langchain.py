"""Private parts of LangChain's core."""

import contextlib
from collections.abc import Iterable
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult


def branches_of(runnable: Any) -> Iterable[Any]:
    """The runnables side by side in a `RunnableParallel`; none for others.

    Reason: `with_structured_output(include_raw=True)` puts the model into one. Without it: the
    chain doesn't find that model, so succession and the last resort pass it over.
    """
    steps: dict[str, Any] = getattr(runnable, "steps__", None) or {}
    return steps.values()


class CallByCall(BaseChatModel):
    """A chat model that knows each single call of a batch, and the model that it names.

    Reason: `agenerate` makes its calls side by side and names none of them; traces name the model
    that a client was made for, not that of the call. Without it: a cancelled call is reported to no
    handler, so the ledger lacks it, and traces of `model=` name another model.
    """

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        if kwargs.get("model"):
            params["ls_model_name"] = str(kwargs["model"])
        return params

    def around_call(self) -> contextlib.AbstractContextManager[None]:
        """What stands around each call."""
        return contextlib.nullcontext()

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self.around_call():
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
