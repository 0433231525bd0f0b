"""Blocks end where all of a signal passes one layer."""

from deconvnet.results.blocks import blocks, name_of

SMALL = (4, 4)


def test_without_branches_each_step_is_a_block():
    assert blocks(["c", "b", "a"], [(), ("c",), ("b",)], [SMALL] * 3) == [[0], [1], [2]]


def test_branches_lie_in_the_block_below_which_they_meet():
    layers = ["top", "left.1", "left.0", "right", "below", "end"]
    undone = [(), ("top",), ("left.1",), ("top",), ("left.0", "right"), ("below",)]
    assert blocks(layers, undone, [SMALL] * 6) == [[0], [1, 2, 3, 4], [5]]


def test_a_skip_holds_all_that_it_passes_over_in_one_block():
    layers, undone = ["add", "conv2", "conv1", "below"], [(), ("add",), ("conv2",), ("conv1", "add")]
    assert blocks(layers, undone, [SMALL] * 4) == [[0], [1, 2, 3]]


def test_a_skip_over_maps_of_many_sizes_is_divided_at_modules():
    layers = ["cat", "up.1", "up.0", "middle.1", "middle.0", "down.1"]
    undone = [(), ("cat",), ("up.1",), ("up.0",), ("middle.1",), ("middle.0", "cat")]
    sizes = [(16, 16), (8, 8), (8, 8), (4, 4), (4, 4), (16, 16)]
    assert blocks(layers, undone, sizes) == [[0], [1], [2, 3], [4, 5]]


def test_a_block_is_named_after_the_module_that_holds_it():
    assert name_of(["net.i3a.b1.0", "net.i3a.b2", "net.i3a/cat"]) == "net.i3a"
    assert name_of(["conv1", "i3a.b1"]) == "" == name_of([])
