"""Models that die: by date, by the clock, by command, from another process, in seven wordings."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI

from allotrope.exceptions import InputError
from allotrope.testing import ProviderSimulator, Reply
from allotrope.testing.openai.refusals import RETIREMENTS

KEY = {"authorization": "Bearer sk-x"}


@pytest.fixture
def now() -> list[float]:
    """A clock to be moved by hand."""
    return [0.0]


@pytest.fixture
def dated(now: list[float]) -> Iterator[ProviderSimulator]:
    """A provider ten seconds before o3's last day ends."""
    with ProviderSimulator(
        clock=lambda: now[0],
        now="2026-12-10T23:59:50",
        shutdown_dates={"o3": "2026-12-11", "gpt-4.1": "soon", "gpt-4o": None},
    ) as simulator:
        yield simulator


def ask(sim: ProviderSimulator, model: str, path: str = "chat/completions") -> httpx.Response:
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    if path == "responses":
        body = {"model": model, "input": "hi"}
    url = f"{sim.openai_url}/{path}"
    return httpx.post(url, json=body, headers=KEY, verify=False)


def listed(sim: ProviderSimulator) -> dict[str, str | None]:
    answer = httpx.get(f"{sim.openai_url}/models", headers=KEY, verify=False)
    return {card["id"]: card["shutdown_date"] for card in answer.json()["data"]}


def test_nothing_dies_unless_told(sim: ProviderSimulator) -> None:
    assert set(listed(sim).values()) == {None}
    for model in ("o1", "o4-mini", "gpt-3.5-turbo", "o3"):
        assert ask(sim, model, "responses").status_code == 200
    with ProviderSimulator(shutdown_dates={"o3": "2020-01-01"}) as announced:
        assert ask(announced, "o3").status_code == 200
        assert listed(announced)["o3"] == "2020-01-01"


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_retired_and_back_again(sim: ProviderSimulator, path: str) -> None:
    sim.retire("o3")
    for name in ("o3", "o3-2025-04-16"):
        gone = ask(sim, name, path)
        assert gone.status_code == 404
        assert gone.json()["error"] == {
            "message": f"The model `{name}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
        assert name not in listed(sim)
    assert ask(sim, "o3-mini", path).status_code == 200
    sim.revive("o3")
    assert ask(sim, "o3", path).status_code == 200
    sim.retire("o3")
    sim.reset()
    assert ask(sim, "o3", path).status_code == 200


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("not_found", openai.NotFoundError, "does not exist or you do not have access"),
        ("deprecated", openai.NotFoundError, "has been deprecated, learn more here"),
        ("bad_request", openai.BadRequestError, "has been retired"),
        ("forbidden", openai.PermissionDeniedError, "no longer available"),
        ("gone", openai.APIStatusError, "has reached its end of life on 2026-12-11"),
        ("azure", openai.APIStatusError, "has been deprecated since 12/11/2026 00:00:00"),
        ("no_access", openai.PermissionDeniedError, "Project `proj_simulator` does not have"),
    ],
)
def test_every_wording_reaches_the_real_client(
    sim: ProviderSimulator, how: str, error: type[openai.APIStatusError], words: str
) -> None:
    sim.retire("o3", how=how)
    client = openai.OpenAI(base_url=sim.openai_url, api_key="sk-x", max_retries=0)
    with client, pytest.raises(error) as caught:
        client.responses.create(model="o3", input="hi")
    assert words in caught.value.response.text
    status = {"gone": 410, "azure": 410, "bad_request": 400, "forbidden": 403, "no_access": 403}
    assert caught.value.status_code == status.get(how, 404)


def test_the_wordings_are_all_tried_and_others_refused(sim: ProviderSimulator) -> None:
    [mark] = test_every_wording_reaches_the_real_client.pytestmark  # type: ignore[attr-defined]  # pytest's own
    assert {case[0] for case in mark.args[1]} == set(RETIREMENTS)
    with pytest.raises(InputError, match="'killed' is no way to retire a model"):
        sim.retire("o3", how="killed")


def test_by_the_clock_while_a_stream_runs_on(now: list[float], dated: ProviderSimulator) -> None:
    dated.retire_at(5, "o4-mini", how="gone")
    assert ask(dated, "o4-mini").status_code == 200
    now[0] = 5.0
    assert ask(dated, "o4-mini").status_code == 410
    assert ask(dated, "o3").status_code == 200
    now[0] = 10.0
    assert ask(dated, "o3").status_code == 404
    assert "o3" not in listed(dated)
    dated.revive("o3")
    assert ask(dated, "o3").status_code == 200


