"""`heliograph serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from heliograph.cli.common import explained, remember_url, require_free_port
from heliograph.cli.config import SettingsFile
from heliograph.config import read


def serve(
    settings_file: SettingsFile = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data folder, before what the settings say.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="The port, before what the settings say.")] = None,
) -> None:
    """Start a server with your settings.

    It serves until SIGTERM or Ctrl-C; then it takes nothing new, finishes what it took, and ends. A second one ends
    it at once, in order still.

    \b
    heliograph config init
    heliograph serve --config heliograph.toml
    HELIOGRAPH_HTTP__PORT=9000 heliograph serve --data /var/lib/heliograph
    """
    given = {
        name: value for name, value in (("data.dir", data and str(data)), ("http.port", port)) if value is not None
    }
    settings = read(settings_file, os.environ, given=given).settings
    require_free_port(settings.http.host, settings.http.port)
    from heliograph import serving
    from heliograph.app import App

    def ready(_: App) -> None:
        remember_url(Path(settings.data.dir), settings.base_url)
        print(f"heliograph serves {settings.data.dir} at {settings.base_url}", file=sys.stderr)

    with explained(Path(settings.data.dir)):
        serving.run(settings, on_ready=ready)
