"""The numbers of a training: batch size, learning rate and schedule from the size of the data.

A config states them for its own data and batch. Each is scaled by a rule that is told with it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detectron2.config import CfgNode

# What a GPU of the published trainings held: 16 images on 8 GPUs, their shorter sides 800 pixels.
PROCESS_IMAGES, PROCESS_SIDE = 2, 800
# The published 1x schedule: 90,000 iterations of 16 images are 12 epochs of COCO.
EPOCHS = 12
# Fewer than this are too few for a new classifier, however often they see the data.
LEAST_ITERATIONS = 1000
# A validation every epoch of a tiny dataset would take longer than the training.
MOST_VALIDATIONS = 20
WARMUP_PART = 10


class Wishes(NamedTuple):
    """What the user asks for; None leaves a number to its rule.

    Attributes:
        epochs: passes over the training set.
        batch_size: images of a batch, over all processes.
        lr: learning rate.
        accumulate: batches of an iteration.
        eval_period: iterations between validations.
    """

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    accumulate: int = 1
    eval_period: int | None = None


class Row(NamedTuple):
    """A number of the recipe.

    Attributes:
        name: for the table.
        values: by config key.
        rule: where it comes from.
    """

    name: str
    values: Mapping[str, Any]
    rule: str

    @property
    def shown(self) -> str:
        """The first value as text; any other follows from it."""
        return _show(next(iter(self.values.values())))


def make_recipe(
    base: CfgNode,
    given: Mapping[str, Any],
    wishes: Wishes,
    *,
    num_images: int,
    processes: int = 1,
) -> list[Row]:
    """Return the numbers of a training.

    Args:
        base: the config, as for its own data.
        given: config keys that the user set, which no rule changes, and their values.
        wishes: what else the user asked for.
        num_images: that are trained on.
        processes: that share a batch.

    Raises:
        ValueError: the batch cannot be divided by the processes, or a number is not positive.
    """
    _check_positive(wishes, num_images)
    sizes = _sizes(base, given)
    batch = _batch(base, given, wishes, processes, sizes)
    size = batch.values["SOLVER.IMS_PER_BATCH"]
    if size < processes or size % processes:
        raise ValueError(
            f"a batch of {size} images cannot be divided among {processes} processes: set "
            f"--batch-size to a multiple of {processes}, or --num-gpus to a divisor of {size}"
        )
    step = size * wishes.accumulate
    length = _iterations(given, wishes, num_images, step)
    iterations = length.values["SOLVER.MAX_ITER"]
    period = _period(given, wishes, num_images, step, iterations)
    rows = [
        *sizes,
        batch,
        _learning_rate(base, given, wishes, step),
        length,
        _warmup(base, given, iterations),
        *_steps(base, given, iterations),
        period,
    ]
    if wishes.accumulate > 1:
        rule = f"--accumulate: {wishes.accumulate} x {size} = {step} images an iteration"
        rows.insert(len(sizes) + 1, Row("batches an iteration", {"": wishes.accumulate}, rule))
    return rows


def apply_recipe(cfg: CfgNode, rows: list[Row]) -> None:
    """Write the numbers into a config."""
    for row in rows:
        for key, value in row.values.items():
            if key:
                cfg.merge_from_list([key, value])


def recipe_text(rows: list[Row]) -> str:
    """The numbers as a table."""
    names = max(len(row.name) for row in rows)
    values = max(len(row.shown) for row in rows)
    return "\n".join(f"  {row.name:<{names}}  {row.shown:>{values}}  {row.rule}" for row in rows)


def _check_positive(wishes: Wishes, num_images: int) -> None:
    if num_images < 1:
        raise ValueError("there is no image to train on")
    for name, value in wishes._asdict().items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"--{name.replace('_', '-')} {value} must be above 0")


def _sizes(base: CfgNode, given: Mapping[str, Any]) -> list[Row]:
    """Image sizes up to that of the test, of configs that test at a size never trained at.

    Objects as large as the test shows them would else be unknown to the model.
    """
    key, how = "INPUT.MIN_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN_SAMPLING"
    sides, test = base.INPUT.MIN_SIZE_TRAIN, base.INPUT.MIN_SIZE_TEST
    if key in given or how in given or not test or min(sides) <= test <= max(sides):
        return []
    values = {key: (min(*sides, test), max(*sides, test)), how: "range"}
    rule = f"pixels of the shorter side, at random: the config trains at {_show(sides)}, tests at "
    return [Row("image sizes from, to", values, f"{rule}{test}")]


def _batch(
    base: CfgNode,
    given: Mapping[str, Any],
    wishes: Wishes,
    processes: int,
    sizes: Sequence[Row],
) -> Row:
    key, name = "SOLVER.IMS_PER_BATCH", "batch size"
    if wishes.batch_size is not None:
        return Row(name, {key: wishes.batch_size}, "--batch-size")
    if key in given:
        return Row(name, {key: int(given[key])}, f"given as {key}")
    own = base.INPUT.MIN_SIZE_TRAIN
    sides = sizes[0].values["INPUT.MIN_SIZE_TRAIN"] if sizes else own
    side = sum(sides) / len(sides)
    fitting = max(1, int(PROCESS_IMAGES * (PROCESS_SIDE / side) ** 2))
    published = base.SOLVER.IMS_PER_BATCH
    size = min(fitting * processes, max(published // processes, 1) * processes)
    rule = f"the config's {published}, at most {fitting} of {side:g} pixels a process"
    return Row(name, {key: size}, rule)


def _learning_rate(base: CfgNode, given: Mapping[str, Any], wishes: Wishes, step: int) -> Row:
    key, name = "SOLVER.BASE_LR", "learning rate"
    if wishes.lr is not None:
        return Row(name, {key: wishes.lr}, "--lr")
    if key in given:
        return Row(name, {key: float(given[key])}, f"given as {key}")
    # A recorded training may have accumulated: its rate is of all images of an iteration.
    rate, batch = base.SOLVER.BASE_LR, base.SOLVER.IMS_PER_BATCH * base.TRAINING.ACCUMULATE
    if base.SOLVER.OPTIMIZER == "SGD":
        rule = f"{rate:g} x {step}/{batch}, in proportion to the batch, for SGD"
        return Row(name, {key: rate * step / batch}, rule)
    rule = f"{rate:g} x sqrt({step}/{batch}), as the root of the batch, for {base.SOLVER.OPTIMIZER}"
    return Row(name, {key: rate * math.sqrt(step / batch)}, rule)


def _iterations(given: Mapping[str, Any], wishes: Wishes, num_images: int, step: int) -> Row:
    key, name = "SOLVER.MAX_ITER", "iterations"
    if wishes.epochs is None and key in given:
        return Row(name, {key: int(given[key])}, f"given as {key}")
    epochs = wishes.epochs or EPOCHS
    iterations = math.ceil(epochs * num_images / step)
    rule = f"{epochs} epoch{'' if epochs == 1 else 's'} x {num_images:,} images / {step}"
    if wishes.epochs is None and iterations < LEAST_ITERATIONS:
        rule = (
            f"at least {LEAST_ITERATIONS:,}, {LEAST_ITERATIONS * step / num_images:.1f} epochs: "
            f"{rule} would be {iterations:,}"
        )
        iterations = LEAST_ITERATIONS
    return Row(name, {key: iterations}, rule)


def _warmup(base: CfgNode, given: Mapping[str, Any], iterations: int) -> Row:
    key, name = "SOLVER.WARMUP_ITERS", "warm-up"
    if key in given:
        return Row(name, {key: int(given[key])}, f"given as {key}")
    published = base.SOLVER.WARMUP_ITERS
    rule = f"the config's {published:,} iterations, at most 1/{WARMUP_PART} of all"
    return Row(name, {key: min(published, iterations // WARMUP_PART)}, rule)


def _steps(base: CfgNode, given: Mapping[str, Any], iterations: int) -> list[Row]:
    """Where the learning rate falls, of schedules that have steps."""
    key, name = "SOLVER.STEPS", "learning rate falls at"
    schedule = given.get("SOLVER.LR_SCHEDULER_NAME", base.SOLVER.LR_SCHEDULER_NAME)
    if schedule != "WarmupMultiStepLR":
        return []
    if key in given:
        return [Row(name, {key: tuple(given[key])}, f"given as {key}")]
    published, length = base.SOLVER.STEPS, base.SOLVER.MAX_ITER
    steps = tuple(round(step * iterations / length) for step in published)
    parts = " and ".join(f"{step / length:.1%}" for step in published)
    return [Row(name, {key: steps}, f"{parts} of the training, as in the config")]


def _period(
    given: Mapping[str, Any], wishes: Wishes, num_images: int, step: int, iterations: int
) -> Row:
    """Validations and checkpoints."""
    keys, name = ("TEST.EVAL_PERIOD", "SOLVER.CHECKPOINT_PERIOD"), "validation every"
    epoch, least = math.ceil(num_images / step), math.ceil(iterations / MOST_VALIDATIONS)
    if wishes.eval_period is not None:
        period, rule = wishes.eval_period, "--eval-period, in iterations"
    elif keys[0] in given:
        period, rule = int(given[keys[0]]), f"given as {keys[0]}"
    elif epoch < least:
        period = least
        rule = f"iterations: {MOST_VALIDATIONS} times, since an epoch has only {epoch}"
    else:
        period, rule = epoch, f"an epoch: {num_images:,} images / {step}"
    # Detectron2 needs a period of checkpoints, also where it does not validate.
    checkpoints = int(given.get(keys[1], period if period > 0 else iterations))
    return Row(name, {keys[0]: period, keys[1]: checkpoints}, rule)


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_show(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
