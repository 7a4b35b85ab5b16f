"""Overrides of configs on command lines: only keys that the config has."""

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, LazyConfig
from detectron2.utils.file_io import PathManager
from detectron2.utils.registry import locate
from omegaconf import DictConfig, ListConfig, OmegaConf

from vfnet_d2.config import TrainingOptions, merge_yaml_file
from vfnet_d2.utils.errors import UserError

# Keys that this project's LazyConfigs may have and mostly do not.
_OPTIONAL = {"train.options", "train.checkpointer.max_to_keep"}
_OPTIONAL |= {f"train.options.{name}" for name in TrainingOptions._fields}


def merge_config(cfg: CfgNode, path: str, pairs: Sequence[str]) -> None:
    """Merge a YAML file, and then overrides, into a config.

    Args:
        cfg: changed in place.
        path: of the file; "" if there is none.
        pairs: "KEY", "VALUE" and so on.

    Raises:
        UserError: a key is unknown, which names the nearest; or a value does not fit.
    """
    known = [key for key, _ in _flat(cfg)]
    if path and not PathManager.isfile(path):
        raise UserError(f"config {path} does not exist: name a .yaml or .py file")
    if path:
        try:
            merge_yaml_file(cfg, path)
        except KeyError as error:
            wrong = str(error.args[0]).rpartition(" ")[2]
            raise UserError(f"config {path}: {unknown_key(wrong, known)}") from error
    for word in pairs[::2]:
        key, equals, _ = word.partition("=")
        if equals and key in known:
            raise UserError(f"{word}: overrides of YAML configs are pairs, such as {key} VALUE")
        if word not in known and not (cfg.key_is_deprecated(word) or cfg.key_is_renamed(word)):
            raise UserError(unknown_key(word, known))
    if len(pairs) % 2:
        raise UserError(f"{pairs[-1]} has no value: overrides are pairs, such as {pairs[-1]} VALUE")
    try:
        cfg.merge_from_list(list(pairs))
    except (AssertionError, KeyError, SyntaxError, ValueError) as error:
        raise UserError(f"overrides {' '.join(pairs)}: {error}") from error


def override_lazy_config(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Apply overrides to a LazyConfig; "+key=value" adds a key that it does not have.

    Args:
        cfg: changed in place.
        overrides: such as "train.max_iter=100".

    Raises:
        UserError: a key is in neither the config nor a signature; names the nearest.
    """
    for text in overrides:
        key, equals, _ = text.partition("=")
        if not equals:
            raise UserError(f"{text!r} is no override: LazyConfigs take key=value, without blanks")
        if key.startswith("~"):
            raise UserError(f"{text}: keys cannot be deleted here; make a config file without it")
        if not key.startswith("+") and key not in _OPTIONAL and not _has_key(cfg, key):
            plain = OmegaConf.to_container(cfg, resolve=False)
            assert isinstance(plain, dict)
            known = {name for name, _ in _flat(plain)} | _OPTIONAL
            raise UserError(f"{unknown_key(key, known)}; +{text} adds it")
    return LazyConfig.apply_overrides(cfg, list(overrides))


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Say that a config has no such key, and which is the nearest.

    >>> unknown_key("train.max_itr", ["train.max_iter", "train.seed"])
    'the config has no key train.max_itr; the nearest is train.max_iter'
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(key.lower(), by_lower, n=1)
    last = key.lower().rpartition(".")[2]
    same = near or [name for name in by_lower if name.rpartition(".")[2] == last][:1]
    hint = f"; the nearest is {by_lower[same[0]]}" if same else ""
    return f"the config has no key {key}{hint}"


def _has_key(cfg: DictConfig, key: str) -> bool:
    """Whether a LazyConfig has a key, or calls something with an argument of this name."""
    node: Any = cfg
    for part in key.split("."):
        if isinstance(node, ListConfig):
            if not part.isdigit() or int(part) >= len(node):
                return False
            node = node[int(part)]
        elif isinstance(node, DictConfig):
            if part not in list(node):
                return _takes(node.get("_target_"), part)
            node = None if OmegaConf.is_missing(node, part) else node[part]
        else:
            return False
    return True


def _takes(target: Any, name: str) -> bool:
    """Whether what a config calls takes an argument of this name."""
    if target is None:
        return False
    try:
        called = locate(target) if isinstance(target, str) else target
        # What a class hands on as **arguments is in the signatures of its bases.
        places = called.__mro__[:-1] if inspect.isclass(called) else (called,)
        parameters = [p for f in places for p in inspect.signature(f).parameters.values()]
    except (ImportError, TypeError, ValueError):
        return True  # not known here
    if name in {parameter.name for parameter in parameters}:
        return True
    return len(places) == 1 and any(p.kind is p.VAR_KEYWORD for p in parameters)


def _flat(node: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of nested mappings, with dots, and its value."""
    for name, value in node.items():
        yield f"{prefix}{name}", value
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
