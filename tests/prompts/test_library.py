"""The library: what is live, what is refused, and what stays when a file breaks."""

import os
import threading
import time
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from allotrope.exceptions import PromptError
from allotrope.prompts import open_library
from allotrope.prompts.library import PromptLibrary
from allotrope.prompts.stores.sources import FolderSource, LabelChange, now
from allotrope.settings import load_settings


def template(name: str = "greet", version: int = 1, *, text: str = "Hello {{who}}.") -> str:
    return (
        f"---\nname: {name}\nversion: {version}\ndescription: Greets.\n"
        f"variables:\n  who: {{type: string}}\n---\n=== human\n{text}\n=== end\n"
    )


def write(folder: Path, ref: str, text: str) -> Path:
    path = folder / f"{ref}.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def library(tmp_path: Path) -> PromptLibrary:
    write(tmp_path, "greet@1", template())
    return PromptLibrary([FolderSource(tmp_path, settle_s=0.0)])


def promote(library: PromptLibrary, ref: str, label: str = "production") -> None:
    version = library.get(ref)
    change = LabelChange(at=now(), label=label, name=version.name, version=version.version)
    library.sources[0].label(change, digest=version.hash)
    library.refresh()


def test_the_packaged_templates_load_without_a_problem() -> None:
    library = open_library(load_settings(environ={}, env_file=None))
    version = library.get("assistant")
    messages = version.render_untrusted({"messages": [HumanMessage("hi")], "documents": "One."})
    assert [m.type for m in messages] == ["system", "human", "system"]
    assert version.ref.startswith("assistant@")
    assert library.problems() == {}
    library.close()


def test_chat_prompt_gives_the_same_messages_and_ignores_other_names(
    library: PromptLibrary,
) -> None:
    version = library.get("greet")
    value = version.chat_prompt.invoke({"who": "Ann", "other": 1})
    assert (
        value.to_messages()
        == version.render_untrusted({"who": "Ann"})
        == [HumanMessage("Hello Ann.")]
    )


async def test_chat_prompt_async(library: PromptLibrary) -> None:
    version = await library.aget("greet")
    value = await version.chat_prompt.ainvoke({"who": "Ann"})
    assert value.to_messages() == [HumanMessage("Hello Ann.")]
    with pytest.raises(PromptError, match=r"greet@1 needs the variable 'who'"):
        await version.chat_prompt.ainvoke({})


def test_values_are_neither_escaped_nor_rendered_again(library: PromptLibrary) -> None:
    (message,) = library.get("greet").render_untrusted(
        {"who": '<b> & "{{who}}" {{> house@1}} {{{x}}}'}
    )
    assert message.content == 'Hello <b> & "{{who}}" {{> house@1}} {{{x}}}.'


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "greet@1 needs the variable 'who'"),
        ({"who": None}, "greet@1 needs the variable 'who'"),
        ({"who": 3}, "variable 'who' must be of type string, not int"),
        ({"who": "Ann", "whom": "Bob"}, "greet@1 has no variable 'whom'. It has: who"),
        ({"who": lambda text, render: "pwned"}, "must be of type string, not function"),
    ],
)
def test_wrong_values_are_named(
    library: PromptLibrary, values: dict[str, object], said: str
) -> None:
    with pytest.raises(PromptError, match=said.replace(".", r"\.")):
        library.get("greet").render_untrusted(values)


def test_callables_inside_lists_are_refused(tmp_path: Path) -> None:
    text = template().replace("{type: string}", "{type: list}")
    write(tmp_path, "greet@1", text.replace("{{who}}", "{{#who}}{{.}}{{/who}}"))
    version = PromptLibrary([FolderSource(tmp_path)]).get("greet")
    with pytest.raises(PromptError, match="holds code"):
        version.render_untrusted({"who": [{"x": lambda text, render: "pwned"}]})
    assert version.render_untrusted({"who": ["a", "b"]}) == [HumanMessage("Hello ab.")]


