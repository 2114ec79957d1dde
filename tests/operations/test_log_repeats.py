"""Equal warnings are shown once in a while, with how many there were."""

import io
import logging

import pytest

from allotrope.operations.logs import Repeats, configure, log_ids
from allotrope.settings.sections import LogSettings


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_an_outage_of_many_runs_is_one_line() -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream=stream)
    logger = logging.getLogger("allotrope.stores")
    for run in range(443):
        with log_ids(run_id=f"r{run}"):
            logger.warning("Redis doesn't answer: %s", "ConnectionError")
    logger.warning("Redis doesn't answer: %s", "TimeoutError")
    assert len(lines(stream)) == 2


@pytest.fixture
def limited() -> tuple[logging.Logger, io.StringIO, list[float]]:
    stream, now = io.StringIO(), [0.0]
    handler = logging.StreamHandler(stream)
    handler.addFilter(Repeats(handler, every_s=30, clock=lambda: now[0]))
    logger = logging.Logger("allotrope.test")
    logger.addHandler(handler)
    return logger, stream, now


def test_how_many_there_were_is_said_with_the_next_line_of_any_kind(
    limited: tuple[logging.Logger, io.StringIO, list[float]],
) -> None:
    logger, stream, now = limited
    for _ in range(5):
        logger.warning("down")
    now[0] = 31
    logger.error("something else")
    logger.warning("down")
    assert lines(stream) == ["down", "down (again 4 times in 31 s)", "something else", "down"]


def test_what_is_told_once_or_changes_or_is_no_warning_is_left_alone(
    limited: tuple[logging.Logger, io.StringIO, list[float]],
) -> None:
    logger, stream, now = limited
    logger.warning("once")
    logger.setLevel(logging.INFO)
    for _ in range(2):
        logger.info("a request")
        logger.warning("circuit", extra={"state": "open"})
    now[0] = 31
    logger.info("later")
    assert lines(stream) == ["once", "a request", "circuit", "a request", "circuit", "later"]
