"""What recording adds to a call: against no handler, and against handlers that record nothing."""

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from _form import spread
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from allotrope.usage.recorder.recorder import UsageRecorder

REPLY = AIMessage(
    "An answer of some length.",
    usage_metadata={"input_tokens": 900, "output_tokens": 80, "total_tokens": 980},
    response_metadata={"model_name": "o3-2025-04-16", "model_provider": "openai"},
)
METADATA = {"allotrope_agent": "assistant", "thread_id": "t", "allotrope_tenant": "acme"}
PAUSE_EVERY = 20


class Nothing(BaseCallbackHandler):
    """What any handler costs: told of the same events as the recorder, it does nothing."""

    run_inline = True
    ignore_chain = ignore_agent = ignore_retriever = ignore_retry = ignore_custom_event = True

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        """Nothing."""


def overhead(folder: Path, *, calls: int, rounds: int) -> dict[str, Any]:
    """Microseconds a call takes longer with a handler: medians of interleaved rounds.

    Two clocks: the wall's, and the CPU time of the thread that calls, which other programs on the
    machine disturb less.
    """
    model = GenericFakeChatModel(messages=iter(lambda: REPLY, None))
    recorder = UsageRecorder(f"sqlite:///{folder}/overhead.db")
    handlers: dict[str, list[BaseCallbackHandler]] = {
        "none": [],
        "a handler that does nothing": [Nothing()],
        "UsageMetadataCallbackHandler": [UsageMetadataCallbackHandler()],
        "UsageRecorder": [recorder],
    }
    wall: dict[str, list[float]] = {name: [] for name in handlers}
    cpu: dict[str, list[float]] = {name: [] for name in handlers}
    direct: list[float] = []
    for _ in range(rounds):
        for name, callbacks in handlers.items():
            walls, cpus = [], []
            for number in range(calls):
                if number % PAUSE_EVERY == 0:
                    # Providers are waited for; the background thread works in such gaps.
                    recorder.flush()
                begin, begin_cpu = time.perf_counter(), time.thread_time()
                model.invoke("Hello", {"callbacks": callbacks, "metadata": METADATA})
                cpus.append((time.thread_time() - begin_cpu) * 1e6)
                walls.append((time.perf_counter() - begin) * 1e6)
            wall[name].append(spread(walls)["p50"])
            cpu[name].append(spread(cpus)["p50"])
            recorder.flush()
        direct.append(_direct(recorder, calls))
    recorder.close()
    return {
        "call_us": {name: spread(values)["p50"] for name, values in wall.items()},
        "added_us": _added(wall),
        "added_cpu_us": _added(cpu),
        "handler_alone_us": spread(direct)["p50"],
        "recorded": recorder.stats.recorded,
        "written": recorder.stats.written,
        "lost": recorder.stats.lost,
    }


def _added(medians: dict[str, list[float]]) -> dict[str, float]:
    base = medians["none"]
    return {
        name: spread([m - b for m, b in zip(values, base, strict=True)])["p50"]
        for name, values in medians.items()
    }


def _direct(recorder: UsageRecorder, calls: int) -> float:
    """The handler's own two callbacks, without LangChain's dispatch around them."""
    prompt = [[HumanMessage("Hello")]]
    result = LLMResult(generations=[[ChatGeneration(message=REPLY)]])
    samples = []
    for number in range(calls):
        if number % PAUSE_EVERY == 0:
            recorder.flush()
        run = uuid4()
        begin = time.perf_counter()
        recorder.on_chat_model_start({}, prompt, run_id=run, metadata=METADATA)
        recorder.on_llm_end(result, run_id=run)
        samples.append((time.perf_counter() - begin) * 1e6)
    recorder.flush()
    return spread(samples)["p50"]