def test_sections_over_plain_values(tmp_path: Path) -> None:
    """They are compiled in a quicker form, which must mean the same."""
    text = (
        "{{#who}}[{{who}}{{#more}}+{{more}}{{/more}}]{{/who}}{{^who}}nobody{{/who}}"
        "{{#items}}<{{name}}{{#who}}:{{who}}{{/who}}>{{/items}}{{#dot}}({{.}}){{/dot}}"
    )
    head = template(text=text).replace(
        "  who: {type: string}\n",
        '  who: {default: ""}\n  more: {type: integer, default: 0}\n'
        '  items: {type: list, default: [], fields: [name]}\n  dot: {default: ""}\n',
    )
    write(tmp_path, "greet@1", head)
    version = PromptLibrary([FolderSource(tmp_path)]).get("greet")

    def say(**values: object) -> str:
        return version.render_untrusted(values)[0].text

    assert say() == "nobody"
    assert say(who="Ann") == "[Ann]"
    assert say(who="Ann", more=2, dot="x") == "[Ann+2](x)"
    assert say(who="A", items=[{"name": "n"}, {"name": "m", "who": "B"}]) == "[A]<n:A><m:B>"
    assert say(more=2, items=[{"name": "n"}]) == "nobody<n>"


def test_placeholders_take_messages_of_any_form(tmp_path: Path) -> None:
    write(
        tmp_path,
        "chat@1",
        "---\nname: chat\nversion: 1\ndescription: d\nvariables: {turns: {type: messages}}\n---\n"
        "=== system\nBe brief.\n\\=== not a message\n=== placeholder turns\n=== end\n",
    )
    version = PromptLibrary([FolderSource(tmp_path)]).get("chat")
    assert version.render_untrusted({"turns": [("human", "hi"), AIMessage("ho")]}) == [
        SystemMessage("Be brief.\n=== not a message"),
        HumanMessage("hi"),
        AIMessage("ho"),
    ]
    with pytest.raises(PromptError, match="no messages"):
        version.render_untrusted({"turns": [object()]})


def test_labels_decide_what_is_live_and_promotion_locks(
    library: PromptLibrary, tmp_path: Path
) -> None:
    write(tmp_path, "greet@2", template(version=2, text="Hi {{who}}."))
    library.refresh()
    with pytest.raises(PromptError, match="No version of the prompt 'greet' is live"):
        library.get("greet")
    assert library.get("greet", label="latest").version == 2
    promote(library, "greet@1")
    promote(library, "greet@2", label="staging")
    assert library.get("greet").version == 1
    assert library.get("greet", label="staging").version == 2
    with pytest.raises(PromptError, match=r"no label 'stagging'\. Known: latest, production, stag"):
        library.get("greet", label="stagging")
    write(tmp_path, "greet@2", template(version=2, text="Bye {{who}}."))
    library.refresh()
    assert library.get("greet@2").render_untrusted({"who": "Ann"}) == [HumanMessage("Hi Ann.")]
    assert "versions don't change" in library.problems()["greet@2"]


def test_a_label_may_pin_versions(library: PromptLibrary, tmp_path: Path) -> None:
    write(tmp_path, "greet@2", template(version=2))
    write(tmp_path, "part@1", template("part"))
    library.refresh()
    promote(library, "greet@1")
    assert library.get("greet", "2").version == 2
    assert library.get("greet", "part@1, greet@2").version == 2
    assert library.get("part", "greet@2").version == 1
    with pytest.raises(PromptError, match="has no version 7"):
        library.get("greet", "7")
    with pytest.raises(PromptError, match="has no version 7"):
        library.get("greet", "greet@7")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no front matter\n=== end", r"greet@1.md, line 1: the first line must be ---"),
        ("", r"greet@1.md, line 1: the last line must be `=== end`"),
        (template()[:-9], r"line 9: the last line must be `=== end`"),
        ("---\nname: greet\n=== end", "never closed"),
        (
            "---\nname: [greet\nversion: 1\n---\n=== end\n",
            r"greet@1.md, line \d: the front matter is no Y",
        ),
        (template().replace("version: 1", "version: one"), r"line 3: version: input should be a"),
        (template().replace("variables", "varables"), r"line 5: varables: no such field"),
        (template(version=2), "the file is called greet@1, but it says greet@2"),
        (template(text="{{#who}} never closed"), r"line 9: section 'who' is never closed"),
        (template(text="x\n{{who"), r"line 10: a tag is opened"),
        (template(text="{{=<% %>=}}"), r"line 9: a template can't change the delimiters"),
        (template(text="{{> house}}"), r"line 9: the partial 'house' needs a version"),
        (template(text="{{> nowhere@1}}"), r"line 9: there is no partial 'nowhere@1'"),
        (template(text="x\n=== robot"), r"line 10: '=== robot' opens no message"),
        (template(text="x\n=== placeholder who"), r"needs a variable of type messages"),
        (template(text="x" * 300_000), "has at most 262,144 characters"),
        (template(text="x" * 10_000_000), r"the file has 10,000,\d+ bytes"),
    ],
)
def test_a_broken_file_says_where_and_never_replaces_a_good_one(
    library: PromptLibrary, tmp_path: Path, text: str, said: str
) -> None:
    good = library.get("greet")
    write(tmp_path, "greet@1", text)
    library.refresh()
    assert library.get("greet").render_untrusted({"who": "Ann"}) == good.render_untrusted(
        {"who": "Ann"}
    )
    with pytest.raises(PromptError, match=said):
        PromptLibrary([FolderSource(tmp_path, settle_s=0)]).get("greet")
    problem = "\n".join(library.problems().values())
    assert "greet@1.md" in problem
    write(tmp_path, "greet@1", template(text="Good again, {{who}}."))
    library.refresh()
    assert library.problems() == {}
    assert library.get("greet").render_untrusted({"who": "Ann"}) == [
        HumanMessage("Good again, Ann.")
    ]


