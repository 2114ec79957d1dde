"""What a server does before it listens: a token of its own, and how its user's browser gets it."""

import contextlib
import os
import sys
import webbrowser
from collections.abc import Iterator

from pydantic import SecretStr

from allotrope.identity.local_token import kept, make_token
from allotrope.settings import Settings
from allotrope.web.access.access import check_exposure


def guarded(
    settings: Settings, host: str | None, *, no_token: bool = False
) -> tuple[Settings, str | None]:
    """The settings with a token, and the token where it was made here.

    Args:
        settings: Of the process.
        host: The address to listen on; None: the settings'.
        no_token: The person wants none, in these words.

    Raises:
        SettingsError: Others could reach the server without a token.
    """
    if no_token:
        settings = settings.with_section("serve", no_token=True, token=None)
    serve = settings.serve
    check_exposure(serve, host or serve.host)
    if serve.token is not None or serve.no_token:
        return settings, None
    made = make_token()
    return settings.with_section("serve", token=SecretStr(made)), made


@contextlib.contextmanager
def reachable(url: str, made: str | None, *, browser: bool) -> Iterator[str]:
    """The address to print, with the token where it was made here, while the server runs.

    Args:
        url: The first page.
        made: The token that was made, if one was.
        browser: Open it. The browser is given a file that only its user can read: whoever looks
            at the machine's processes sees no token.
    """
    with contextlib.ExitStack() as stack:
        place = url
        if made is not None:
            place = stack.enter_context(kept(url, made)).as_uri()
        if browser:
            webbrowser.open(place)
        yield url if made is None else f"{url}?token={made}"


def private_files() -> None:
    """From now on what this process makes is for its own user only."""
    if sys.platform != "win32":
        os.umask(0o077)
