"""Drafts, promotion, roll-back, lint, and the hub's manifests, also through the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from typer.testing import CliRunner

from allotrope.cli.operating.prompts import app
from allotrope.exceptions import PromptError
from allotrope.prompts import open_library
from allotrope.prompts.library import TEMPLATES, PromptLibrary
from allotrope.prompts.lint import lint
from allotrope.prompts.manage import new_draft, promote, rollback
from allotrope.prompts.stores.hub import from_manifest, load_manifest, to_manifest
from allotrope.prompts.stores.parsing import parse
from allotrope.prompts.stores.sources import FolderSource
from allotrope.settings import load_settings

HEAD = (
    "---\nname: t\nversion: {0}\ndescription: d\n"
    "variables: {{q: , messages: {{type: messages, default: []}}}}\n{1}---\n"
)


@pytest.fixture
def own(tmp_path: Path) -> PromptLibrary:
    tmp_path.joinpath("own").mkdir()
    sources = [
        FolderSource(TEMPLATES, writable=False),
        FolderSource(tmp_path / "own", settle_s=0.0),
    ]
    return PromptLibrary(sources)


def test_the_list_describes_what_is_live(own: PromptLibrary, monkeypatch: Any) -> None:
    ref, where = new_draft(own, "assistant")
    edit(own, where, "\ndescription: ", "\ndescription: A draft. ")
    folder = Path(where).parent
    monkeypatch.setenv("ALLOTROPE_PROMPTS__FOLDER", str(folder))
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"]).output)["prompts"]
    (found,) = [row for row in listed if row["name"] == "assistant"]
    assert found["versions"][-1] == int(ref.partition("@")[2])
    live = own.get("assistant").meta.description
    assert found["description"] == live
    assert "A draft." in own.get(ref).meta.description


def edit(library: PromptLibrary, where: str, old: str, new: str) -> None:
    path = Path(where)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    library.refresh()


def test_draft_promote_promote_roll_back_twice(own: PromptLibrary) -> None:
    ref, where = new_draft(own, "judge")
    assert ref == "judge@1001"
    edit(own, where, "serves the person", "helps the person")
    assert own.get("judge").version == 1
    assert promote(own, ref).was == 1
    assert own.get("judge").version == 1001
    second, _ = new_draft(own, "judge")
    assert second == "judge@1002"
    assert "helps the person" in Path(where.replace("1001", "1002")).read_text(encoding="utf-8")
    own.refresh()
    promote(own, second)
    assert rollback(own, "judge").version == 1001
    assert rollback(own, "judge").version == 1
    assert own.get("judge").version == 1
    with pytest.raises(PromptError, match="no earlier version"):
        rollback(own, "judge")
    edit(own, where, "helps the person", "flatters the person")
    assert "versions don't change" in own.problems()["judge@1001"]
    with pytest.raises(PromptError, match="versions don't change"):
        promote(own, "judge@1001")


def test_a_new_name_starts_with_a_skeleton_that_passes_lint(own: PromptLibrary) -> None:
    ref, _ = new_draft(own, "pirate.joke")
    own.refresh()
    assert ref == "pirate.joke@1"
    assert lint(own.get(ref)) == []
    assert own.get("pirate.joke").render_untrusted({"messages": [("human", "hi")]})[
        1
    ] == HumanMessage("hi")
    with pytest.raises(PromptError, match="no name for a prompt"):
        new_draft(own, "../evil")


def test_promotion_needs_a_clean_version_and_a_real_label(own: PromptLibrary) -> None:
    ref, where = new_draft(own, "judge")
    edit(own, where, "criteria: {type", "unused: {default: 1}\n  criteria: {type")
    with pytest.raises(PromptError, match="'unused' is declared in variables and never used"):
        promote(own, ref)
    with pytest.raises(PromptError, match="'latest' can't be a label"):
        promote(own, "judge@1", label="latest")
    with pytest.raises(PromptError, match="names no version"):
        promote(own, "judge")


def test_the_packaged_templates_are_read_only_unless_named() -> None:
    library = open_library(load_settings(environ={}, env_file=None))
    with pytest.raises(PromptError, match="no place for own prompts"):
        promote(library, "judge@1")
    library.close()
    named = open_library(load_settings(environ={}, env_file=None, prompts={"folder": TEMPLATES}))
    assert [source.writable for source in named.sources] == [True]


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        (HEAD.format(1, "") + "=== human\n{{q}} {{z}}\n", "undeclared", 8),
        (HEAD.format(1, "") + "=== human\nx\n", "unused", None),
        (HEAD.format(2, "") + "=== human\n{{q}}\n", "changelog", None),
        (HEAD.format(1, "") + "=== ai\nThink step by step. {{q}}\n", "step-by-step", 8),
        (HEAD.format(1, "context: [docs]\n") + "=== human\n{{q}}{{docs}}\n", "fence", None),
        (
            HEAD.format(1, "context: {day: {trusted: true}}\n")
            + "=== system\n{{day}}\n=== placeholder messages\n=== human\n{{q}}\n",
            "volatile-first",
            9,
        ),
        (HEAD.format(1, "output: {type: object}\n") + "=== human\n{{q}}\n", "output", None),
        (HEAD.format(1, "") + "=== human\n{{q.name}}\n", "undeclared", 8),
        (HEAD.format(1, "") + "=== human\n{{#q}}{{.}}{{inner}}{{/q}}\n", "undeclared", 8),
        (HEAD.format(1, "") + "=== system\n" + "x" * 25_000 + "\n=== human\n{{q}}\n", "long", None),
    ],
)  # fmt: skip
def test_lint_finds(text: str, rule: str, line: int | None) -> None:
    findings = {f.rule: f.line for f in lint(parse(text + "=== end\n", origin="t@1"))}
    assert rule in findings
    assert findings[rule] == line


def test_the_packaged_templates_have_no_findings() -> None:
    library = PromptLibrary([FolderSource(TEMPLATES)])
    assert [(r, f) for r, t in library.snapshot.templates.items() for f in lint(t)] == []


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
@pytest.mark.parametrize("ref", ["assistant@1", "coder.write@1", "judge@1", "creative.draft@1"])
def test_a_manifest_there_and_back(ref: str) -> None:
    from langchain_core.load import load

    version = PromptLibrary([FolderSource(TEMPLATES)]).get(ref)
    manifest = json.loads(json.dumps(to_manifest(version)))
    again = parse(
        from_manifest(manifest, name=version.name, version=7, origin="m.json"), origin="m.json"
    )
    examples: dict[str, Any] = {
        "string": "s",
        "integer": 1,
        "list": ["a"],
        "messages": [("human", "x")],
    }
    values = {n: examples[v.type] for n, v in version.meta.variables.items()}
    values |= dict.fromkeys(version.meta.context, "some context")
    assert again.render_untrusted(values) == version.render_untrusted(values)
    plain = load(manifest, allowed_objects="core")
    assert isinstance(plain, ChatPromptTemplate)
    assert set(plain.input_variables) <= set(values)


def test_manifests_of_others() -> None:
    theirs = ChatPromptTemplate.from_messages(
        [
            ("system", "Be {mood}. {{literal}}"),
            MessagesPlaceholder("history", optional=True),
            ("human", "{question}"),
        ]
    ).partial(mood="kind")
    text = from_manifest({"manifest": dumpd(theirs)}, name="x", version=1, origin="x.json")
    version = parse(text, origin="x.json")
    assert [m.text for m in version.render_untrusted({"question": "Why?"})] == [
        "Be kind. {literal}",
        "Why?",
    ]
    assert version.meta.variables["history"].type == "messages"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"id": ["a", "PromptTemplate"], "kwargs": {}}, "no manifest of a chat prompt"),
        ([], "no manifest of a chat prompt"),
        (
            dumpd(ChatPromptTemplate.from_messages([("human", "{x:>10}")])),
            "has a format, which Mustache has not",
        ),
        (
            {
                "id": ["ChatPromptTemplate"],
                "kwargs": {
                    "messages": [
                        {
                            "id": ["HumanMessagePromptTemplate"],
                            "kwargs": {
                                "prompt": {
                                    "kwargs": {"template": "{{x}}", "template_format": "jinja2"}
                                }
                            },
                        }
                    ]
                },
            },
            "jinja2 templates run code",
        ),
    ],
)
def test_manifests_that_can_not_be_taken_over(manifest: Any, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        from_manifest(manifest, name="x", version=1, origin="x.json")
    with pytest.raises(PromptError, match=r"x.json is no JSON"):
        load_manifest("{", origin="x.json")


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTROPE_PROMPTS__FOLDER", str(tmp_path))
    monkeypatch.setenv("ALLOTROPE_PROMPTS__SETTLE_S", "0")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert run("new", "assistant")["ref"] == "assistant@1001"
    assert run("promote", "assistant@1001")["was"] == 3
    assert run("show", "assistant")["ref"] == "assistant@1001"
    assert run("rollback", "assistant")["version"] == 3
    assert run("diff", "assistant@1", "assistant@2")["same"] is False
    assert run("lint")["problems"] == {}
    assert {p["name"] for p in run("list")["prompts"]} >= {"assistant", "judge"}
    rendered = run("render", "coder.write", "--var", "task=Add.", "--var", 'packages:=["numpy"]')
    assert "numpy" in rendered["messages"][0]["content"]
    exported = CliRunner().invoke(app, ["export", "judge"], catch_exceptions=False)
    (tmp_path / "judge.json").write_text(exported.stdout, encoding="utf-8")
    assert run("import", "arbiter", str(tmp_path / "judge.json"))["ref"] == "arbiter@1"
    assert run("render", "arbiter", *(f"--var={n}=x" for n in ("question", "answer_a", "answer_b")))
    for arguments in (
        ["list"],
        ["diff", "assistant@1", "assistant@2"],
        ["show", "judge"],
        ["lint"],
    ):
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    (tmp_path / "bad@1.md").write_text("---\nname: bad\n", encoding="utf-8")
    assert CliRunner().invoke(app, ["lint"], catch_exceptions=False).exit_code == 1
    with pytest.raises(PromptError, match=r"bad@1\.md, line 2"):
        CliRunner().invoke(app, ["show", "bad"], catch_exceptions=False)
    with pytest.raises(PromptError, match="has no ="):
        CliRunner().invoke(app, ["render", "judge", "--var", "x"], catch_exceptions=False)
