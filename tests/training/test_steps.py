"""Two processes compute the gradients of one process with the joined batch."""

import tempfile

import pytest
import torch
import torch.distributed as dist
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import multiprocessing as mp

from vfnet_d2 import add_vfnet_config
from vfnet_d2.model_zoo import config_file
from vfnet_d2.training.launch import create_local_process_group
from vfnet_d2.training.steps import distribute

BOXES = [
    [[10.0, 12.0, 60.0, 80.0], [40.0, 40.0, 120.0, 100.0], [5.0, 90.0, 30.0, 125.0]],
    [[70.0, 8.0, 110.0, 50.0]],
]


def make_model():
    torch.manual_seed(3)
    cfg = add_vfnet_config(get_cfg())
    cfg.merge_from_file(config_file("quick/vfnet_shapes"))
    # Batch statistics would differ between one image and two.
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.RESNETS.NORM", "FixedStatsBN"])
    return build_model(cfg).double().train()


def make_input(rank: int, empty: bool) -> dict:
    generator = torch.Generator().manual_seed(rank)
    image = torch.randint(0, 255, (3, 128, 128), generator=generator).double()
    instances = Instances((128, 128))
    boxes = [] if empty else BOXES[rank]
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4))
    instances.gt_classes = torch.arange(len(boxes))
    return {"image": image, "instances": instances}


def worker(rank: int, url: str, second_is_empty: bool, output: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=url, world_size=2, rank=rank)
    create_local_process_group(2)
    model = distribute(make_model(), broadcast_buffers=False)
    losses = model([make_input(rank, second_is_empty and rank == 1)])
    sum(losses.values()).backward()
    if rank == 0:
        torch.save({n: p.grad for n, p in model.module.named_parameters()}, output)
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("second_is_empty", [False, True])
def test_gradients_of_two_processes(second_is_empty, tmp_path):
    output = tmp_path / "gradients.pth"
    with tempfile.TemporaryDirectory() as folder:
        url = f"file://{folder}/rendezvous"
        mp.spawn(worker, nprocs=2, args=(url, second_is_empty, str(output)))
    model = make_model()
    joined = [make_input(0, False), make_input(1, second_is_empty)]
    sum(model(joined).values()).backward()
    gradients = torch.load(output, weights_only=True)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-8, atol=1e-10)
