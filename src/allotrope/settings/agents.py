"""Settings of the agents: what they may read, and how far their loops may go."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from allotrope.settings.sections import Seconds, Section

Megabytes = Annotated[int, Field(ge=1, le=65_536)]
Count = Annotated[int, Field(ge=0, le=1000)]


class AgentsSettings(Section):
    """Settings of the agents."""

    turn_wait_s: Seconds = Field(
        default=60.0,
        description="Seconds a turn waits for the one before it in the same thread.",
    )
    file_roots: tuple[Path, ...] = Field(
        default=(Path("."),),
        description="Folders whose files agents may read when the user names them.",
    )
    max_file_mb: Megabytes = Field(default=50, description="Largest file that is read.")
    max_download_mb: Megabytes = Field(default=5, description="Largest page that is fetched.")
    download_timeout_s: Seconds = Field(default=20.0, description="Seconds for one page.")
    private_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts or networks (10.1.0.0/16) in private ranges that may be fetched anyway.",
    )
    named_only: bool = Field(
        default=True,
        description="Read only files and addresses that stand in the user's own messages.",
    )
    output_dir: Path = Field(
        default=Path("allotrope-out"),
        description="Where charts, tables and files that agents make are saved.",
    )

    sql_timeout_s: Seconds = Field(default=20.0, description="Seconds for one query.")
    sql_memory_mb: Megabytes = Field(default=512, description="Memory for the query engine.")
    sql_threads: int = Field(default=2, ge=1, le=64, description="Threads of the query engine.")
    sql_rows: int = Field(
        default=1000, ge=1, le=1_000_000, description="Most rows kept of a query's result."
    )
    analyst_repairs: Count = Field(
        default=3, description="How often a failed query or a wrong number goes back."
    )

    creative_drafts: int = Field(default=3, ge=1, le=16, description="Drafts written in parallel.")
    creative_revisions: Count = Field(default=2, description="Revisions of the best draft.")

    creative_confirm: Literal["never", "doubt", "always"] = Field(
        default="never",
        description="When a person is asked, before drafting, whether the brief was understood: "
        "`doubt` means where wishes contradict each other or no program checks them.",
    )

    coder_approval: bool = Field(
        default=True, description="Ask a person before the first run of generated code."
    )
    coder_repairs: Count = Field(default=3, description="How often failing code goes back.")
    coder_isolation: bool = Field(
        default=True,
        description="Deprecated. False means what `code_without_walls` says in words.",
    )
    code_without_walls: Literal["refuse", "i-accept-that-code-can-read-my-files"] = Field(
        default="refuse",
        description="What happens to code where the kernel can't cut off network and files.",
    )
    code_backend: str = Field(
        default="local",
        pattern=r"^(local|docker|podman|[\w.]+:\w+)$",
        description="Where code runs: `local`, `docker`, `podman`, or `module:factory` of a "
        "deepagents sandbox.",
    )
    code_image: str = Field(
        default="python:3.13-slim",
        min_length=1,
        description="Image of the container in which code runs; pytest in it is used.",
    )
    code_packages: tuple[str, ...] = Field(
        default=("pytest", "hypothesis", "numpy", "pandas", "pydantic"),
        description="Installed packages that code may import in the local sandbox.",
    )
    code_timeout_s: Seconds = Field(default=30.0, description="Seconds for one run of code.")
    code_memory_mb: Megabytes = Field(default=512, description="Memory of one run of code.")
    code_disk_mb: Megabytes = Field(default=64, description="What one run may write.")
    code_processes: int = Field(default=32, ge=1, le=1024, description="Processes of one run.")

    research_questions: int = Field(default=4, ge=1, le=16, description="Most sub-questions.")
    research_passages: int = Field(default=4, ge=1, le=50, description="Passages a question gets.")
    research_chunk_chars: int = Field(
        default=1200, ge=200, le=20_000, description="Characters of a passage."
    )
    research_entailment: bool = Field(
        default=False,
        description="Also ask the cheap model whether each passage says what the sentence says.",
    )
    research_repairs: Count = Field(
        default=1, description="How often a report with unverified sentences goes back."
    )
