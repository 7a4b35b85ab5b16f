# The quickstart for the impatient: fewer iterations, two minutes on two CPU cores.
#   train_net.py --config-file configs/quick/vfnet_shapes_fast.py --num-gpus 0
from ..common.solver import cosine_schedule
from .vfnet_shapes import dataloader, model, optimizer, train

lr_multiplier = cosine_schedule(max_iter=800, warmup=250, warmup_factor=0.01)
optimizer.lr = 0.004
train.max_iter = 800
train.checkpointer.period = 200
train.eval_period = 0
train.output_dir = "output/vfnet_shapes_fast"
