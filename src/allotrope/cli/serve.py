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
    browser: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Ask for no token: whoever is on this machine may call."),
    ] = False,
) -> None:
    """Serve the agents over an OpenAI-compatible API, with a chat page."""
    from allotrope.models.profiles.budget_profiles import check_budget_profiles
    from allotrope.settings import load_settings
    from allotrope.support.extras import needed

    with needed("Serving"):
        import uvicorn  # noqa: F401  # needed later; say so now

        from allotrope.web.apps import serve_app
        from allotrope.web.running import address, bind, run
        from allotrope.web.starting import guarded, private_files, reachable

    private_files()
    settings, made = guarded(load_settings(), host, no_token=no_token)
    where = host or settings.serve.host
    check_budget_profiles(settings)
    with (
        bind(where, settings.serve.port if port is None else port) as listening,
        reachable(f"{address(listening)}/", made, browser=browser) as shown,
    ):
        print(f"Chat page {shown} · API {address(listening)}/v1", flush=True)
        run(
            serve_app(settings, host=where),
            listening,
            drain_s=settings.serve.drain_s,
            level=settings.log.level,
        )
