"""`bench`: a network to try on photos, in the cell of a notebook."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Union

from deconvnet._errors import ArgumentError
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.photos.photo import PhotoLike
from deconvnet.viewer.bench import Bench
from deconvnet.viewer.report import Report, listed, report

if TYPE_CHECKING:
    from deconvnet.viewer.widget import BenchWidget


def bench(
    net: DeconvNet, photos: PhotoLike | Iterable[PhotoLike] | None = None, *, loaded: LoadedModel
) -> Union["BenchWidget", Report]:
    """A bench to try a network on, shown in the cell of a notebook.

    What is clicked is computed in the kernel: any unit of the shown layers, classes, steps, other rule sets, a
    part hidden. Photos can be brought in the cell as well; they are held in memory and not written.

    Args:
        net: the network and the way down that is shown first.
        photos: one or several to begin with, as `load_photo` takes them.
        loaded: how photos become the network's input, and what its classes are called; its model is the network.

    Returns:
        A widget. Where anywidget is not installed (`pip install 'deconvnet[notebook]'`), the report page of the photos.

    Raises:
        ArgumentError: another network, one that takes volumes, or neither photos nor anywidget.
        PhotoError, NotFiniteError: a photo cannot be used.
    """
    given = [] if photos is None else listed(photos)
    if find_spec("anywidget") is None:
        if not given:
            raise ArgumentError(
                "the bench needs anywidget: install it with pip install 'deconvnet[notebook]', or give photos for a "
                "report page."
            )
        return report(net, given, loaded=loaded)
    from deconvnet.viewer.widget import VISITOR, BenchWidget

    of_network = Bench(net, loaded)
    for photo in given:
        of_network.put(of_network.take(photo), VISITOR)
    return BenchWidget(of_network)
