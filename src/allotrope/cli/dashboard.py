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
    grafana: Annotated[
        bool, typer.Option("--grafana", help="Print a dashboard for Grafana instead.")
    ] = False,
) -> None:
    """Open the usage dashboard."""
    from allotrope.extras import needed
    from allotrope.settings import load_settings

    with needed("The dashboard"):
        import uvicorn  # noqa: F401  # needed later; say so now

        from allotrope.web.access import check_exposure
        from allotrope.web.apps import dashboard_app
        from allotrope.web.pages import FOLDER
        from allotrope.web.running import address, bind, run

    if grafana:
        print((FOLDER / "static" / "grafana.json").read_text(encoding="utf-8"), end="")
        return
    settings = load_settings()
    where = host or settings.serve.host
    check_exposure(settings.serve, where)
    with bind(where, port) as listening:
        print(f"Dashboard {address(listening)}/dashboard", flush=True)
        if browser:
            import webbrowser

            listening.listen()
            webbrowser.open(f"{address(listening)}/dashboard")
        run(
            dashboard_app(settings, host=where),
            listening,
            drain_s=settings.serve.drain_s,
            level=settings.log.level,
        )
