"""A server on this machine: who may ask, where it listens, and how it ends. No torch here."""

import secrets
import socket
import warnings
from collections.abc import Callable, Sequence

from deconvnet._errors import ArgumentError, DeconvNetWarning

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from deconvnet.viewer.gate import Gate
    from deconvnet.viewer.responses import failed
except ImportError as fault:
    raise ArgumentError(
        f"the server needs Starlette and uvicorn ({fault}): install them with pip install 'deconvnet[serve]'."
    ) from fault

LOCAL = "127.0.0.1"


def app_of(
    routes: Sequence[Route], *, hosts: frozenset[str] | None, token: str | None = None, cookie: str = "deconvnet"
) -> Gate:
    """The application: routes behind the checks of `Gate`, which says what the other arguments are."""
    app = Starlette(routes=routes, exception_handlers={404: _not_there, 405: _not_there})
    return Gate(app, hosts=hosts, token=token, cookie=cookie)


def serve(
    routes: Sequence[Route],
    *,
    host: str | None = None,
    port: int = 8000,
    ready: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve until Ctrl-C.

    Args:
        routes: what is served.
        host: address to listen on; None for this machine alone. Any other needs a token, which is part of the
            address that `ready` is told.
        port: to listen on; 0 for one that is free.
        ready: called with the address to open.

    Raises:
        ArgumentError: the server cannot listen there.
        KeyboardInterrupt: Ctrl-C, once all has ended.
    """
    listening = _listening(host or LOCAL, port)
    port = listening.getsockname()[1]
    token = None if host is None else secrets.token_urlsafe(24)
    hosts = frozenset(f"{name}:{port}" for name in (LOCAL, "localhost", "[::1]")) if host is None else None
    if hosts is not None and port == 80:
        hosts |= {LOCAL, "localhost"}
    app = app_of(routes, hosts=hosts, token=token, cookie=f"deconvnet-{port}")
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, server_header=False, proxy_headers=False
    )
    name = f"[{host}]" if host and ":" in host else host or LOCAL
    ready(f"http://{name}:{port}/" + ("" if token is None else f"?token={token}"))
    with listening, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvNetWarning)  # pages say it in their notes
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as fault:
        raise ArgumentError(f"cannot listen on {host!r}, port {port}: {fault}. Give another address.") from fault
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(512)
    except OSError as fault:
        listening.close()
        raise ArgumentError(
            f"cannot listen on {host}:{port}: {fault.strerror or fault}. Give another port (--port), or 0 for any that "
            "is free."
        ) from fault
    return listening


async def _not_there(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return failed("there is nothing here." if status == 404 else "this address takes no such request.", status)
