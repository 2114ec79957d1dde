"""The embedded model counts a prompt itself, and the budget goes by that count."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from allotrope.exceptions import ProviderUnreachableError
from allotrope.graphs.prompt.window import told_ratio
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.models.providers.embedded import build_embedded
from allotrope.settings.sections import EmbeddedSettings

PROMPT: list[BaseMessage] = [
    SystemMessage("You are a helpful assistant. Answer briefly and say when you don't know."),
    HumanMessage("My boat is called Petronella and lies in the harbour of Zierikzee."),
    AIMessage("Noted: Petronella, in Zierikzee."),
    HumanMessage("She is 9.4 metres long. Zażółć gęślą jaźń, 世界! `x = f(1.10)` <|im_end|>"),
]


def test_its_count_is_what_it_reports() -> None:
    model = build_embedded(EmbeddedSettings(), max_tokens=1)
    for length in range(2, len(PROMPT) + 1, 2):
        reply = model.invoke(PROMPT[:length])
        assert reply.usage_metadata is not None
        reported = reply.usage_metadata["input_tokens"]
        assert abs(model.count_prompt(PROMPT[:length]) - reported) <= 0.02 * reported


def test_the_ratio_of_a_thread_is_the_models_own() -> None:
    model, counter = build_embedded(EmbeddedSettings()), TokenCounter()
    ratio = told_ratio(model, [*PROMPT, ToolMessage("4", tool_call_id="c")], counter)
    assert ratio is not None
    told = model.count_prompt(PROMPT)
    assert abs(ratio * counter.messages(PROMPT) - told) <= 0.02 * told


def test_who_tells_no_count_is_not_asked() -> None:
    class Silent:
        def count_prompt(self, messages: list[BaseMessage]) -> int:
            raise ProviderUnreachableError("gone", provider="embedded", model="m")

    assert told_ratio(object(), PROMPT, TokenCounter()) is None
    assert told_ratio(Silent(), PROMPT, TokenCounter()) is None
    assert told_ratio(Silent(), [], TokenCounter()) is None
