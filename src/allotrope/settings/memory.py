"""Settings of the memory."""

from typing import Literal

from pydantic import Field, SecretStr

from allotrope.settings.sections import Seconds, Section


class MemorySettings(Section):
    """How much of a conversation a model sees, and what happens with the rest."""

    archive_url: SecretStr | None = Field(
        default=None,
        description="postgresql://… for the archive; default: SQLite in the data folder.",
    )
    context_tokens: int = Field(
        default=16_000,
        ge=512,
        description="Most tokens of conversation in one prompt, even where the window has more.",
    )
    live_messages: int = Field(
        default=40, ge=4, description="Most messages kept in the thread's checkpoint."
    )
    live_tokens: int = Field(
        default=8_000, ge=256, description="Most tokens kept in the thread's checkpoint."
    )
    recall: bool = Field(default=True, description="Bring back archived messages that bear on.")
    recall_tokens: int = Field(
        default=4_000, ge=0, description="Most tokens of recalled messages in one prompt."
    )
    embeddings: str | None = Field(
        default=None,
        pattern=r"^[a-z_]+:.+",
        description="Embeddings for recall: openai:…, ollama:…, huggingface:…; default: none.",
    )
    summary: Literal["model", "extract", "off"] = Field(
        default="model",
        description="Who writes the running summary: a model, deterministic rules, nobody.",
    )
    summary_tokens: int = Field(default=600, ge=0, description="Most tokens of the summary.")
    summary_every_tokens: int = Field(
        default=1_500, ge=64, description="Tokens that leave the checkpoint before it is rewritten."
    )
    summary_timeout_s: Seconds = Field(default=60.0, description="Seconds for one summary.")
    keep_checkpoints: int = Field(
        default=50, ge=5, description="Newest checkpoints kept per thread."
    )
    margin: float = Field(
        default=0.02, ge=0, le=0.5, description="Share of the window kept free for count errors."
    )
    compress: bool = Field(default=True, description="Compress old tool outputs in the prompt.")
    recall_tool: bool = Field(
        default=True, description="Let agents search the archive once it reaches back."
    )
    facts: bool = Field(
        default=False, description="Keep long-term facts about a user across threads (opt-in)."
    )
