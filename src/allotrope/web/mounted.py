"""The pages inside LangGraph's Agent Server: `"http": {"app": "allotrope.web.mounted:app"}`.

Importing this module makes nothing; the server asks for `app`, and then it is made.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette

    app: Starlette


def __getattr__(name: str) -> "Starlette":
    """Makes `app` when it is first asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from allotrope.settings import load_settings
    from allotrope.web.apps import mounted_app

    made = mounted_app(load_settings())
    globals()["app"] = made
    return made
