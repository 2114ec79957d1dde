"""`allotrope dashboard`: spend, savings and states in the browser."""

from typing import Annotated

import typer

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def dashboard(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; default: 127.0.0.1.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one.", min=0)] = 8090,
    browser: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Ask for no token: whoever is on this machine may look."),
    ] = False,
    grafana: Annotated[
        bool, typer.Option("--grafana", help="Print a dashboard for Grafana instead.")
    ] = False,
) -> None:
    """Open the usage dashboard."""
    from allotrope.settings import load_settings
    from allotrope.support.extras import needed

    with needed("The dashboard"):
        import uvicorn  # noqa: F401  # needed later; say so now

        from allotrope.web.apps import dashboard_app
        from allotrope.web.pages import FOLDER
        from allotrope.web.running import address, bind, run
        from allotrope.web.starting import guarded, private_files, reachable

    if grafana:
        print((FOLDER / "static" / "grafana.json").read_text(encoding="utf-8"), end="")
        return
    private_files()
    settings, made = guarded(load_settings(), host, no_token=no_token)
    where = host or settings.serve.host
    with (
        bind(where, port) as listening,
        reachable(f"{address(listening)}/dashboard", made, browser=browser) as shown,
    ):
        print(f"Dashboard {shown}", flush=True)
        run(
            dashboard_app(settings, host=where),
            listening,
            drain_s=settings.serve.drain_s,
            level=settings.log.level,
        )
