from deconvnet.training.callbacks import EvolutionCallback as EvolutionCallback
from deconvnet.training.callbacks import RenormaliseCallback as RenormaliseCallback
from deconvnet.training.convergence import Convergence as Convergence
from deconvnet.training.evolution import Evolution as Evolution
from deconvnet.training.layer_snapshot import LayerSnapshot as LayerSnapshot
from deconvnet.training.radius import renormalise as renormalise
from deconvnet.training.snapshots import Snapshot as Snapshot
from deconvnet.training.snapshots import Snapshots as Snapshots

__all__: list[str]
