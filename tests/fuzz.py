"""Requests at random to the HTTP API: schemathesis over our own `/openapi.json`.

    make fuzz
    make fuzz REQUESTS=500

schemathesis stands in an environment of its own, since LangGraph's server wants an older
jsonschema-rs than it does. The server is `allotrope serve` with a token, the provider the
simulator.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from _form import provider_process
from _soak_servers import Serve

TOKEN = "fuzz-" + "0123456789abcdef"

SERVED = {
    "ALLOTROPE_SERVE__NO_TOKEN": "false",
    "ALLOTROPE_SERVE__TOKEN": TOKEN,
    "ALLOTROPE_EMBEDDED__ENABLED": "false",
}

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
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        provider_process() as provider,
        Serve({**provider, **SERVED}, Path(name)) as server,
    ):
        return subprocess.run(
            [
                *(options.schemathesis.resolve(), "run", f"{server.url}/openapi.json"),
                *("--checks", ",".join(CHECKS), "--max-examples", str(options.requests)),
                *("--header", f"Authorization: Bearer {TOKEN}"),
                *("--seed", str(options.seed), "--generation-database", "none", "--no-color"),
            ],
            cwd=name,
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
