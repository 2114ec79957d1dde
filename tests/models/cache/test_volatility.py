"""What isn't kept: answers that read the world, in whatever language, and what follows on them."""

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from allotrope.models.cache.policy import (
    names_a_time,
    provider_reads,
    reads_the_world,
    time_dependent,
    unfit,
)


@pytest.mark.parametrize(
    "question",
    [
        "What's the weather?",
        "Quel temps fait-il aujourd'hui ?",
        "Qui joue demain à Lyon ?",
        "¿Qué hago hoy en Madrid?",
        "¿A cuánto está el dólar ahora?",
        "Wie wird das Wetter in Köln?",
        "Che tempo fa oggi a Roma?",
        "O que aconteceu ontem?",
        "Wat is er vandaag op tv?",
        "Co się stało wczoraj?",
        "Что сегодня происходит?",
        "Що сталося вчора?",
        "今天天气怎么样？",
        "昨日のニュースは？",
        "오늘 날씨 어때?",
        "ما هو الطقس اليوم؟",
        "ماذا حدث أمس؟",
        "आज का मौसम कैसा है?",
        "วันนี้อากาศเป็นอย่างไร",
        "Bugün hava nasıl?",
        "Hôm nay có gì mới?",
        "Vad händer i morgon?",
        "מה קורה היום?",
        "Какая погода в Москве?",
        "Который час?",
        "Gibt es Nachrichten aus Genf?",
        "Quelles sont les actualités ?",
        "Što se događa sutra?",
        "Leo kuna nini Nairobi?",
        "Ce faci mâine?",
        "ថ្ងៃនេះមានអ្វី",
        "ថ្ងៃ\u200bនេះមានអ្វី",
        "Mitä tapahtui eilen?",
        "Τι καιρό κάνει σήμερα;",
        "امروز هوا چطور است؟",
        "আজকের আবহাওয়া কেমন?",
        "Beth sy'n digwydd heddiw?",
        "Bitcoin price",
    ],
)
def test_time_words_are_known_in_many_languages(question: str) -> None:
    assert names_a_time(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Peru?",
        "Quelle est la capitale du Pérou ?",
        "Wie schreibt man ein Gedicht?",
        "¿Cómo se dice perro en alemán?",
        "法国的首都是哪里？",
        "ما هي عاصمة فرنسا؟",
        "Explain def f(x): return x + 1",
        "How do I reset my password?",
        "more",
        "more love songs",
        "What are the Yoga Sutras?",
        "How old was Leo Tolstoy?",
        "Which is the most beautiful sutra?",
        "Hur fungerar en motor?",
        "Jak vařit rýži?",
        "Πώς βράζω αυγό;",
    ],
)
def test_lasting_questions_are_kept(question: str) -> None:
    assert not names_a_time(question)


def test_a_follow_up_of_a_volatile_question_is_volatile() -> None:
    talk: list[BaseMessage] = [
        HumanMessage("What's the weather in Bonn?"),
        AIMessage("Rain."),
        HumanMessage("And in Lyon?"),
    ]
    assert time_dependent(talk)
    assert not time_dependent([HumanMessage("Who wrote Emma?"), AIMessage("Austen."), talk[2]])
    third = [*talk, AIMessage("Sun."), HumanMessage("And then in Nice?")]
    assert time_dependent(third)
    long_ago = [HumanMessage("Who wrote Emma?")] * 4
    assert not time_dependent([talk[0], talk[1], *long_ago])


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "web_search_preview", "search_context_size": "low"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        {"type": "file_search", "vector_store_ids": ["v"]},
        {"type": "mcp", "server_label": "s"},
        {"google_search": {}},
        {"url_context": {}},
    ],
)
def test_tools_that_the_provider_runs_read_the_world(tool: dict[str, object]) -> None:
    assert provider_reads([tool])
    assert reads_the_world([tool], ())


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "add", "parameters": {}}},
        {"name": "add", "description": "d", "input_schema": {}},
        {"name": "add", "parameters": {}},
        {"title": "Add", "type": "object", "properties": {}},
        {"type": "code_interpreter", "container": {"type": "auto"}},
    ],
)
def test_our_own_tools_do_not(tool: dict[str, object]) -> None:
    assert not provider_reads([tool])


def test_parameters_and_models_that_search() -> None:
    assert provider_reads([], arguments={"web_search_options": {}})
    assert provider_reads([], arguments={"extra_body": {"search_parameters": {"mode": "auto"}}})
    assert provider_reads([], arguments={"extra_body": {"plugins": [{"id": "web"}]}})
    assert provider_reads([], model="gpt-4o-search-preview")
    assert provider_reads([], model="perplexity/sonar-pro")
    assert provider_reads([], model="o3-deep-research")
    assert provider_reads([], arguments={"mcp_servers": [{"url": "u"}]})
    assert provider_reads([], arguments={"extra_body": {"data_sources": [{"type": "index"}]}})
    assert provider_reads([], arguments={"connectors": [{"id": "web-search"}]})
    assert provider_reads([], arguments={"conversation": "conv_1"})
    assert not provider_reads([], arguments={"previous_response_id": "resp_1"})
    assert not provider_reads(
        [], model="gpt-4o", arguments={"temperature": 1, "tools": [], "extra_body": {"top_k": 4}}
    )


def test_an_answer_that_shows_a_search_is_not_kept() -> None:
    searched = AIMessage(
        [{"type": "web_search_call", "status": "completed"}, {"type": "text", "text": "x"}]
    )
    cites = AIMessage(
        [{"type": "text", "text": "x", "annotations": [{"type": "url_citation", "url": "u"}]}]
    )
    for message in (searched, cites):
        assert unfit([ChatGeneration(message=message)]) == "read the world"
    assert unfit([ChatGeneration(message=AIMessage([{"type": "text", "text": "x"}]))]) is None
