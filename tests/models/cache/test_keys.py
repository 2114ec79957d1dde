"""Keys: two requests share one exactly when their canonical forms are equal."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from allotrope.models.cache.keys import UncacheableError, canonical_request, digest, written

TEXT = st.text(max_size=6)
TOOL = st.builds(
    lambda name, about: {"type": "function", "function": {"name": name, "description": about}},
    st.sampled_from("ab"),
    st.sampled_from("xy"),
)
REQUESTS = st.fixed_dictionaries(
    {
        "messages": st.lists(st.tuples(st.sampled_from("shat"), TEXT), min_size=1, max_size=4),
        "tools": st.lists(TOOL, max_size=3),
        "stop": st.none() | st.lists(TEXT, max_size=2),
        "temperature": st.sampled_from([0, 0.0, 0.5, 1, 1.0]),
        "n": st.sampled_from([1, 2]),
    }
)


def _model(**arguments: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o", api_key=SecretStr("k"), **arguments)


MODEL = _model()


def _message(kind: str, text: str, number: int, salt: str) -> BaseMessage:
    if kind == "s":
        return SystemMessage(text, id=f"{salt}{number}")
    if kind == "h":
        return HumanMessage(text, id=f"{salt}{number}")
    if kind == "a":
        return AIMessage(
            text,
            id=f"{salt}{number}",
            response_metadata={"salt": salt},
            tool_calls=[{"name": "t", "args": {"x": text}, "id": f"call_{salt}"}],
            usage_metadata={"input_tokens": number, "output_tokens": 0, "total_tokens": number},
        )
    return ToolMessage(text, tool_call_id=f"call_{salt}", id=f"{salt}{number}")


def _form(request: dict[str, Any], salt: str = "") -> Any:
    messages = [
        _message(kind, text, number, salt)
        for number, (kind, text) in enumerate(request["messages"])
    ]
    return canonical_request(
        MODEL,
        messages,
        stop=request["stop"],
        arguments={
            "tools": request["tools"],
            "temperature": request["temperature"],
            "n": request["n"],
            "timeout": len(salt),
            "user": salt,
        },
    )


def _meaning(request: dict[str, Any]) -> Any:
    """Written apart from the code under test: what the model sees."""
    return (
        request["messages"],
        sorted({repr(tool) for tool in request["tools"]}),
        sorted(set(request["stop"] or ())),
        float(request["temperature"]),
        request["n"],
    )


@settings(max_examples=150)
@given(REQUESTS, REQUESTS)
def test_keys_are_equal_exactly_when_the_meaning_is(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    same = _meaning(one) == _meaning(two)
    assert (written(_form(one)) == written(_form(two))) == same
    assert (digest(_form(one)) == digest(_form(two))) == same


@settings(max_examples=80)
@given(REQUESTS, st.text("pqr", min_size=1, max_size=5), st.randoms())
def test_ids_usage_metadata_and_tool_order_do_not_count(
    request: dict[str, Any], salt: str, chance: Any
) -> None:
    tools = list(request["tools"])
    chance.shuffle(tools)
    assert digest(_form(request)) == digest(_form({**request, "tools": tools}, salt))


def test_every_field_of_the_model_counts_or_is_listed() -> None:
    base = digest(canonical_request(MODEL, [HumanMessage("q")]))
    for counts in (
        {"seed": 1}, {"max_tokens": 5}, {"reasoning_effort": "low"}, {"extra_body": {"x": 1}},
        {"model_kwargs": {"y": 1}}, {"base_url": "http://else/v1"}, {"top_p": 0.5},
        {"default_headers": {"OpenAI-Project": "b"}}, {"default_query": {"api-version": "2"}},
        {"organization": "org-b"}, {"n": 2},
    ):  # fmt: skip
        assert digest(canonical_request(_model(**counts), [HumanMessage("q")])) != base
    for doesnt in ({"timeout": 9}, {"max_retries": 0}, {"n": 1}, {"top_p": 1},
                   {"default_headers": {"X-Request-ID": "b", "traceparent": "c"}},
                   {"tags": ["t"]}, {"metadata": {"m": 1}}, {"service_tier": "flex"}):  # fmt: skip
        assert digest(canonical_request(_model(**doesnt), [HumanMessage("q")])) == base


def test_call_and_constructor_name_the_same_parameter() -> None:
    bound = canonical_request(_model(max_tokens=7), [HumanMessage("q")])
    called = canonical_request(MODEL, [HumanMessage("q")], arguments={"max_completion_tokens": 7})
    assert digest(bound) == digest(called)


def test_secrets_and_objects_never_enter_a_key() -> None:
    assert "sk-very-secret" not in written(
        canonical_request(
            ChatOpenAI(model="gpt-4o", api_key=SecretStr("sk-very-secret")), [HumanMessage("q")]
        )
    )
    for odd in (object(), lambda: None, float("nan"), SecretStr("s")):
        with pytest.raises(UncacheableError):
            digest(canonical_request(MODEL, [HumanMessage("q")], arguments={"odd": odd}))


def _key(*messages: BaseMessage, model: ChatOpenAI = MODEL, **arguments: Any) -> str:
    return digest(canonical_request(model, list(messages), arguments=arguments))


def test_what_routes_a_call_is_in_the_key() -> None:
    plain = _key(HumanMessage("q"))
    assert _key(HumanMessage("q"), extra_headers={"X-Account": "a"}) != plain
    assert _key(HumanMessage("q"), extra_headers={"X-Account": "a"}) != _key(
        HumanMessage("q"), extra_headers={"X-Account": "b"}
    )
    assert _key(HumanMessage("q"), extra_query={"deployment": "eu"}) != plain
    other = ChatOpenAI(model="gpt-4o", api_key=SecretStr("another account"))
    assert _key(HumanMessage("q"), model=other) != plain
    assert _key(HumanMessage("q"), extra_headers={"x-request-id": "1"}) == plain
    assert "s3cret" not in written(
        canonical_request(
            MODEL, [HumanMessage("q")], arguments={"extra_headers": {"X-Key": "s3cret"}}
        )
    )


def test_an_organisation_counts_once_wherever_it_is_named_and_a_beta_counts() -> None:
    by_field = _key(HumanMessage("q"), model=_model(organization="org-b"))
    by_header = _key(HumanMessage("q"), extra_headers={"OpenAI-Organization": "org-b"})
    assert by_field == by_header != _key(HumanMessage("q"))
    beta = _key(HumanMessage("q"), extra_headers={"OpenAI-Beta": "responses=v2"})
    assert beta != _key(HumanMessage("q"))
    regions = [_key(HumanMessage("q"), extra_headers={name: "eu"}) for name in ("X-Re", "x-re")]
    assert regions[0] == regions[1]


def test_a_developer_message_is_no_system_message() -> None:
    def rules(**extra: str) -> SystemMessage:
        return SystemMessage("Be brief.", additional_kwargs=extra)

    assert _key(rules(__openai_role__="developer")) != _key(rules())
    assert _key(rules(__internal__="x")) == _key(rules())


def test_references_and_legacy_calls_are_in_the_key() -> None:
    def reference(name: str) -> HumanMessage:
        return HumanMessage([{"type": "item_reference", "id": name}])

    def legacy(arguments: str) -> AIMessage:
        call = {"name": "f", "arguments": arguments}
        return AIMessage("", additional_kwargs={"function_call": call})

    assert _key(reference("msg_1")) != _key(reference("msg_2"))
    assert _key(legacy('{"x": 1}')) != _key(legacy('{"x": 2}'))
    functions = [{"name": "f", "parameters": {}}]
    assert _key(HumanMessage("q"), functions=functions) != _key(HumanMessage("q"))


def test_how_a_text_is_typed_is_not_in_the_key() -> None:
    def same(one: str, two: str) -> bool:
        return _key(HumanMessage(one)) == _key(HumanMessage(two))

    assert same("caf\u00e9", "cafe\u0301")
    assert same("a\r\nb", "a\nb")
    assert same("What  is it? ", "What is it?")
    assert same("first \n\nsecond", "first\n\nsecond")
    assert not same("x\u00b2", "x2")
    assert not same("```\na  = 1\n```", "```\na = 1\n```")
    assert not same("f('a  b')", "f('a b')")
    assert not same("if x:\n    y", "if x:\n  y")
    assert not same("| a  | b |", "| a | b |")
    assert same("a\u00a0b", "a b")
    assert same("What's  up?", "What's up?")
    assert same("one\n\n\n\ntwo", "one\n\ntwo")
    assert not same("def f():\n    pass\n\n\nf()", "def f():\n    pass\n\nf()")
    assert not same("say 'a  b'", "say 'a b'")
    assert not same("a\tb", "a b")
    blocks = [HumanMessage([{"type": "text", "text": text}, {"type": "text", "text": "."}])
              for text in ("cafe\u0301", "caf\u00e9")]  # fmt: skip
    assert _key(blocks[0]) == _key(blocks[1])
