"""The reference's detectors with plain towers: ATSS, RetinaNet and FoveaBox."""

from torch import Tensor

from tests.helpers.reference import DATA, Reference
from vfnet_d2.checkpoint.convert.architecture import architecture_of
from vfnet_d2.checkpoint.convert.pairs import Pair

# Reference file and our config's stem, of the detectors with plain towers.
TOWERS = {
    "atss_r50_fpn": "atss",
    "retinanet_r50_fpn": "retinanet",
    "fovea_r50_fpn": "foveabox",
}


class TowerReference(Reference):
    """The stored results of a detector, under names that the checkpoint converter translates.

    Args:
        name: of the file, a key of :data:`TOWERS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(DATA / f"{name}.npz")
        shapes = {key: tuple(shape) for key, shape, _ in self.meta["state"]}
        self.architecture = architecture_of(shapes)
        self.pairs: dict[str, Pair] = {pair.theirs: pair for pair in self.architecture.pairs}

    def ours(self, name: str) -> str:
        """Our name of one of the reference's parameters."""
        return self.pairs[name].ours

    def state_dict(self) -> dict[str, Tensor]:
        """The filled state under our names and in our layout, without counters."""
        return {
            self.ours(name): self.pairs[name].to_ours(self.filled(name, shape))
            for name, shape, dtype in self.meta["state"]
            if "int" not in dtype
        }
