"""The callbacks under a real trainer of Lightning."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.commands import captured_once
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import deconvnet
from deconvnet import ArgumentError, DeconvNetWarning, LayerNotFoundError
from deconvnet.capture import trace
from deconvnet.training import EvolutionCallback, RenormaliseCallback

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import CSVLogger, Logger


@pytest.fixture(autouse=True)
def one_capture(monkeypatch):
    monkeypatch.setattr(trace, "capture", captured_once)


class Classifier(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val", self.training_step(batch, 0))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.5)


def data() -> TensorDataset:
    x = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, torch.arange(8) % 2)


def fit(callbacks, *, model=None, epochs=2, ckpt_path=None, **options):
    torch.manual_seed(0)
    given = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "max_epochs": epochs, "callbacks": callbacks, **options,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?!.*(snapshot|logger))")  # Lightning's advice, and torch's to it
        trainer = pl.Trainer(**given)
        trainer.fit(model or Classifier(), DataLoader(data(), batch_size=4), DataLoader(data(), batch_size=4),
                    ckpt_path=ckpt_path)  # fmt: skip
    return trainer


def watching(folder, **options) -> EvolutionCallback:
    given = {"module": "net", "layers": {"2": [0, 3]}, "epochs": None, **options}
    return EvolutionCallback(data().tensors[0], folder=folder, **given)


def test_snapshots_come_at_the_end_of_epochs_with_the_step_of_the_trainer(tmp_path):
    fit([watching(tmp_path / "e", epochs=(0, 1, 3))], epochs=3)
    snapshots = deconvnet.open(tmp_path / "e")
    assert [(snapshot.epoch, snapshot.step) for snapshot in snapshots] == [(0, 0), (1, 2), (3, 6)]


def test_the_training_is_the_same_with_and_without(tmp_path):
    with_it, without = Classifier(), Classifier()
    without.load_state_dict(with_it.state_dict())
    fit([watching(tmp_path / "e")], model=with_it)
    fit([], model=without)
    for a, b in zip(with_it.state_dict().values(), without.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_lightning_module_itself_can_be_watched(tmp_path):
    fit([watching(tmp_path / "e", module="", layers={"net.2": [1]})], epochs=1)
    assert deconvnet.open(tmp_path / "e").layers == ("net.2",)


def test_a_module_without_the_named_layer_is_refused_before_the_training(tmp_path):
    with pytest.raises(LayerNotFoundError, match="no layer 'relu'"):
        fit([watching(tmp_path / "e", layers=["relu"])])
    with pytest.raises(ArgumentError, match=r"module='nett' is not a module of the Classifier. Did you mean 'net'"):
        fit([watching(tmp_path / "e", module="nett")])
    assert not (tmp_path / "e").exists()


def test_a_quick_run_for_development_writes_nothing(tmp_path):
    fit([watching(tmp_path / "e")], fast_dev_run=True)
    assert not (tmp_path / "e").exists()


def test_it_goes_on_where_the_trainer_does(tmp_path):
    trainer = fit([watching(tmp_path / "e")], epochs=2)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(ArgumentError, match="resume=True"):
        fit([watching(tmp_path / "e")])
    fit([watching(tmp_path / "e")], epochs=3, ckpt_path=tmp_path / "last.ckpt")
    assert deconvnet.open(tmp_path / "e").epochs == (1, 2, 3)


class Fake(Logger):
    name = version = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.pictures, self.metrics = [], []

    def log_hyperparams(self, *_, **__) -> None: ...

    def log_metrics(self, metrics, step=None) -> None:
        self.metrics += [(name, step) for name in metrics if name.startswith("evolution")]


class LikeWandb(Fake):
    def log_image(self, key, images, step=None) -> None:
        assert all(isinstance(image, Image.Image) for image in images)
        self.pictures.append((key, step))


class LikeTensorBoard(Fake):
    @property
    def experiment(self):
        return self

    def add_image(self, key, array, step, dataformats) -> None:
        assert array.shape[2] == 3 and dataformats == "HWC"
        self.pictures.append((key, step))


class Failing(Fake):
    def log_metrics(self, metrics, step=None) -> None:
        if any(name.startswith("evolution") for name in metrics):
            raise ConnectionError("no network")

    def log_image(self, key, images, step=None) -> None:
        raise ConnectionError("no network")


@pytest.mark.parametrize("logger", [LikeWandb(), LikeTensorBoard()], ids=lambda each: type(each).__name__)
def test_pictures_go_to_loggers_that_take_them_and_measures_too(tmp_path, logger):
    fit([watching(tmp_path / "e", layers={"0": [0], "2": [0, 3]})], logger=logger)
    assert logger.pictures == [("evolution/0", 2), ("evolution/2", 2), ("evolution/0", 4), ("evolution/2", 4)]
    assert {step for _, step in logger.metrics} == {4}
    assert ("evolution/2/filters", 4) in logger.metrics


def test_a_logger_without_pictures_is_passed_over_with_one_warning(tmp_path):
    with pytest.warns(DeconvNetWarning) as caught:
        fit([watching(tmp_path / "e")], logger=CSVLogger(tmp_path), epochs=3)
    said = [str(warning.message) for warning in caught if warning.category is DeconvNetWarning]
    assert said == [f"the logger CSVLogger takes no pictures: they lie in '{tmp_path / 'e'}'."]
    assert "evolution/2/filters" in next(tmp_path.rglob("metrics.csv")).read_text()


def test_a_logger_that_fails_does_not_end_the_training(tmp_path):
    logger = Failing()
    with pytest.warns(DeconvNetWarning) as caught:
        fit([watching(tmp_path / "e")], logger=logger, epochs=3)
    assert [str(w.message) for w in caught if w.category is DeconvNetWarning] == [
        "the logger Failing failed: ConnectionError: no network"
    ]
    assert deconvnet.open(tmp_path / "e").epochs == (1, 2, 3)


def test_filters_are_scaled_after_every_step():
    callback, model = RenormaliseCallback(0.05, module="net"), Classifier()
    fit([callback], model=model, epochs=1)
    rms = model.net[0].weight.detach().square().mean((1, 2, 3)).sqrt()
    assert (rms <= 0.05 * 1.00001).all() and callback.scaled.keys() == {"0"}


def test_wrong_arguments_are_refused_where_they_are_given(tmp_path):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'layer'.*Did you mean 'layers'"):
        EvolutionCallback(torch.zeros(1, 3, 6, 6), folder=tmp_path, layer="0")
    with pytest.raises(ArgumentError, match="resume is True or False"):
        EvolutionCallback(torch.zeros(1, 3, 6, 6), folder=tmp_path, resume="yes")
    with pytest.raises(ArgumentError, match="module is a text"):
        RenormaliseCallback(module=None)


@pytest.mark.slow
def test_two_processes_write_one_evolution_and_both_end_where_rank_zero_cannot_begin(tmp_path):
    """In a process of its own, because one that has trained cannot be forked."""
    script = f"""
import runpy, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
here, folder = runpy.run_path({__file__!r}), Path({str(tmp_path)!r})
def fit(name, layers):
    callbacks = [here["watching"](folder / name, layers=layers), here["RenormaliseCallback"](0.05, module="net")]
    here["fit"](callbacks, strategy="ddp_fork", devices=2)
fit("good", {{"2": [0, 3]}})
fit("bad", ["relu"])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and "no layer 'relu'" in ended.stderr
    assert deconvnet.open(tmp_path / "good").epochs == (1, 2)
