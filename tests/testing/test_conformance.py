"""langchain-tests' suite runs against the simulator: its answers have the right shapes."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from allotrope.testing import ProviderSimulator

pytestmark = [
    # langchain-openai says so itself when the suite hands it a pydantic v1 class
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
    # openai's parsed completions warn when serialised, whatever the server
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


class _OnTheSimulator(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _clean(self, server: ProviderSimulator) -> None:
        server.reset()
        type(self).url = server.openai_url

    url = ""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "gpt-4.1",
            "base_url": self.url,
            "api_key": "sk-x",
            "max_retries": 0,
            "stream_usage": True,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestChatCompletions(_OnTheSimulator):
    """ChatOpenAI over Chat Completions."""


class TestResponses(_OnTheSimulator):
    """ChatOpenAI over the Responses API."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}
