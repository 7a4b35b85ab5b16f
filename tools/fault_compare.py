"""What differs between the results of two trainings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fault_points import BATCHES


def differences(ours: Path, reference: Path) -> list[str]:
    """Return what differs between the results of two trainings, bit by bit."""
    found = []
    names = ("model_final.pth", "model_final_ema.pth", "model_best.pth")
    for name in names:
        if (ours / name).exists() != (reference / name).exists():
            found.append(f"{name} is in one of them alone")
        elif (ours / name).exists():
            pair = [torch.load(folder / name, weights_only=True) for folder in (ours, reference)]
            for content in pair:
                content.pop("vfnet_d2", None)  # has the output folder's name
            found += [f"{name}: {path}" for path in unequal(*pair)]
    if (ours / "validations.json").read_text() != (reference / "validations.json").read_text():
        found.append("validations.json")
    known = dict(map(json.loads, (reference / BATCHES).read_text().splitlines()))
    lines = list(map(json.loads, (ours / BATCHES).read_text().splitlines()))
    found += [f"batch {number}" for number, sums in lines if known.get(number) != sums]
    return found


def unequal(ours: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield where two nested structures differ, in type, keys or any bit of a number."""
    if type(ours) is not type(other):
        yield path
    elif isinstance(ours, torch.Tensor):
        if ours.dtype != other.dtype or not torch.equal(ours, other):
            yield path
    elif isinstance(ours, dict):
        if list(ours) != list(other):
            yield f"{path} (keys)"
            return
        for key, value in ours.items():
            yield from unequal(value, other[key], f"{path}/{key}")
    elif isinstance(ours, list | tuple):
        if len(ours) != len(other):
            yield f"{path} (length)"
        for number, pair in enumerate(zip(ours, other, strict=False)):
            yield from unequal(*pair, f"{path}/{number}")
    elif ours != other:
        yield path
