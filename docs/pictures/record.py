"""Records `make run` as it happens and draws it: python docs/pictures/record.py"""

import subprocess
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Runs the command and writes run.svg beside this file."""
    ran = subprocess.run(
        ["make", "--no-print-directory", "run"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    console = Console(record=True, width=100, file=Path("/dev/null").open("w"))  # noqa: SIM115 # ends with the process
    console.print(Text("$ make run", style="bold"))
    for line in ran.stdout.splitlines():
        console.print(Text(line, style="dim" if line.startswith("—") else ""))
    target = Path(__file__).parent / "run.svg"
    console.save_svg(str(target), title="allotrope", theme=MONOKAI)
    print(target, ran.stdout, sep="\n")


if __name__ == "__main__":
    main()
