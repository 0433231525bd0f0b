"""Seeing what was learned: filters in pixels beside loops, a picture and its parts, sheets for people."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deconvnet import ArgumentError
from deconvnet.learn import (
    AdaptiveDeconvNet,
    Learned,
    Prepare,
    draw,
    draw_filters,
    draw_parts,
    draw_reconstructions,
    parts,
    pixel_filters,
)  # fmt: skip
from deconvnet.learn.codes import strongest
from deconvnet.learn.convolve import synthesis


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(channels: int = 1, pool: tuple[int, int, int] | None = (2, 3, 2)) -> AdaptiveDeconvNet:
    return AdaptiveDeconvNet.of([5, 4], channels=channels, kernel=3, pool=pool, lam=0.1, seed=2).double()


# Filters in pixels.


def test_filters_grow_with_the_layers_as_in_the_paper():
    net = AdaptiveDeconvNet.of([15, 50, 100, 150])
    shapes = [tuple(pixel_filters(net, layer).shape) for layer in (1, 2, 3)]
    assert shapes == [(15, 1, 7, 7), (50, 1, 27, 27), (100, 1, 87, 87)]
    fewer = AdaptiveDeconvNet.of([4, 3, 3, 2])
    assert [pixel_filters(fewer, layer).shape[-1] for layer in (1, 2, 3, 4)] == [7, 27, 87, 267]
    assert tuple(pixel_filters(fewer).shape) == (2, 1, 267, 267)


def test_the_first_layer_s_are_its_filters_and_a_copy_of_them():
    net = network()
    found = pixel_filters(net, 1)
    assert torch.equal(found, net.layers[0].filters) and not found.requires_grad
    found.zero_()
    assert net.layers[0].filters.any()


def slowly_in_pixels(net: AdaptiveDeconvNet) -> Tensor:
    """Of two layers: every number of a filter stands in its block where its map was most often the strongest."""
    lower, upper = net.layers
    p, q, s = lower.pool or (1, 1, 1)
    k, kk = upper.filters.shape[2:]
    found = torch.zeros(upper.maps, lower.channels, k * p + 2, kk * q + 2, dtype=torch.float64)
    for m, c, i, j in product(range(upper.maps), range(upper.channels), range(k), range(kk)):
        counts = lower.usual[c].tolist()
        place = counts.index(max(counts))
        map_, y, x = c * s + place // (p * q), i * p + place % (p * q) // q, j * q + place % q
        if map_ < lower.maps:
            found[m, :, y : y + 3, x : x + 3] += (
                float(upper.filters[m, c, i, j].detach()) * lower.filters[map_].detach()
            )
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pool", [(2, 3, 2), (1, 1, 2), (3, 3, 1), None])
@pytest.mark.parametrize("trained", [True, False])
def test_the_second_layer_s_are_what_its_filters_paint_with_the_usual_switches(channels, pool, trained):
    net = network(channels, pool)
    if trained:
        usual = net.layers[0].usual
        usual.copy_(torch.randint(100, usual.shape, generator=torch.Generator().manual_seed(6)))
        assert pool is None or usual.argmax(1).any()
    torch.testing.assert_close(pixel_filters(net), slowly_in_pixels(net), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", [0, 3, True, 1.0])
def test_filters_of_a_layer_that_is_not_there_are_told(layer):
    with pytest.raises(ArgumentError, match="layers are numbered from 1 to 2; got"):
        pixel_filters(network(), layer)


# Parts.


@pytest.mark.parametrize("pool", [(2, 3, 2), None])
def test_the_parts_of_a_layer_are_together_what_the_kept_activations_paint(pool):
    net = AdaptiveDeconvNet.of([5, 4, 4], kernel=3, pool=pool, lam=0.05, seed=2).double()
    codes = net.infer(random(2, 1, 24, 24), max_iter=20)
    found = parts(net, codes, 1, keep=(3, 6))
    assert list(found) == [3, 2, 1] and [len(one) for one in found.values()] == [1, 3, 6]
    codes = codes.of(1)
    z, geometries = codes[3].z, net.geometries(codes.size)
    for layer, count in ((3, 1), (2, 3), (1, 6)):
        z = z * strongest(z, count)
        linear = net.linear(layer, codes, geometries)
        torch.testing.assert_close(found[layer].sum(0), linear.down(z)[0].detach(), rtol=0, atol=1e-12)
        order = z.flatten().abs().topk(count).indices.tolist()  # and each is one of them, the strongest first
        for part, place in zip(found[layer], order, strict=True):
            one = torch.zeros_like(z).flatten()
            one[place] = z.flatten()[place]
            torch.testing.assert_close(part, linear.down(one.view_as(z))[0].detach(), rtol=0, atol=1e-12)
        if layer > 1:  # what arrives below, each at its switch
            arrived = synthesis(z, net.layers[layer - 1].filters.detach(), geometries[layer - 1])
            switches, z = codes[layer - 1].switches, torch.zeros_like(codes[layer - 1].z)
            places = torch.arange(z.numel()) if switches is None else switches.indices[0]
            z.view(-1)[places] = arrived.flatten()


def test_the_one_part_of_the_top_is_its_strongest_activation():
    net = network()
    codes = net.infer(random(1, 1, 14, 14), max_iter=20)
    for layer in (1, 2):
        found = parts(net, codes, layer=layer, keep=())
        assert list(found) == [layer]
        torch.testing.assert_close(found[layer], net.reconstruct(codes, layer, keep=1), rtol=0, atol=1e-12)


def test_there_are_no_more_parts_than_activations():
    net = network(pool=None)
    codes = net.infer(random(1, 1, 14, 14), max_iter=20)
    found = parts(net, codes, keep=(10**6,))
    assert 0 < len(found[1]) <= net.layers[0].maps * 9  # one activation above, of filters of 3 x 3


def test_parts_that_cannot_be_are_told():
    net = network()
    codes = net.infer(torch.cat([random(1, 1, 14, 14), torch.zeros(1, 1, 14, 14)]), max_iter=5)
    for arguments, words in (
        ({"image": 2}, "images are numbered from 0 to 1; got 2"),
        ({"image": -1}, "images are numbered from 0 to 1; got -1"),
        ({"layer": 3}, "layers 1 to 2 were inferred; got 3"),
        ({"image": 1}, "nothing is active in layer 2 of image 1"),
    ):
        with pytest.raises(ArgumentError, match=words):
            parts(net, codes, **arguments)


# Pictures.


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def found(request) -> Learned:
    net = AdaptiveDeconvNet.of([6, 30], channels=request.param, kernel=5, pool=(2, 2, 2), lam=0.3, seed=1)
    return Learned(Path("nowhere"), net, Prepare(40, request.param), {})


def test_filters_are_drawn_each_in_a_cell(found):
    few, many = draw_filters(found, 1).image(), draw_filters(found, 2).image()
    assert few.mode == "RGB" and 5 * 64 < few.width < 600 and few.height < 300  # two rows of five
    assert many.width > few.width and many.height > few.height  # three of ten
    assert len(np.unique(np.asarray(few))) > 50
    with pytest.raises(ArgumentError, match="numbered from 1 to 2"):
        draw_filters(found, 3)


def test_a_photo_is_drawn_beside_what_each_layer_paints(found):
    picture = draw_reconstructions(found, "sample:chelsea", max_iter=5).image()
    assert picture.mode == "RGB" and picture.width > 2 * picture.height
    assert len(np.unique(np.asarray(picture))) > 50


def test_a_photo_is_drawn_with_its_parts(found):
    picture = draw_parts(found, "sample:chelsea", max_iter=5).image()
    assert picture.width > 3 * 224 and 224 < picture.height < 2 * 224
    assert len(np.unique(np.asarray(picture))) > 50


def test_a_photo_of_nothing_is_drawn_but_has_no_parts(found, monkeypatch):
    said: list[str] = []
    original = draw.sheet

    def sheet(cells: Any, **layout: Any) -> Any:
        said.extend(cell.caption for cell in cells)
        return original(cells, **layout)

    monkeypatch.setattr(draw, "sheet", sheet)
    black = np.zeros((50, 40), np.uint8)
    draw_reconstructions(found, black, max_iter=5)
    assert said[1:] == [f"painted by layer {layer}: 0.00% of its activations, error 0.0%" for layer in (1, 2)]
    with pytest.raises(ArgumentError, match="nothing is active in layer 2"):
        draw_parts(found, black, max_iter=5)
