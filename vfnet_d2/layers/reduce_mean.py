"""Mean of a tensor over the processes of a distributed job."""

import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor


def reduce_mean(values: Tensor) -> Tensor:
    """Average ``values`` over all ranks; without distribution, return them unchanged.

    Every rank must call this on every step, whatever its data: a collective that only some ranks
    enter deadlocks the job. The result carries no gradient.

    Args:
        values: any shape, the same on every rank.
    """
    values = values.detach()
    world_size = comm.get_world_size()
    if world_size == 1:
        return values
    total = values.clone()
    dist.all_reduce(total, op=dist.ReduceOp.SUM)
    return total / world_size
