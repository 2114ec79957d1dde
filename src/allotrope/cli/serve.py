"""`allotrope serve`: the agents over an OpenAI-compatible API, with a chat page."""

from typing import Annotated

import typer

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; default: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port; default: 8080, 0 takes a free one.", min=0)
    ] = None,
) -> None:
    """Serve the agents over an OpenAI-compatible API, with a chat page."""
    from allotrope.budget_profiles import check_budget_profiles
    from allotrope.extras import needed
    from allotrope.settings import load_settings

    with needed("Serving"):
        import uvicorn  # noqa: F401  # needed later; say so now

        from allotrope.web.access import check_exposure
        from allotrope.web.apps import serve_app
        from allotrope.web.running import address, bind, run

    settings = load_settings()
    where = host or settings.serve.host
    check_exposure(settings.serve, where)
    check_budget_profiles(settings)
    with bind(where, settings.serve.port if port is None else port) as listening:
        print(f"Chat page {address(listening)}/ · API {address(listening)}/v1", flush=True)
        run(
            serve_app(settings, host=where),
            listening,
            drain_s=settings.serve.drain_s,
            level=settings.log.level,
        )
