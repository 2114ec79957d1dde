"""`allotrope models`: who serves which role, until when, and who comes next."""

import json

from tests.front.conftest import RunCli


def test_every_role_has_its_model(cli: RunCli) -> None:
    ran = cli("models", "--json")
    assert ran.code == 0, ran.err
    assert "economical" in json.dumps(json.loads(ran.out))


def test_what_was_learnt_is_forgotten(cli: RunCli) -> None:
    ran = cli("models", "forget", "gpt-6.1-sol")
    assert (ran.code, ran.out) == (0, "Nothing was learnt of gpt-6.1-sol.\n")
