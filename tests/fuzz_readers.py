"""Outside text at random, led by what the code does with it: libFuzzer (atheris) over the readers.

    make fuzz
    make fuzz SECONDS=600
    PYTHONPATH=build/fuzz-atheris .venv/bin/python tests/fuzz_readers.py --again FILE

atheris stands in a folder of its own, `build/fuzz-atheris`. The texts begin with those of
`tests/security/expressions.py`; what ends a run is written to `build/`, and `--again` tries it
once more.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 2_000
"""Bytes of a text."""
SLOW_S = 20
"""Seconds within which one text is read, on a busy machine too."""
SEEDS = (
    "2026-12-24 3pm", "5 km to miles", "(1+2)*3%", "Paris, Texas", "at most 5 words, no digits",
    "Prices rose by 3 % to $5 million in May 2020 [1].", "| a | b |\n|---|---|\n| 1 | 2 |",
    "```python\n# a.py\ndef f(): pass\n```", '{"model": "assistant", "messages": [{"role": "user", '
    '"content": "a"}]}', "alt_0123456789ab_" + "x" * 43, "eyJhbGciOiJFUzI1NiJ9.e30.AA",
    "http://[::1]:80/a?b=c", "max-age=5, no-store", "from=2026-01-01T00:00+02:00&by=agent",
    "usd 5 month", "10.0.0.1, 127.0.0.1", "Actually, the meeting is on Tuesday, not Monday.",
    "\u00b2 in 5", "\u0663 words", "<quoted_data id=x>", "{{#a}}{{b}}{{/a}}", "#12", "yes, run it",
)  # fmt: skip
"""What readers know: each is tried with each reader before anything is changed."""


def main() -> int:
    """Runs it; 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long texts are tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=Path, help="a text that ended a run")
    options = parser.parse_args()
    made = ROOT / "build"
    made.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(_corpus()):
            (Path(folder) / f"{number:05}").write_bytes(text)
        asked = [
            *(sys.executable, __file__, "--within", f"-artifact_prefix={made}/fuzz-"),
            *(f"-max_len={LONGEST}", f"-timeout={SLOW_S}", "-rss_limit_mb=3000"),
            *(f"-seed={options.seed}", "-verbosity=0"),
        ]
        if options.again:
            asked.append(str(options.again))
        else:
            asked += [f"-max_total_time={options.seconds}", folder]
        code = subprocess.run(asked, check=False).returncode
    if code == 0:
        print("No reader let anything out but its own refusals.")
    return code


def _corpus() -> list[bytes]:
    sys.path.insert(0, str(ROOT / "tests" / "security"))
    from expressions import UNITS
    from readers import readers

    texts = [*SEEDS, *(unit * 3 for unit in UNITS)]
    return [bytes([number]) + text.encode() for number in range(len(readers())) for text in texts]


def within() -> None:
    """libFuzzer's process: the first byte of an input says which reader gets the rest."""
    import atheris

    sys.path.insert(0, str(ROOT / "tests" / "security"))
    with atheris.instrument_imports(include=["allotrope"]):
        from readers import outcome, readers
    table = list(readers().items())

    def one(data: bytes) -> None:
        if data:
            name, read = table[data[0] % len(table)]
            try:
                outcome(read, data[1:].decode("utf-8", "replace"))
            except BaseException as exc:
                exc.add_note(f"The reader {name}, with {data[1:]!r}")
                raise

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--within"]:
        within()
    else:
        sys.exit(main())
