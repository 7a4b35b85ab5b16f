"""Renaming the tensors of a checkpoint, and the account of every single one."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from vfnet_d2.checkpoint.convert.pairs import OURS, Pair

# Tensors that belong to no network, by what their whole name looks like.
IGNORED = {
    r"ema_.+": "EMA buffers; the file's own weights are those that mmdet evaluates",
    r"teacher\..+": "weights of a teacher; its student is converted",
    r"data_preprocessor\..+|pixel_mean|pixel_std": "preprocessing, which the config sets",
    r"anchor_generator\..+": "anchors, which the config sets",
}
# What wrappers put before every name.
PREFIXES = ("module.", "student.")
DROPPED = "classifier, dropped on request"


class KeyReport(NamedTuple):
    """Every name of the source, and every one that was expected.

    Attributes:
        mapped: (name in the source, name in the target).
        ignored: (name in the source, reason).
        missing: names that the architecture has and the source has not.
        left_over: names that the source has and the architecture has not.
    """

    mapped: list[tuple[str, str]]
    ignored: list[tuple[str, str]]
    missing: list[str]
    left_over: list[str]

    @property
    def complete(self) -> bool:
        """Nothing is missing or left over."""
        return not self.missing and not self.left_over

    @property
    def counts(self) -> str:
        """Such as "382 mapped, 60 ignored (60 EMA), 0 missing, 0 left over"."""
        reasons = Counter(reason for _, reason in self.ignored)
        why = "; ".join(f"{number} {reason}" for reason, number in reasons.items())
        return (
            f"{len(self.mapped)} mapped, {len(self.ignored)} ignored{f' ({why})' if why else ''}, "
            f"{len(self.missing)} missing, {len(self.left_over)} left over"
        )

    @property
    def problems(self) -> str:
        """Every missing name and every one left over, a line each; "" if there are none."""
        return _lines("missing", self.missing) + _lines("left over", self.left_over)

    def text(self) -> str:
        """Everything, a line for each name."""
        return (
            f"{self.counts}\n{self.problems}"
            + _lines("ignored", (f"{name}  ({reason})" for name, reason in self.ignored))
            + _lines("mapped", (f"{source} -> {target}" for source, target in self.mapped))
        )


def relevant(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[tuple[str, str]]]:
    """Take off wrappers' prefixes and set aside what belongs to no network.

    Returns:
        the tensors to convert, and (name, reason) of the others.
    """
    kept, ignored = {}, []
    for name, tensor in state.items():
        bare = name
        for prefix in PREFIXES:
            bare = bare.removeprefix(prefix)
        reason = next((why for what, why in IGNORED.items() if re.fullmatch(what, bare)), None)
        if reason is None:
            kept[bare] = tensor
        else:
            ignored.append((name, reason))
    return kept, ignored


def convert_state(
    state: dict[str, Tensor],
    pairs: Iterable[Pair],
    *,
    source: str,
    target: str,
    ignored: Iterable[tuple[str, str]] = (),
) -> tuple[dict[str, Tensor], KeyReport]:
    """Rename, and where a pair says so transform, all tensors.

    Args:
        state: tensors by the source's names.
        pairs: of the architecture.
        source: whose names ``state`` has, "ours", "mmdet" or "chensnathan".
        target: whose names to give.
        ignored: (name, reason) of what was set aside before, for the report.

    Returns:
        tensors by the target's names, and what became of each.
    """
    converted: dict[str, Tensor] = {}
    mapped, missing, expected = [], [], set()
    for pair in pairs:
        old = pair.ours if source == OURS else pair.theirs
        new = pair.ours if target == OURS else pair.theirs
        expected.add(old)
        if old in state:
            tensor = state[old]
            if source != target:
                tensor = (pair.to_ours if target == OURS else pair.to_theirs)(tensor)
            converted[new] = tensor
            mapped.append((old, new))
        elif not pair.optional:
            missing.append(old)
    left_over = [name for name in state if name not in expected]
    return converted, KeyReport(mapped, list(ignored), missing, left_over)


def without_layer(
    state: dict[str, Tensor], layer: str
) -> tuple[dict[str, Tensor], list[tuple[str, str]]]:
    """Set a layer aside; returns the other tensors, and (name, reason) of the layer's."""
    names = [name for name in state if name.startswith(f"{layer}.")]
    kept = {name: tensor for name, tensor in state.items() if name not in names}
    return kept, [(name, DROPPED) for name in names]


def _lines(what: str, names: Iterable[str]) -> str:
    return "".join(f"{what}: {name}\n" for name in names)
