"""No regular expression of ours is slow on any text: each gets 200 KB of its own worst case.

The expressions are found in the modules themselves, so a new one is tried without being listed.
The limit is CPU seconds that the kernel enforces: what is linear needs some hundredths of a second,
what is quadratic needs minutes.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from allotrope.agents.tools import dates, zones
from allotrope.agents.tools.arithmetic import MAX_LENGTH, evaluate
from allotrope.agents.tools.units import LONGEST, convert
from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.claims import polarity
from allotrope.graphs.work.sources.reading import loading
from allotrope.graphs.work.tables.claims.language import quantities
from allotrope.memory.recall import lexicon
from allotrope.models.catalogue.entries import open_catalogue
from allotrope.models.failures import errors
from allotrope.models.providers.gguf import PACKAGED_TOKENS
from allotrope.stores.postgres import errors as postgres_errors
from allotrope.support.fencing import _branches

CPU_S = 4
CAPPED = {
    "allotrope.agents.tools.arithmetic": MAX_LENGTH,
    "allotrope.agents.tools.dates": dates.LONGEST,
    "allotrope.agents.tools.expressions": MAX_LENGTH,
    "allotrope.agents.tools.unit_names": LONGEST,
    "allotrope.agents.tools.zones": zones.LONGEST,
    "allotrope.graphs.work.tables.claims.language.dates": quantities.LONGEST,
    "allotrope.graphs.work.tables.claims.language.quantities": quantities.LONGEST,
    "allotrope.agents.tools.units": LONGEST,
}
"""Modules whose texts are refused before an expression sees them where they are longer."""


def tables() -> dict[str, list[str]]:
    """Expressions that stand in a table, by the name under which the code uses them."""
    families = [family.match for family in open_catalogue().families.values()]
    reasons = [pattern for pattern, _, _ in postgres_errors._REASONS]
    endings = "|".join(loading.SUFFIXES).replace(".", "[.]")
    return {
        "allotrope.support.fencing:_branches(sorted(known))": [
            _branches(sorted([*PACKAGED_TOKENS, *(f"<unused{n}>" for n in range(300))]))
        ],
        "allotrope.graphs.work.constraints.checking:f'{before}{re.escape(value)}{after}'": [
            r"(?<!\w)word(?!\w)"
        ],
        "allotrope.graphs.work.sources.naming:"
        "f\"(?:{'|'.join(map(re.escape, suffixes))}){after}\"": [rf"(?:{endings})(?![\w/]|\.\w)"],
        "allotrope.models.catalogue.entries:family.match": families,
        "allotrope.models.catalogue.entries:f.match": families,
        "allotrope.models.failures.errors:pattern": [
            pattern for pattern, _, _ in errors._BY_WORDING
        ],
        "allotrope.memory.recall.lexicon:phrases": [
            lexicon.written(kind, code) for kind in lexicon.CUES for code in lexicon.languages()
        ],
        "allotrope.graphs.work.sources.claims.polarity:f'\\\\b(?:{known})\\\\b'": [
            polarity._phrases()[0].pattern
        ],
        "allotrope.graphs.work.sources.claims.polarity:stem": [r"\bcomp", r"\ball\b"],
        "allotrope.stores.postgres.errors:refused": ["|".join(reasons[:4])],
        "allotrope.stores.postgres.errors:pattern": reasons,
        # a person's own expression, in a scorer of an experiment that they run themselves
        "allotrope.experiments.offline.text_scorers:pattern": ["word"],
    }


def tried(source: str, **given: Any) -> list[dict[str, Any]]:
    """What the program says, first line apart."""
    done = subprocess.run(
        [sys.executable, source],
        input=json.dumps({"cpu_s": CPU_S, "capped": CAPPED, **given}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_expression_is_slow_on_its_worst_text() -> None:
    program = Path(__file__).with_name("expressions.py")
    first, *slow = tried(str(program), tables=tables())
    assert first["expressions"] > 150
    assert first["unknown"] == []
    assert slow == []


@pytest.mark.parametrize("pattern", [r"\s*\n", r"(a+)+b", r"\d[\d.]*%", r"<b[^>]*>", r"a\s+\s*b"])
def test_a_slow_expression_is_found(pattern: str) -> None:
    program = Path(__file__).with_name("expressions.py")
    code = (
        f"import sys; sys.path.insert(0, {str(program.parent)!r}); import json, expressions as e;"
        f"print(len(e.slow([e.Expression('here', {pattern!r}, 0, 'finditer')], cpu_s=0.2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"


def test_capped_texts_are_refused_beyond_their_length() -> None:
    with pytest.raises(InputError, match="500"):
        evaluate("1" * (MAX_LENGTH + 1))
    with pytest.raises(InputError, match="too long"):
        convert("1" * (LONGEST + 1), "km")
