"""langchain-tests' suites for chat models, on our own classes."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from allotrope.models.providers.embedded import EmbeddedChat
from allotrope.models.providers.ollama import OllamaChat
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings.sections import EmbeddedSettings
from allotrope.testing import ProviderSimulator

pytestmark = [
    # langchain-openai says so itself when the suite hands it a pydantic v1 class
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
    # openai's parsed completions warn when serialised, whatever the server
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


class TestOpenAIUnit(ChatModelUnitTests):
    """`OpenAIChat` without a network."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OpenAIChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "o3", "api_key": "sk-x"}


class TestOllamaUnit(ChatModelUnitTests):
    """`OllamaChat` without a network."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OllamaChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "llama3.1"}


class TestEmbeddedUnit(ChatModelUnitTests):
    """`EmbeddedChat` without its server; it takes no tools (decision 0004)."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return EmbeddedChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "smollm2",
            "api_key": "none",
            "base_url": "http://127.0.0.1:9",
            "embedded": EmbeddedSettings(),
        }

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


class _OnTheSimulator(ChatModelIntegrationTests):
    url = ""

    @pytest.fixture(autouse=True)
    def _clean(self, simulator: ProviderSimulator) -> None:
        type(self).url = self.where(simulator)

    def where(self, simulator: ProviderSimulator) -> str:
        return simulator.openai_url


class TestOpenAI(_OnTheSimulator):
    """`OpenAIChat` over Chat Completions."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OpenAIChat

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


class TestOpenAIResponses(TestOpenAI):
    """`OpenAIChat` over the Responses API."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}


class TestOllama(_OnTheSimulator):
    """`OllamaChat` over Ollama's own API."""

    def where(self, simulator: ProviderSimulator) -> str:
        return simulator.ollama_url

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OllamaChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "llama3.1", "base_url": self.url}

    @property
    def has_tool_choice(self) -> bool:
        return False  # Ollama has no such parameter
