"""Small networks with pages, what a page holds, and a browser to look at it with."""

import base64
import contextlib
import io
import json
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import DeconvNet, LoadedModel, Preprocess

NAMES = ("tabby cat", "collie", "owl", "goldfish", "lamp")


def small(
    model: nn.Module, *, channels: int = 3, size: tuple[int, int] = (32, 32), names: tuple[str, ...] | None = NAMES
) -> tuple[DeconvNet, LoadedModel]:
    """A network, attached, with the photos and the names that it takes."""
    photos = Preprocess(size, max(size), (0.5,) * channels, (0.25,) * channels, channels=channels)
    loaded = LoadedModel(model.eval(), photos, names)
    return DeconvNet(loaded.model, loaded.example_input), loaded


def stack() -> nn.Sequential:
    """Three convolutions, rectified, two of them pooled: for 32 x 32 pixels and five classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(3, 12, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(12, 16, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(3, 2, 1),
            conv3=nn.Conv2d(16, 16, 3, padding=1), relu3=nn.ReLU(), flatten=nn.Flatten(), fc=nn.Linear(1024, 5),
        ))  # fmt: skip


def data_of(page: str) -> dict[str, Any]:
    """What a page holds."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def pixels(webp: str) -> np.ndarray:
    """A picture of a page."""
    with Image.open(io.BytesIO(base64.b64decode(webp))) as opened:
        return np.asarray(opened.convert("RGB")).astype(float)


def layers_of(photo: dict[str, Any]) -> dict[str, Any]:
    return {layer["name"]: layer for layer in photo["layers"]}


_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium; without one the test is skipped."""
    if _CHROMIUM is None:
        pytest.skip("no Chromium is installed: make browser installs Debian's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield running
        running.close()


class Visit:
    """A page, the folder of a site, or a server, as a visitor opens it, and what went wrong.

    Args:
        running: a browser.
        source: the path of the page or the folder, or the server's address; nothing else may be asked for.
        ready: what is there when a page is ready to be used.
        options: of the browser.
    """

    def __init__(self, running: Any, source: Any, *, ready: str = "#classes button", **options: Any) -> None:
        self.file, self.source = source, source if isinstance(source, str) else source.as_uri()
        self.ready, self.faults, self.asked = ready, list[str](), list[str]()
        self.context = running.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("console", lambda message: self.faults.append(f"{message.type}: {message.text}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, address: str = "", *, width: int = 1280, height: int = 900, scheme: str = "light") -> Any:
        """The page, loaded anew."""
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.goto("about:blank")
        self.page.goto(self.source + address)
        self.page.wait_for_selector(self.ready)
        return self.page

    def check(self) -> None:
        """Raise unless all went well and nothing was asked of any server."""
        assert not self.faults
        others = [url for url in self.asked if not url.startswith(("data:", "about:", "blob:", self.source))]
        assert not others
