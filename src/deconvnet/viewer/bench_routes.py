"""The routes to a bench: what visitors send, within limits, and what goes wrong in words."""

import asyncio
import re
import traceback
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet.photos.files import largest
from deconvnet.viewer.answers import Answers, decoded
from deconvnet.viewer.asks import SampleAsk
from deconvnet.viewer.bench import Arrived, Bench
from deconvnet.viewer.pages import BENCH_SCRIPTS, BENCH_STYLES, bench_html
from deconvnet.viewer.photo_store import PhotoGoneError
from deconvnet.viewer.rendering import static_text
from deconvnet.viewer.responses import KINDS, as_response, failed
from deconvnet.viewer.turns import BusyError, SupersededError, Turns
from deconvnet.viewer.uploads import FullError, TooLargeError, Uploads

_UPLOAD, _UPLOADS = 2**25, 2**28  # bytes of a photo's file, and of all that are received at a time
_ASK = 2**20  # bytes of a request that is not a photo
_DECODES = 2  # photos at a time
_VISITOR = re.compile(r"[\w-]{1,64}", re.ASCII)


class BenchRoutes:
    """The routes to a bench.

    Args:
        bench: what answers.
        beside: address of an atlas that is served as well; "" for none.

    Attributes:
        routes: its page is at "/".
    """

    def __init__(self, bench: Bench, *, beside: str = "") -> None:
        self._bench, self._answers = bench, Answers(bench)
        self._turns, self._decodes = Turns(), asyncio.Semaphore(_DECODES)
        self._photos = Uploads(min(_UPLOAD, largest()), _UPLOADS)
        self._asks = Uploads(_ASK, 64 * _ASK)
        self._page = bench_html(bench.title, bench.about(), beside=beside).encode()
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
            return failed("this is not a file of the page.", 404)
        return Response(self._files[name], media_type=KINDS[PurePosixPath(name).suffix])

    async def _get_photos(self, request: Request) -> Response:
        return as_response({"photos": self._bench.of(_visitor(request))})

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
            return as_response(await answer)
        except PhotoGoneError as error:
            return failed(str(error), 404, gone=True)
        except DeconvNetError as error:
            return failed(str(error), 400)
        except SupersededError as error:
            return failed(str(error), 409, superseded=True)
        except BusyError as error:
            return failed(str(error), 503)
        except FullError:
            return failed("too many photos are being sent at a time: try again in a moment.", 503)
        except TooLargeError:
            return failed(f"the file is larger than {self._photos.most >> 20} MiB: send a smaller copy.", 413)
        except TimeoutError:
            return failed("the photo took too long to arrive: try again.", 408)
        except ClientDisconnect:
            return failed("the visitor has gone.", 400)
        except Exception:  # a fault of ours: the visitor is told that there is one, the terminal which
            traceback.print_exc()
            return failed("the server has met a fault of its own; its terminal says which.", 500)


def _visitor(request: Request) -> str:
    visitor = request.headers.get("x-visitor", "")
    return visitor if _VISITOR.fullmatch(visitor) else ""


def _turn(request: Request) -> int:
    turn = request.headers.get("x-turn", "0")
    return int(turn) if turn.isascii() and turn.isdecimal() and len(turn) <= 15 else 0
