"""What is said of classes."""

import torch
from torch import nn

from deconvnet import LoadedModel, Preprocess, Unit
from deconvnet.cli.classes import class_facts


def test_where_all_classes_are_equally_probable_the_one_that_was_carried_down_is_the_answer():
    loaded = LoadedModel(nn.Flatten(), Preprocess((1, 1), 1, (0.5,) * 3, (0.25,) * 3))
    facts = class_facts(loaded, torch.full((3,), 1 / 3), [Unit("", 2, (), 0)])
    assert facts["answer"] == facts["classes"][0] and facts["answer"]["class"] == 2
