"""The routes to an atlas: the pages of its site, each made when it is asked for. No torch here."""

import asyncio
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deconvnet._errors import DeconvNetError
from deconvnet.atlas.reader import Atlas
from deconvnet.viewer.addresses import NETWORK
from deconvnet.viewer.atlas_files import atlas_files
from deconvnet.viewer.atlas_views import AtlasViews
from deconvnet.viewer.responses import KINDS, failed

ADDRESS = f"/atlas/{NETWORK}"


class AtlasRoutes:
    """The routes to an atlas.

    Args:
        atlas: what is shown.
        alone: whether "/" leads here.

    Attributes:
        routes: its first page is at `ADDRESS`.
    """

    def __init__(self, atlas: Atlas, *, alone: bool) -> None:
        self._files, self._lock = atlas_files(AtlasViews(atlas)), asyncio.Lock()
        self.routes = [Route("/atlas/{address:path}", self._get_file, methods=["GET"])]
        self.routes += [Route("/", self._get_first, methods=["GET"])] if alone else []

    async def _get_first(self, request: Request) -> Response:
        return RedirectResponse(ADDRESS, 303)

    async def _get_file(self, request: Request) -> Response:
        address = request.path_params["address"]
        content = self._files.get(address)  # names of a table: none is a path
        try:
            async with self._lock:
                data = None if content is None else await asyncio.to_thread(content)
        except DeconvNetError as error:
            return failed(str(error), 500)
        if data is None:
            return failed("this is not a page of the atlas.", 404)
        return Response(data, media_type=KINDS[PurePosixPath(address).suffix])