def test_a_template_that_includes_itself_is_refused(tmp_path: Path) -> None:
    head = "---\nname: _{0}\nversion: 1\ndescription: d\n---\n{1}\n=== end"
    write(tmp_path, "_a@1", head.format("a", "{{> b@1}}"))
    write(tmp_path, "_b@1", head.format("b", "{{> a@1}}"))
    write(tmp_path, "greet@1", template(text="{{> a@1}}{{who}}"))
    with pytest.raises(PromptError, match="includes itself: a@1 → b@1 → a@1"):
        PromptLibrary([FolderSource(tmp_path)]).get("greet")


def test_partials_can_not_blow_up(tmp_path: Path) -> None:
    head = "---\nname: _{0}\nversion: 1\ndescription: d\n---\n{1}\n=== end"
    write(tmp_path, "_a0@1", head.format("a0", "ha" * 50))
    for level in range(1, 12):
        text = head.format(f"a{level}", f"{{{{> a{level - 1}@1}}}}" * 10)
        write(tmp_path, f"_a{level}@1", text)
    write(tmp_path, "greet@1", template(text="{{> a11@1}}{{who}}"))
    began = time.monotonic()
    with pytest.raises(PromptError, match="longer than 262,144"):
        PromptLibrary([FolderSource(tmp_path)]).get("greet")
    assert time.monotonic() - began < 30


def test_changing_a_partial_changes_the_hash(tmp_path: Path) -> None:
    head = "---\nname: _tone\nversion: 1\ndescription: d\n---\n"
    write(tmp_path, "_tone@1", head + "Be kind.\n=== end")
    write(tmp_path, "greet@1", template(text="{{> tone@1}} {{who}}"))
    library = PromptLibrary([FolderSource(tmp_path, settle_s=0)])
    before = library.get("greet")
    write(tmp_path, "_tone@1", head + "Be rude!\n=== end")
    library.refresh()
    assert library.get("greet").hash != before.hash
    assert library.get("greet").render_untrusted({"who": "Ann"}) == [HumanMessage("Be rude! Ann")]


def test_an_unknown_name_gets_the_nearest(library: PromptLibrary) -> None:
    with pytest.raises(PromptError, match=r"There is no prompt 'gret'\. Did you mean 'greet'"):
        library.get("gret")
    with pytest.raises(PromptError, match=r"has no version 9\. It has: 1"):
        library.get("greet@9")


def test_a_label_to_a_missing_version_is_a_problem_and_changes_nothing(
    library: PromptLibrary, tmp_path: Path
) -> None:
    promote(library, "greet@1")
    (tmp_path / "labels.yaml").write_text("labels: {production: {greet: 9}}", encoding="utf-8")
    library.refresh()
    assert library.get("greet").version == 1
    assert "points to greet@9" in library.problems()["greet@9"]
    (tmp_path / "labels.yaml").write_text("labels: {production: [}", encoding="utf-8")
    library.refresh()
    assert library.get("greet").version == 1
    assert "labels.yaml" in library.problems()


def test_a_live_version_survives_the_loss_of_its_file(
    library: PromptLibrary, tmp_path: Path
) -> None:
    promote(library, "greet@1")
    (tmp_path / "greet@1.md").unlink()
    library.refresh()
    assert library.get("greet").version == 1
    assert "its file is gone" in library.problems()["greet@1"]


