"""`deconvnet serve`: a bench in the browser, to try a network on photos."""

from typing import Annotated

import typer

from deconvnet.cli import options as o
from deconvnet.cli.network import open_network
from deconvnet.cli.stderr import say


@o.with_flags
def serve(
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
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    *,
    flags: o.ModelFlags,
) -> None:
    """Serve a bench in the browser: drop a photo, and click through its classes, layers, feature maps and units.

    Each picture is computed when it is asked for. Photos stay in the memory of this machine and are not written. Ctrl-C
    ends it.
    """
    from deconvnet.viewer.server import serve as serve_bench

    network = open_network(flags)

    def ready(address: str) -> None:
        print(f"The bench of {network.name} is at {address}", flush=True)
        say("press Ctrl-C to end.")
        if open_browser:
            typer.launch(address)

    try:
        serve_bench(network.net, network.loaded, host=host, port=port, ready=ready)
    except KeyboardInterrupt:
        say("the server has ended.")
