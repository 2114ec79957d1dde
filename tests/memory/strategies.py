"""Random conversations, also broken ones: orphans, missing results, doubles, no ids."""

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["", "yes", "日本語のテキスト" * 5, "a" * 400, '{"k": [1, 2, 3]}' * 20, "🙂" * 30]
    ),
)
call_ids = st.sampled_from(["c1", "c2", "c3"])


def calls(ids: list[str]) -> AIMessage:
    """A message that calls a tool once per id."""
    return AIMessage(
        "",
        tool_calls=[{"name": "look", "args": {"q": i}, "id": i, "type": "tool_call"} for i in ids],
    )


one_message: st.SearchStrategy[BaseMessage] = st.one_of(
    texts.map(HumanMessage),
    texts.map(AIMessage),
    st.text(max_size=30).map(SystemMessage),
    st.lists(call_ids, min_size=1, max_size=3, unique=True).map(calls),
    st.builds(lambda text, i: ToolMessage(text, tool_call_id=i), texts, call_ids),
)
whole_group = st.builds(
    lambda ids, text: [calls(ids), *(ToolMessage(text, tool_call_id=i) for i in ids)],
    st.lists(call_ids, min_size=1, max_size=3, unique=True),
    texts,
)
conversations = st.lists(
    st.one_of(one_message.map(lambda message: [message]), whole_group), max_size=14
).map(lambda groups: [message for group in groups for message in group])
