"""``vfnet train``: fine-tuning on a dataset of any format."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vfnet_d2.cli.dataset_options import add_dataset_options
from vfnet_d2.utils.choices import AMP_PRECISIONS, TRACKER_NAMES
from vfnet_d2.utils.errors import first_line

if TYPE_CHECKING:
    from vfnet_d2.config import TrainingOptions
    from vfnet_d2.finetune.job import Job

_DESCRIPTION = """\
Fine-tune a detector on a dataset. Format and splits of PATH are found by looking, and the data are
checked first. From a checkpoint of other classes everything but its classifier is taken. Numbers
that are not given follow from the config and the size of the data; a table says how. A dataset
without a validation set has one image in ten held out for it."""

_EPILOG = """\
examples:
  vfnet train my_data --weights vfnet_r50.pth             a checkpoint that says its config
  vfnet train my_data --model vfnet_R_50_1x               from an ImageNet backbone
  vfnet train train.json --val val.json --weights a.pth --epochs 24 --batch-size 4 --ema
  vfnet train my_data --weights a.pth --output out --resume
  vfnet train my_data --weights a.pth --opts INPUT.MIN_SIZE_TEST 640 SOLVER.OPTIMIZER AdamW
in the output folder:
  model_best.pth     the weights of the highest AP, for vfnet eval and vfnet predict
  model_final.pth    the last ones, with what --resume needs
  train_batch.png    a batch as the model sees it
  validations.json, metrics.json, log.txt, config.yaml, and files for TensorBoard
  held_out/          the parts of a dataset that came without a validation set
