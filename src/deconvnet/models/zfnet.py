"""The network of Zeiler and Fergus (2013, v3, figure 3), and a small one of the same kind."""

from collections import OrderedDict

from torch import nn

from deconvnet._checks import flag, whole_number

ZFNET_INPUT_SIZE = 224
ZFNET_MINI_INPUT_SIZE = 128
_MOST_CLASSES = 1_000_000


def zfnet(num_classes: int = 1000) -> nn.Sequential:
    """The paper's network: five convolutional blocks and three fully connected layers.

    Takes (n, 3, 224, 224), RGB in 0..255 with the training set's mean image subtracted
    (section 3), and returns (n, num_classes) logits. Sizes after each block are 55, 13, 13, 13
    and 6; 62,357,608 parameters with 1,000 classes. The paper does not print pads or the
    constants of the contrast normalisation: pads of 1 and 0, pools that round up and
    Krizhevsky's constants give the sizes of figure 3. Weights start as N(0, 0.01²), biases as
    zero (section 3); none are bundled.

    Args:
        num_classes: number of logits.

    Raises:
        ArgumentError: not a whole number of 1 or more, or more than a million.

    Example:
        >>> from deconvnet.models.zfnet import zfnet
        >>> sum(p.numel() for p in zfnet().parameters())
        62357608
    """
    num_classes = whole_number("num_classes", num_classes, most=_MOST_CLASSES)
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, 96, 7, stride=2, padding=1)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("norm1", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)),
        ("conv2", nn.Conv2d(96, 256, 5, stride=2)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("norm2", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)),
        ("conv3", nn.Conv2d(256, 384, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(384, 384, 3, padding=1)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(384, 256, 3, padding=1)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("flatten", nn.Flatten()),
        ("fc6", nn.Linear(256 * 6 * 6, 4096)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("fc7", nn.Linear(4096, 4096)),
        ("relu7", nn.ReLU()),
        ("drop7", nn.Dropout(0.5)),
        ("fc8", nn.Linear(4096, num_classes)),
    ]
    model = nn.Sequential(OrderedDict(layers))
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def zfnet_mini(num_classes: int = 11, *, batch_norm: bool = False) -> nn.Sequential:
    """A small network of the same kind for (n, 3, 128, 128): five convolutions, one hidden layer.

    RGB in 0..1, normalised with a mean and a standard deviation per channel. Sizes after each
    block are 32, 8, 8, 8 and 4; 2,237,387 parameters with eleven classes. Without contrast
    normalisation.

    Args:
        num_classes: number of logits.
        batch_norm: put a batch norm behind every convolution, for training. The bundled weights
            belong to the plain network, with batch norm folded into its convolutions.

    Raises:
        ArgumentError: as `zfnet`.
    """
    num_classes = whole_number("num_classes", num_classes, most=_MOST_CLASSES)
    flag("batch_norm", batch_norm)
    widths = [3, 64, 128, 224, 224, 128]
    shapes = [(7, 2, 3), (5, 2, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)]  # kernel, stride, pad
    layers: list[tuple[str, nn.Module]] = []
    for i, (kernel, stride, pad) in enumerate(shapes, start=1):
        layers.append((f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], kernel, stride, pad)))
        if batch_norm:
            layers.append((f"bn{i}", nn.BatchNorm2d(widths[i])))
        layers.append((f"relu{i}", nn.ReLU()))
        if i in (1, 2, 5):
            layers.append((f"pool{i}", nn.MaxPool2d(3, 2, ceil_mode=True)))
    layers += [
        ("flatten", nn.Flatten()),
        ("fc6", nn.Linear(widths[-1] * 4 * 4, 512)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(0.5)),
        ("fc7", nn.Linear(512, num_classes)),
    ]
    return nn.Sequential(OrderedDict(layers))
