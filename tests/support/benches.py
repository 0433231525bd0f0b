"""A bench of a small network, what is asked of it over HTTP, and a server of it in a thread."""

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import uvicorn
from PIL import Image
from starlette.testclient import TestClient
from support.pages import small, stack
from torch import nn

from deconvnet.viewer.bench import Bench
from deconvnet.viewer.bench_routes import BenchRoutes
from deconvnet.viewer.server import app_of

HOST = "127.0.0.1:8000"


def small_bench() -> Bench:
    """A bench of a small network of 32 x 32 pixels."""
    return Bench(*small(stack()))


def bench_of_many() -> Bench:
    """The same of more classes than are shown."""
    model = stack()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        model.fc = nn.Linear(1024, 9)
    return Bench(*small(model, names=tuple(f"kind {i}" for i in range(9))))


def png(seed: int = 3, size: tuple[int, int] = (40, 60)) -> bytes:
    """A photo's file."""
    image = np.random.default_rng(seed).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).resize(size[::-1]).save(file, "PNG")
    return file.getvalue()


def client_of(bench: Bench, **options: Any) -> TestClient:
    """A visitor of a bench on this machine."""
    app = app_of(BenchRoutes(bench).routes, **{"hosts": frozenset({HOST}), **options})
    return TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)


def ask(client: Any, what: str, question: Any, **headers: str) -> Any:
    """The response to a question."""
    content = question if isinstance(question, bytes) else json.dumps(question).encode()
    return client.post(f"/ask/{what}", content=content, headers={"Content-Type": "application/json", **headers})


@contextlib.contextmanager
def running(bench: Bench) -> Iterator[str]:
    """A bench served on a free port, as long as the block runs; gives its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        app = app_of(BenchRoutes(bench).routes, hosts=frozenset({host}))
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://{host}"
        finally:
            server.should_exit = True
            thread.join(10)
