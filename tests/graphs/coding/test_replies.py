"""The files of a reply, wherever their names stand."""

import pytest

from allotrope.graphs.work.coding.replies import fenced, files_of, without_name

PY = "```python\n{}\n```\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("### `a/b.py`\n```python\nx = 1\n```", ["a/b.py"]),
        ("**main.js**\n```javascript\nx\n```", ["main.js"]),
        ("File: Dockerfile\n```dockerfile\nFROM x\n```", ["Dockerfile"]),
        ("Put this into `q.sql`:\n```sql\nSELECT 1\n```", ["q.sql"]),
        ("```py title='a.py'\nx = 1\n```\n```python:b.py\ny = 1\n```", ["a.py", "b.py"]),
        (
            "```css\n/* main.css */\na {}\n```\n```sql\n-- q.sql\nSELECT 1\n```",
            ["main.css", "q.sql"],
        ),
        ("- step\n  ```python\n  # a.py\n  def f():\n      pass\n  ```", ["a.py"]),
        ("Install:\n```bash\npip install x\n```\n```python\n# a.py\nx\n```", ["a.py"]),
        ("Output of `a.py`:\n```python\n3\n```\n", ["solution.py"]),
        ("```sql\nSELECT 1\n```", ["query.sql"]),
        ("```python\ndef f(): pass\n```\n```python\ndef g(): pass\n```", ["solution.py"]),
        ("```python\ndef f(): pass\n```\nUsage:\n```python\nf()\n```", ["solution.py"]),
        ("no code", []),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert list(files_of(text)) == names


def test_texts() -> None:
    joined = files_of("```python\ndef f(): pass\n```\n```python\ndef g(): pass\n```")["solution.py"]
    assert "def f" in joined
    assert "def g" in joined
    replaced = files_of("```python\ndef f(): return 1\n```\n```python\ndef f(): return 2\n```")
    assert replaced == {"solution.py": "def f(): return 2\n"}
    assert files_of("- one:\n  ```python\n  # a.py\n  def f():\n      pass\n  ```")[
        "a.py"
    ].endswith("def f():\n    pass\n")
    assert without_name("# a.py\nx = 1\n", "a.py") == "x = 1\n"
    assert without_name("# about a.py\nx = 1\n", "a.py") == "# about a.py\nx = 1\n"


def test_a_fence_within_a_longer_one() -> None:
    (block,) = fenced("````md\n```python\nx\n```\n````")
    assert block.code == "```python\nx\n```"
