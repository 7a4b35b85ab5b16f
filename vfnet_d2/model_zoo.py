"""Config files by name, from a checkout or an installed wheel."""

import importlib.resources
from pathlib import Path


def config_root() -> Path:
    """Return the folder of the configs: ``configs/`` of a checkout, else the wheel's copy."""
    checkout = Path(__file__).resolve().parents[1] / "configs"
    if checkout.is_dir():
        return checkout
    return Path(str(importlib.resources.files("vfnet_d2") / "configs"))


def available_configs() -> list[str]:
    """Return the names of all configs, such as "vfnet_R_50_1x" or "quick/vfnet_shapes"."""
    root = config_root()
    return sorted(
        path.relative_to(root).with_suffix("").as_posix()
        for path in root.rglob("*.yaml")
        if not path.name.startswith("Base-")
    )


def config_file(name: str, *, suffix: str = ".yaml") -> str:
    """Return the path of a config.

    Args:
        name: as :func:`available_configs` lists it.
        suffix: ".yaml", or ".py" for the LazyConfig twin.

    Raises:
        ValueError: no such config; lists the known ones.
    """
    path = config_root() / f"{name}{suffix}"
    if not path.is_file():
        raise ValueError(f"no config {name!r} with suffix {suffix!r}; known: {available_configs()}")
    return str(path)