def test_a_lost_folder_keeps_what_was_loaded(library: PromptLibrary, tmp_path: Path) -> None:
    library.get("greet")
    (tmp_path / "greet@1.md").unlink()
    tmp_path.rmdir()
    library.refresh()
    assert library.get("greet").version == 1
    with pytest.raises(PromptError, match="is not there"):
        PromptLibrary([FolderSource(tmp_path)]).get("greet")


def test_own_numbers_never_hide_the_packaged_ones(tmp_path: Path) -> None:
    write(tmp_path, "assistant@1", template("assistant"))
    settings = load_settings(environ={}, env_file=None, prompts={"folder": tmp_path})
    library = open_library(settings)
    assert "messages" in library.get("assistant@1").meta.variables
    assert "give yours another number" in library.problems()["assistant@1"]
    library.close()


def test_a_file_that_is_still_being_written_is_not_taken(tmp_path: Path) -> None:
    path = write(tmp_path, "greet@1", template())
    os.utime(path, ns=(1, 1))
    library = PromptLibrary([FolderSource(tmp_path, settle_s=0.05)])
    library.get("greet")
    path.write_text(template(text="Hello {{who}}. And"), encoding="utf-8")
    library.refresh()
    assert library.get("greet").render_untrusted({"who": "Ann"}) == [HumanMessage("Hello Ann.")]
    time.sleep(0.06)
    library.refresh()
    assert library.get("greet").render_untrusted({"who": "Ann"}) == [HumanMessage("Hello Ann. And")]


def test_ten_thousand_renders_under_reload_are_never_torn(tmp_path: Path) -> None:
    """A writer that writes in two halves, and readers that must see only whole texts."""
    path = write(tmp_path, "greet@1", template(text="A {{who}} " * 40))
    os.utime(path, ns=(1, 1))
    library = PromptLibrary([FolderSource(tmp_path, settle_s=0.02)])
    whole = {
        letter: library.get("greet").render_untrusted({"who": "x"})[0].text.replace("A", letter)
        for letter in "AB"
    }
    stop = threading.Event()
    broken: list[str] = []

    def writer() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            letter = "AB"[count % 2]
            half = template(text=f"{letter} {{{{who}}}} " * 40)
            with path.open("w", encoding="utf-8") as file:
                file.write(half[: len(half) // 2])
                file.flush()
                time.sleep(0.005)
                file.write(half[len(half) // 2 :])
            time.sleep(0.04)

    def reloader() -> None:
        while not stop.is_set():
            library.refresh()
            time.sleep(0.005)

    threads = [threading.Thread(target=writer), threading.Thread(target=reloader)]
    for thread in threads:
        thread.start()
    seen: set[str] = set()
    for _ in range(10_000):
        text = library.get("greet").render_untrusted({"who": "x"})[0].text
        seen.add(text)
        if text not in whole.values():
            broken.append(text)
    stop.set()
    for thread in threads:
        thread.join()
    assert not broken
    assert seen == set(whole.values()), "the reload must have happened while rendering"


def test_the_watcher_reloads_and_ends(tmp_path: Path) -> None:
    path = write(tmp_path, "greet@1", template())
    os.utime(path, ns=(1, 1))
    before = set(threading.enumerate())
    library = PromptLibrary([FolderSource(tmp_path, settle_s=0.0)], reload_s=0.02)
    library.get("greet")
    ours = set(threading.enumerate()) - before
    assert [thread.name for thread in ours] == ["allotrope-prompts"]
    path.write_text(template(text="Changed, {{who}}."), encoding="utf-8")
    deadline = time.monotonic() + 60
    while library.get("greet").render_untrusted({"who": "Ann"})[0].text != "Changed, Ann.":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    library.close()
    while any(thread.is_alive() for thread in ours):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_packaged_version_is_locked_and_every_name_is_live() -> None:
    """A packaged template that changes must become a new version: the lock turns red otherwise."""
    import yaml

    from allotrope.prompts.library import TEMPLATES

    library = PromptLibrary([FolderSource(TEMPLATES)])
    snapshot = library.snapshot
    locks = yaml.safe_load((TEMPLATES / "lock.yaml").read_text(encoding="utf-8"))["sha256"]
    assert snapshot.problems == {}
    assert locks == {ref: version.hash for ref, version in snapshot.templates.items()}
    assert {name for label, name in snapshot.labels if label == "production"} == set(
        snapshot.versions
    )
