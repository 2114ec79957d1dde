"""The chat page shows any answer: deep and long Markdown neither crashes nor freezes it."""

from typing import Any

import pytest

pytestmark = pytest.mark.browser

WORST = {
    "quotes": ">" * 6_000 + " x",
    "quotes on many lines": "\n".join("> " * 200 + "x" for _ in range(300)),
    "lists": "\n".join(" " * depth + "- x" for depth in range(3_000)),
    "brackets": "[" * 60_000,
    "images": "![a](" * 15_000,
    "ticks": "".join("`" * (1 + n % 90) + "a" for n in range(1_000)),
    "stars": "**a " * 15_000,
    "emphasis": "*a" * 30_000,
    "one word": "x" * 400_000,
    "table": "|" * 30_000 + "\n" + "|-" * 30_000,
    "headings": "#" * 60_000,
    "heading with hashes": "# " + "a #" * 20_000 + "b",
    "rules": "- " * 30_000 + "x",
    "blanks": " " * 60_000 + "x",
    "pipes": "a|b\n" * 6_000,
    "fences": "```\n" * 6_001,
    "addresses": "http://" * 10_000,
}
RENDER = """async ([text]) => {
  const { markdown } = await import("/static/markdown.js");
  const begun = performance.now();
  const shown = markdown(text).textContent.length;
  return [shown, performance.now() - begun];
}"""


@pytest.mark.parametrize("name", WORST)
async def test_worst_markdown(served: str, open_page: Any, name: str) -> None:
    page = await open_page()
    await page.goto(served)
    shown, _ = await page.evaluate(RENDER, [WORST[name]])
    assert shown >= 0


async def test_usual_depths_are_kept(served: str, open_page: Any) -> None:
    page = await open_page()
    await page.goto(served)
    html = """async () => {
      const { markdown } = await import("/static/markdown.js");
      const box = document.createElement("div");
      box.append(markdown("> > a **b *c***\\n\\n- x\\n  - y\\n    - z"));
      return box.innerHTML;
    }"""
    shown = await page.evaluate(html)
    assert shown.count("<blockquote>") == 2
    assert shown.count("<ul>") == 3
    assert "<strong>" in shown
