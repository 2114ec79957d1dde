"""Requests at random to the HTTP API: schemathesis over our own `/openapi.json`.

    make fuzz
    make fuzz REQUESTS=500

schemathesis stands in an environment of its own, since LangGraph's server wants an older
jsonschema-rs than it does. The server is `allotrope serve` with a token, the provider the
simulator.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TOKEN = "fuzz-" + "0123456789abcdef"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
)
"""What must hold for every answer. A body that fits the schema may still be refused: an agent of
that name must exist, and the last message must be the user's."""


def main() -> int:
    """Runs it; the exit code is schemathesis's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schemathesis", type=Path, help="its command")
    parser.add_argument("--requests", type=int, default=40, help="examples for each operation")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        provider = subprocess.Popen(
            [sys.executable, "-m", "allotrope.testing", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert provider.stdin
        assert provider.stdout
        lines = [provider.stdout.readline().removeprefix("export ").strip() for _ in range(3)]
        server = subprocess.Popen(
            [sys.executable, "-c", "from allotrope.cli import main; main()", "serve"],
            env={
                **{k: v for k, v in os.environ.items() if "ALLOTROPE_" not in k},
                **dict(line.split("=", 1) for line in lines),
                "ALLOTROPE_DATA_DIR": f"{name}/data",
                "ALLOTROPE_SERVE__PORT": "0",
                "ALLOTROPE_SERVE__TOKEN": TOKEN,
                "ALLOTROPE_SERVE__REQUESTS_PER_MINUTE": "null",
                "ALLOTROPE_EMBEDDED__ENABLED": "false",
            },
            cwd=name,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout
            said = re.search(r"http://[\d.:]+", server.stdout.readline())
            if said is None:
                sys.stderr.write("The server didn't start.\n")
                return 2
            return subprocess.run(
                [
                    *(options.schemathesis.resolve(), "run", f"{said[0]}/openapi.json"),
                    *("--checks", ",".join(CHECKS), "--max-examples", str(options.requests)),
                    *("--header", f"Authorization: Bearer {TOKEN}", "--wait-for-schema", "60"),
                    *("--seed", str(options.seed), "--generation-database", "none", "--no-color"),
                ],
                cwd=name,
                check=False,
            ).returncode
        finally:
            server.terminate()
            server.wait(30)
            provider.stdin.close()
            provider.wait(10)


if __name__ == "__main__":
    sys.exit(main())
