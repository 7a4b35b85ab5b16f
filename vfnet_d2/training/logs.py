"""Set-up of a job: logs, the record of its config, seeds."""

import argparse
import logging
import os
import sys
from typing import Any

import torch
from detectron2.config import CfgNode, LazyConfig
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import seed_all_rng
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger
from omegaconf import OmegaConf

# What one who waits for a training wants to read: its plan, its progress and its length.
_SPOKEN = (
    "detectron2.engine.hooks",
    "detectron2.engine.train_loop",
    "detectron2.utils.events",
    "vfnet_d2.finetune",
    "vfnet_d2.training",
    "vfnet_d2.checkpoint.new_classes",
)
# Those whose lines go to terminal and file; fvcore reports on checkpoints and FLOPs.
_LOGGERS = ("fvcore", "detectron2", "vfnet_d2")


def log_setup(
    cfg: Any, args: argparse.Namespace, *, output_dir: str, short_terminal: bool = False
) -> None:
    """Do what must be done once at the start of a job, as Detectron2's ``default_setup`` does.

    Logs go to the terminal and to ``log.txt``: versions, command line and config first. The whole
    config is written to ``config.yaml``. Random numbers start from the config's seed, which differs
    between processes, and cuDNN and float32 products work as the config says.

    ``default_setup`` itself logs neither for this package nor less than everything to the terminal,
    and writes terminal codes into the file where Pygments is installed.

    Args:
        cfg: a yacs or LazyConfig config.
        args: of the command line.
        output_dir: where the log file goes.
        short_terminal: show the plan and the progress alone, and what is wrong; the file has
            everything, such as versions, config and model.
    """
    rank = comm.get_rank()
    if comm.is_main_process():
        PathManager.mkdirs(output_dir)
    for name in _LOGGERS:
        logger = setup_logger(output_dir, distributed_rank=rank, name=name)
        if short_terminal:
            _shorten(logger)
    _log_job(cfg, args)
    if comm.is_main_process():
        _save_config(cfg, os.path.join(output_dir, "config.yaml"))
    seed = _setting(cfg, "SEED", default=-1)
    seed_all_rng(None if seed < 0 else seed + rank)
    # Its search for the fastest kernels does not pay for the few sizes of a validation set.
    if not getattr(args, "eval_only", False):
        torch.backends.cudnn.benchmark = _setting(cfg, "CUDNN_BENCHMARK", default=False)
    _set_float32_precision(_setting(cfg, "FLOAT32_PRECISION", default=""))


def _setting(cfg: Any, key: str, *, default: Any) -> Any:
    """Return a setting of the job, which a LazyConfig has in lower case under ``train``."""
    if isinstance(cfg, CfgNode):
        return cfg.get(key, default)
    value = OmegaConf.select(cfg, f"train.{key.lower()}", default=default)
    return default if value is None else value


def _log_job(cfg: Any, args: argparse.Namespace) -> None:
    """Log what a reader needs to do the job again."""
    logger = logging.getLogger("detectron2")
    logger.info(
        "Rank of current process: %d. World size: %d", comm.get_rank(), comm.get_world_size()
    )
    logger.info("Environment info:\n%s", collect_env_info())
    logger.info("Command line arguments: %s", args)
    config_file = getattr(args, "config_file", "")
    if config_file:
        with PathManager.open(config_file, "r") as file:
            logger.info("Contents of args.config_file=%s:\n%s", config_file, file.read())
    if isinstance(cfg, CfgNode):
        logger.info("Running with full config:\n%s", cfg.dump())


def _save_config(cfg: Any, path: str) -> None:
    if isinstance(cfg, CfgNode):
        with PathManager.open(path, "w") as file:
            file.write(cfg.dump())
    else:
        LazyConfig.save(cfg, path)
    logging.getLogger("detectron2").info("Full config saved to %s", path)


def _set_float32_precision(precision: str) -> None:
    """Set torch's precision of float32 products on GPUs, a key of newer versions of Detectron2."""
    if precision and torch.cuda.is_available():
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision != "highest"


def _shorten(logger: logging.Logger) -> logging.Logger:
    """Let a logger's terminal have what is spoken; adding the filter twice changes nothing."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.addFilter(_is_spoken)
    return logger


def _is_spoken(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.startswith(_SPOKEN)
