"""`deconvnet serve`: a bench in the browser, to try a network on photos, and an atlas."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.network import open_network
from deconvnet.cli.stderr import say

if TYPE_CHECKING:
    from starlette.routing import Route


@o.with_flags
def serve(
    atlas: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Folder of an atlas, whose pages are served as well.", show_default="none"),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0 for any that is free.", min=0, max=65535)
    ] = 8000,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Address to listen on, such as 0.0.0.0, for visitors from other machines; they need a token, which is "
            "part of the address that is printed.",
            show_default="this machine alone",
        ),
    ] = None,
    pages_only: Annotated[
        bool, typer.Option("--pages-only", help="Serve the pages of the atlas alone, and load no network.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open-browser", help="Open the page in the browser.")] = False,
    *,
    flags: o.ModelFlags,
) -> None:
    """Serve a bench in the browser: drop a photo, and click through its classes, layers, feature maps and units.

    Each picture is computed when it is asked for. Photos stay in the memory of this machine and are not written. With
    DIR, the pages of its site are served as well, each made when it is opened. Ctrl-C ends it.
    """
    from deconvnet.viewer.server import serve as serve_routes

    with ExitStack() as ended:
        routes, what = _routes(atlas, flags, ended, pages_only=pages_only)

        def ready(address: str) -> None:
            print(f"{what} is at {address}", flush=True)
            say("press Ctrl-C to end.")
            if open_browser:
                typer.launch(address)

        with suppress(KeyboardInterrupt):  # where Ctrl-C is ignored, as in the background, the server ends without one
            serve_routes(routes, host=host, port=port, ready=ready)
        say("the server has ended.")


def _routes(
    atlas: Path | None, flags: o.ModelFlags, ended: ExitStack, *, pages_only: bool
) -> "tuple[list[Route], str]":
    """The routes to the atlas and to the bench, and what they lead to in words; `ended` stops the bench's thread.

    Raises:
        ArgumentError: neither is to be served.
    """
    routes: list[Route] = []
    if atlas is not None:
        from deconvnet.atlas.reader import Atlas
        from deconvnet.viewer.atlas_routes import ADDRESS, AtlasRoutes

        opened = Atlas.open(atlas)
        routes += AtlasRoutes(opened, alone=pages_only).routes
        spec = opened.manifest.model.spec
    if pages_only:
        if atlas is None:
            raise ArgumentError("--pages-only needs the folder of an atlas: deconvnet serve DIR --pages-only.")
        return routes, f"The atlas {str(atlas)!r}"
    network = open_network(flags)
    if atlas is not None and spec != network.loaded.spec:
        say(f"the atlas is of {spec!r}, and the bench of {network.loaded.spec!r}: name the atlas's model with --model.")
    from deconvnet.viewer.bench import Bench
    from deconvnet.viewer.bench_routes import BenchRoutes

    bench = BenchRoutes(Bench(network.net, network.loaded), beside="" if atlas is None else ADDRESS)
    ended.callback(bench.close)
    return [*routes, *bench.routes], f"The bench of {network.name}"