The exit status is 2 if nothing was done, 1 if the training failed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``vfnet train`` takes, and its description, to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    add_dataset_options(parser)
    add = parser.add_argument
    add("--val", metavar="PATH", help="the validation set, if it is not found below PATH")
    add("--weights", metavar="FILE", help="checkpoint to start from (default: the config's)")
    config = parser.add_mutually_exclusive_group()
    config.add_argument(
        "--config-file",
        dest="config",
        metavar="FILE_OR_NAME",
        help="YAML config (default: the checkpoint's own)",
    )
    config.add_argument(
        "--model", dest="config", metavar="NAME", help="config of the model zoo, by name"
    )
    add("--output", metavar="DIR", default="output/train", help="default: %(default)s")
    add("--resume", action="store_true", help="go on where the training in --output was ended")
    add("--num-gpus", metavar="N", type=int, help="default: 1 if there is one; 0 uses the CPU")
    add(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        help="config keys and their values, at the end of the command; no rule changes them",
    )
    _add_numbers(parser)
    parser.set_defaults(run=run)


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("numbers, which otherwise follow from the data").add_argument
    add("--epochs", metavar="N", type=int, help="passes over the training set")
    add("--batch-size", metavar="N", type=int, help="images of a batch, over all GPUs")
    add("--lr", metavar="X", type=float, help="learning rate")
    add("--eval-period", metavar="N", type=int, help="iterations between validations")
    add = parser.add_argument_group("ways to train").add_argument
    add(
        "--accumulate",
        metavar="N",
        type=int,
        default=1,
        help="batches whose gradients make one step (default: %(default)s)",
    )
    add("--clip-norm", metavar="X", type=float, help="largest norm of the whole gradient")
    add(
        "--ema",
        action="store_true",
        help="average the weights; the average is validated and kept as the best model",
    )
    add("--amp", choices=sorted(AMP_PRECISIONS), help="mixed precision")
    add(
        "--patience",
        metavar="N",
        type=int,
        help="stop after so many validations without a better AP",
    )
    add(
        "--skip-bad-batches",
        metavar="N",
        type=int,
        default=0,
        help="leave out up to N steps whose loss or gradient is not finite (default: %(default)s)",
    )
    add(
        "--loggers",
        metavar="NAMES",
        default="",
        help=f"besides TensorBoard: {', '.join(TRACKER_NAMES)}, separated by commas, if installed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Plan, train, and say what to do next; 2 if the plan is impossible, 1 if training failed."""
    import torch
    from torch.multiprocessing import ProcessRaisedException

    from vfnet_d2.finetune.job import run_job
    from vfnet_d2.training.trainer import BEST

    try:
        job = plan(arguments)
    except ValueError as error:  # options, config and data that do not fit together
        print(f"vfnet: error: {error}", file=sys.stderr)
        return 2
    try:
        run_job(job)
    except FloatingPointError as error:
        reason = " ".join(str(error).split())
        return _failed(f"{reason}. Try a lower --lr, or --clip-norm 35")
    except torch.OutOfMemoryError as error:
        return _failed(
            f"{first_line(error)} Try a smaller --batch-size, with --accumulate for the same step"
        )
    except ProcessRaisedException as error:
        return _failed(str(error).strip().splitlines()[-1])
    best = Path(arguments.output) / BEST
    if best.exists():
        print(f"Next: {_eval_command(job, best)}")
    return 0


def _eval_command(job: "Job", best: Path) -> str:
    val = job.data.val
    root = [] if val.root is None else ["--root", val.root]
    return shlex.join(["vfnet", "eval", val.path, *root, "--weights", str(best)])


def _failed(reason: str) -> int:
    print(f"vfnet: error: {reason}", file=sys.stderr)
    return 1


def plan(arguments: argparse.Namespace) -> "Job":
    """Check everything that can be checked before the training, and put it together.

    Raises:
        ValueError: something does not fit; says what to change.
        OSError: a file is missing.
    """
    from vfnet_d2.config import TrainingOptions
    from vfnet_d2.finetune.config import merge_options, starting_config
    from vfnet_d2.finetune.data import find_training_data
    from vfnet_d2.finetune.job import Job, check_output, choose_gpus, complete_config
    from vfnet_d2.finetune.recipe import Wishes, apply_recipe, make_recipe

    options = TrainingOptions(
        accumulate=arguments.accumulate,
        clip_total_norm=arguments.clip_norm or 0.0,
        ema=arguments.ema,
        keep_best=True,
        patience=arguments.patience or 0,
        pictures=True,
        skip_bad_batches=arguments.skip_bad_batches,
        trackers=tuple(name for name in arguments.loggers.split(",") if name),
    )
    _check_options(arguments, options)
    num_gpus = choose_gpus(arguments.num_gpus)
    output = Path(arguments.output)
    check_output(output, resume=arguments.resume)
    base = starting_config(weights=arguments.weights, config=arguments.config)
    cfg = base.clone()
    given = merge_options(cfg, arguments.opts)
    base.INPUT = cfg.INPUT.clone()
    data = find_training_data(
        arguments.path,
        val=arguments.val,
        format_name=arguments.format_name,
        root=arguments.root,
        held_out=output / "held_out",
        resume=arguments.resume,
    )
    wishes = Wishes(**{name: getattr(arguments, name) for name in Wishes._fields})
    wishes = wishes._replace(accumulate=given.get("TRAINING.ACCUMULATE", wishes.accumulate))
    recipe = make_recipe(
        base, given, wishes, num_images=data.num_images, processes=max(num_gpus, 1)
    )
    apply_recipe(cfg, recipe)
    complete_config(
        cfg,
        data,
        output=str(output),
        num_gpus=num_gpus,
        amp=arguments.amp,
        options=options,
        given=given,
    )
    command = shlex.join(["vfnet", *sys.argv[1:]])
    return Job(cfg, data, recipe, arguments.resume, num_gpus, command)


def _check_options(arguments: argparse.Namespace, options: "TrainingOptions") -> None:
    from vfnet_d2.training.hooks.trackers import check_trackers

    for name in ("clip_norm", "patience"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} {value} must be above 0")
    check_trackers(options.trackers)
