"""ImageNet backbones in torchvision's and mmdet's names, renamed for our models as they load."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from vfnet_d2.checkpoint.convert.architecture import shapes_of
from vfnet_d2.checkpoint.convert.backbones import Shapes, backbone_pairs, read_backbone
from vfnet_d2.checkpoint.convert.mmdet_keys import BACKBONE
from vfnet_d2.checkpoint.convert.pairs import COUNTER
from vfnet_d2.checkpoint.errors import CheckpointError

# What stands before every name of a backbone: nothing, mmpretrain's and DDP's.
PREFIXES = ("module.", "backbone.")
# The first stage's first convolution, which ResNet, ResNeXt and Res2Net all have.
MARKER = "layer1.0.conv1.weight"
# ImageNet's classifier: torchvision's and mmpretrain's.
CLASSIFIER = re.compile(r"(head\.)?fc\.(weight|bias)")
# A deformable convolution's offsets start from zero: no ImageNet model has them.
OFFSETS = ".conv_offset."


class ImageNetBackbone(NamedTuple):
    """The tensors of an ImageNet file.

    Attributes:
        state: of the backbone, by our names.
        unused: names of ImageNet's classifier, which a detector has no use for.
    """

    state: dict[str, Tensor]
    unused: list[str]


def is_imagenet(names: Sequence[str]) -> bool:
    """Whether these are the names of a backbone that torchvision or mmdet would load."""
    bare = {_bare(name) for name in names}
    return MARKER in bare and not any(x.startswith(("neck.", "bbox_head.")) for x in bare)


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def rename_imagenet(state: Mapping[str, Tensor], path: str) -> ImageNetBackbone:
    """Give the tensors of an ImageNet file our names.

    Args:
        state: tensors in torchvision's or mmdet's names.
        path: for messages.

    Raises:
        CheckpointError: a tensor is missing or not known.
    """
    bare = {_bare(name): tensor for name, tensor in state.items()}
    unused = [name for name in bare if CLASSIFIER.fullmatch(name)]
    try:
        backbone = read_backbone(shapes_of(bare), stage="layer", first=1)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is no backbone that is known here: {error}") from error
    renamed, missing = {}, []
    for pair in backbone_pairs(backbone):
        if pair.theirs in bare:
            renamed[BACKBONE["ours"] + pair.ours] = bare.pop(pair.theirs)
        elif not pair.optional:
            missing.append(pair.theirs)
    left_over = [name for name in bare if name not in unused]
    if missing or left_over:
        raise CheckpointError(
            f"{path} looks like an ImageNet {backbone.name}, but misses {len(missing)} of its "
            f"tensors ({missing[:3]}) and has {len(left_over)} others ({left_over[:3]})"
        )
    return ImageNetBackbone(renamed, unused)


def check_backbone(loaded: ImageNetBackbone, model: Shapes, path: str) -> None:
    """Raise CheckpointError unless the file fills the model's backbone and fits all of it.

    Args:
        loaded: of :func:`rename_imagenet`.
        model: shapes of the model's tensors, by name.
        path: for messages.
    """
    shapes = {n: x for n, x in shapes_of(loaded.state).items() if not n.endswith(COUNTER)}
    expected = {
        name: tuple(shape)
        for name, shape in model.items()
        if name.startswith(BACKBONE["ours"]) and not name.endswith(COUNTER) and OFFSETS not in name
    }
    wrong = sorted(n for n in shapes.keys() | expected.keys() if shapes.get(n) != expected.get(n))
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f"{path} is the ImageNet backbone of another model: {len(wrong)} tensors do not fit, "
            f"first {first}, of shape {shapes.get(first, 'none')} in the file and "
            f"{expected.get(first, 'none')} in the model. Name the weights of the model's backbone"
        )


def loading_line(loaded: ImageNetBackbone, fresh: Sequence[str], path: str) -> str:
    """Return the line that tells how many tensors went where.

    Args:
        loaded: of :func:`rename_imagenet`.
        fresh: the model's tensors that the file does not have.
        path: of the file.
    """
    parts = {"backbone's offset convolutions": 0, "FPN": 0, "head": 0}
    for name in fresh:
        if OFFSETS in name and name.startswith(BACKBONE["ours"]):
            parts["backbone's offset convolutions"] += 1
        else:
            parts["FPN" if name.startswith(BACKBONE["theirs"]) else "head"] += 1
    counts = ", ".join(f"{number} of the {part}" for part, number in parts.items())
    unused = f" ({', '.join(loaded.unused)}: ImageNet's classifier)" if loaded.unused else ""
    return (
        f"ImageNet backbone {path}: {len(loaded.state)} tensors loaded into the model's backbone, "
        f"{len(loaded.unused)} unused{unused}; fresh in the model: {counts}"
    )
