"""Files with models in them."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from support.specs import NET, small
from torch import nn
from torch.export import Dim, export


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def no_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    import timm
    from torchvision.models import _api

    monkeypatch.setattr(_api, "load_state_dict_from_url", refuse)
    create = timm.create_model

    def create_offline(name: str, *, pretrained: bool, **options: int) -> nn.Module:
        if pretrained:
            refuse()
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", create_offline)


@pytest.fixture
def program_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    program = export(small().eval(), (torch.zeros(2, 3, 10, 12),), dynamic_shapes=({0: Dim.AUTO},))
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2"
