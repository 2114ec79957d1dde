"""The servers of `tests/web`, for attacks on their borders."""

from tests.web.conftest import (  # noqa: F401  # fixtures
    browser,
    open_page,
    running_app,
    serve,
    served,
    start_server,
)
