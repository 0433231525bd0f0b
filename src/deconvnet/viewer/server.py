"""A bench as a server for browsers: routes, limits, and what goes wrong in words."""

import asyncio
import re
import secrets
import socket
import traceback
import warnings
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from deconvnet._errors import ArgumentError, DeconvNetError, DeconvNetWarning

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route

    from deconvnet.viewer.gate import Gate
except ImportError as fault:
    raise ArgumentError(
        f"the server needs Starlette and uvicorn ({fault}): install them with pip install 'deconvnet[serve]'."
    ) from fault

from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.photos.files import largest
from deconvnet.viewer.answers import Answers, decoded
from deconvnet.viewer.asks import SampleAsk
from deconvnet.viewer.bench import Arrived, Bench
from deconvnet.viewer.pages import BENCH_SCRIPTS, BENCH_STYLES, as_json, bench_html
from deconvnet.viewer.photo_store import PhotoGoneError
from deconvnet.viewer.rendering import static_text
from deconvnet.viewer.turns import BusyError, SupersededError, Turns
from deconvnet.viewer.uploads import FullError, TooLargeError, Uploads

LOCAL = "127.0.0.1"

_UPLOAD, _UPLOADS = 2**25, 2**28  # bytes of a photo's file, and of all that are received at a time
_ASK = 2**20  # bytes of a request that is not a photo
_DECODES = 2  # photos at a time
_VISITOR = re.compile(r"[\w-]{1,64}", re.ASCII)
_KINDS = {".js": "text/javascript", ".css": "text/css"}


class Server:
    """The routes to a bench.

    Args:
        bench: what answers.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench, self._answers = bench, Answers(bench)
        self._turns, self._decodes = Turns(), asyncio.Semaphore(_DECODES)
        self._photos = Uploads(min(_UPLOAD, largest()), _UPLOADS)
        self._asks = Uploads(_ASK, 64 * _ASK)
        self._page = bench_html(bench.title, bench.about()).encode()
        self._files = {name: static_text(name).encode() for name in (*BENCH_SCRIPTS, *BENCH_STYLES)}
        self.routes = [
            Route("/", self._get_page, methods=["GET"]),
            Route("/static/{name}", self._get_file, methods=["GET"]),
            Route("/photos", self._get_photos, methods=["GET"]),
            Route("/photos", self._post_photo, methods=["POST"]),
            Route("/samples", self._post_sample, methods=["POST"]),
            Route("/ask/{what}", self._post_ask, methods=["POST"]),
        ]

    def close(self) -> None:
        """Begin no more work."""
        self._turns.close()

    async def _get_page(self, request: Request) -> Response:
        return Response(self._page, media_type="text/html")

    async def _get_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:  # names of a table: none is a path
            return _failed("there is no such file.", 404)
        return Response(self._files[name], media_type=_KINDS[PurePosixPath(name).suffix])

    async def _get_photos(self, request: Request) -> Response:
        return _json({"photos": self._bench.of(_visitor(request))})

    async def _post_photo(self, request: Request) -> Response:
        return await self._answered(self._uploaded(request))

    async def _post_sample(self, request: Request) -> Response:
        return await self._answered(self._sampled(request))

    async def _post_ask(self, request: Request) -> Response:
        return await self._answered(self._asked(request))

    async def _uploaded(self, request: Request) -> object:
        name = unquote(request.headers.get("x-name", "photo"), errors="replace")
        body = await self._photos.receive(request.stream(), request.headers.get("content-length"))
        try:
            async with self._decodes:
                arrived = await asyncio.to_thread(self._bench.read, body, name)
        finally:
            self._photos.release(body)
        return await self._put(request, arrived)

    async def _sampled(self, request: Request) -> object:
        name = decoded(await self._ask(request), SampleAsk).sample
        async with self._decodes:
            arrived = await asyncio.to_thread(self._bench.sample, name)
        return await self._put(request, arrived)

    async def _put(self, request: Request, arrived: Arrived) -> object:
        visitor = _visitor(request)
        return await self._turns.run(visitor, _turn(request), lambda check: self._bench.put(arrived, visitor))

    async def _asked(self, request: Request) -> object:
        what, visitor, data = request.path_params["what"], _visitor(request), await self._ask(request)
        return await self._turns.run(visitor, _turn(request), lambda check: self._answers.answer(what, data, check))

    async def _ask(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise ArgumentError("the request is not JSON: its Content-Type has to be application/json.")
        data = await self._asks.receive(request.stream(), request.headers.get("content-length"))
        self._asks.release(data)
        return data

    async def _answered(self, answer: Any) -> Response:
        """The answer as JSON, or what went wrong, with a status that says whose fault it is."""
        try:
            return _json(await answer)
        except PhotoGoneError as error:
            return _failed(str(error), 404, gone=True)
        except DeconvNetError as error:
            return _failed(str(error), 400)
        except SupersededError as error:
            return _failed(str(error), 409, superseded=True)
        except BusyError as error:
            return _failed(str(error), 503)
        except FullError:
            return _failed("too many photos are being sent at a time: try again in a moment.", 503)
        except TooLargeError:
            return _failed(f"the file is larger than {self._photos.most >> 20} MiB: send a smaller copy.", 413)
        except TimeoutError:
            return _failed("the photo took too long to arrive: try again.", 408)
        except ClientDisconnect:
            return _failed("the visitor has gone.", 400)
        except Exception:  # a fault of ours: the visitor is told that there is one, the terminal which
            traceback.print_exc()
            return _failed("the server has met a fault of its own; its terminal says which.", 500)


def app_of(bench: Bench, *, hosts: frozenset[str] | None, token: str | None = None, cookie: str = "deconvnet") -> Gate:
    """The application: a bench behind the checks of `Gate`, which says what the arguments are."""
    server = Server(bench)
    app = Starlette(routes=server.routes, exception_handlers={404: _not_there, 405: _not_there})
    return Gate(app, hosts=hosts, token=token, cookie=cookie)


def serve(
    net: DeconvNet,
    loaded: LoadedModel,
    *,
    host: str | None = None,
    port: int = 8000,
    ready: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve a bench until Ctrl-C.

    Args:
        net, loaded: as `Bench` takes them.
        host: address to listen on; None for this machine alone. Any other needs a token, which is part of the
            address that `ready` is told.
        port: to listen on; 0 for one that is free.
        ready: called with the address to open.

    Raises:
        ArgumentError: the server cannot listen there; or as `Bench`.
        KeyboardInterrupt: Ctrl-C, once all has ended.
    """
    listening = _listening(host or LOCAL, port)
    port = listening.getsockname()[1]
    token = None if host is None else secrets.token_urlsafe(24)
    hosts = frozenset(f"{name}:{port}" for name in (LOCAL, "localhost", "[::1]")) if host is None else None
    if hosts is not None and port == 80:
        hosts |= {LOCAL, "localhost"}
    app = app_of(Bench(net, loaded), hosts=hosts, token=token, cookie=f"deconvnet-{port}")
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


def _visitor(request: Request) -> str:
    visitor = request.headers.get("x-visitor", "")
    return visitor if _VISITOR.fullmatch(visitor) else ""


def _turn(request: Request) -> int:
    turn = request.headers.get("x-turn", "0")
    return int(turn) if turn.isascii() and turn.isdecimal() and len(turn) <= 15 else 0


async def _not_there(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _failed("there is nothing here." if status == 404 else "this address takes no such request.", status)


def _failed(words: str, status: int, **more: bool) -> Response:
    return Response(as_json({"error": words, **more}), status, media_type="application/json")


def _json(answer: object) -> Response:
    return Response(as_json(answer), media_type="application/json")