def test_an_answer_under_way_ends(sim: ProviderSimulator) -> None:
    sim.script([Reply("one two three", token_delay_s=0.01)])
    model = ChatOpenAI(model="o3", base_url=sim.openai_url, api_key="sk-x", max_retries=0)  # type: ignore[arg-type]  # pydantic makes it a secret
    words = []
    for chunk in model.stream("hi"):
        sim.retire("o3")
        words.append(str(chunk.text))
    assert "".join(words) == "one two three"
    assert ask(sim, "o3").status_code == 404


def test_the_model_list_and_the_date_header(now: list[float], dated: ProviderSimulator) -> None:
    dates = listed(dated)
    assert dates["o3"] == dates["o3-2025-04-16"] == "2026-12-11"
    assert dates["gpt-4.1"] == "soon"
    assert dates["gpt-4o"] is dates["gpt-6.2-sol"] is dates["text-embedding-3-small"] is None
    one = httpx.get(f"{dated.openai_url}/models/o3", headers=KEY, verify=False)
    assert one.json()["shutdown_date"] == "2026-12-11"
    assert one.headers["date"] == "Thu, 10 Dec 2026 23:59:50 GMT"
    dated.announce("o3", "2027-06-01")
    now[0] = 60.0
    later = httpx.get(f"{dated.openai_url}/models/o3", headers=KEY, verify=False)
    assert later.json()["shutdown_date"] == "2027-06-01"
    assert later.headers["date"] == "Fri, 11 Dec 2026 00:00:50 GMT"
    with openai.OpenAI(base_url=dated.openai_url, api_key="sk-x") as client:
        assert client.models.retrieve("o3").shutdown_date == "2027-06-01"
    dated.reset()
    assert listed(dated)["o3"] == "2026-12-11"


def test_no_model_list_another_year_and_a_bad_now() -> None:
    with ProviderSimulator(
        models_endpoint=False, date_header="Sun, 06 Nov 1994 08:49:37 GMT"
    ) as bare:
        answer = httpx.get(f"{bare.openai_url}/models", headers=KEY, verify=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
        assert answer.headers["date"] == "Sun, 06 Nov 1994 08:49:37 GMT"
        assert ask(bare, "o3").status_code == 200
    with pytest.raises(InputError, match="now is 'tomorrow', which is no date"):
        ProviderSimulator(now="tomorrow")


def test_another_process_retires_and_counts(sim: ProviderSimulator) -> None:
    base = sim.openai_url.removesuffix("/v1") + "/simulator"
    ask(sim, "o3")
    retired = httpx.post(f"{base}/retire", json={"model": "o3", "how": "gone"}, verify=False)
    assert retired.status_code == 200
    assert ask(sim, "o3").status_code == 410
    httpx.post(f"{base}/revive", json={"model": "o3"}, verify=False).raise_for_status()
    assert ask(sim, "o3").status_code == 200
    counted = httpx.get(f"{base}/requests", verify=False).json()["requests"]
    assert [(r["model"], r["status"]) for r in counted] == [("o3", 200), ("o3", 410), ("o3", 200)]
    bad = httpx.post(f"{base}/retire", json={"model": "o3", "how": "x"}, verify=False)
    assert (bad.status_code, "no way to retire" in bad.text) == (400, True)
    assert httpx.post(f"{base}/retire", json={}, verify=False).status_code == 400
    assert httpx.get(f"{base}/nothing", verify=False).status_code == 404
    assert len(sim.requests) == 3  # the door itself is not counted


def test_the_standalone_server_has_flags() -> None:
    flags = ["--shutdown-date", "o3=2026-12-11", "--now", "2026-12-11", "--model", "my-model"]
    flags += ["--retire", "gpt-4.1=azure", "--retire", "gpt-4o@9999"]
    command = [sys.executable, "-m", "allotrope.testing", "--until-stdin-closes", *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        url = lines[1].strip().removeprefix("export OPENAI_BASE_URL=")
        answers = {}
        for model in ("o3", "gpt-4.1", "gpt-4o", "my-model"):
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            answer = httpx.post(
                f"{url}/chat/completions", json=body, headers=KEY, verify=False, timeout=30
            )
            answers[model] = answer.status_code
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    assert answers == {"o3": 404, "gpt-4.1": 410, "gpt-4o": 200, "my-model": 200}


def test_a_wrong_flag_is_one_line() -> None:
    command = [sys.executable, "-m", "allotrope.testing", "--retire"]
    for flag, words in (("o3=killed", "no way to retire"), ("o3@soon", "no number of seconds")):
        done = subprocess.run([*command, flag], capture_output=True, text=True)
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
