# The quickstart for the impatient: half the width, batches of 4, two minutes on two CPU cores.
# Measured on shapes_dev: 27 box AP, far below the quickstart's.
#   train_net.py --config-file configs/quick/vfnet_shapes_fast.py --num-gpus 0
from ..common.solver import cosine_schedule
from .vfnet_shapes import dataloader, model, optimizer, train

model.backbone.channels = 32
model.head.in_channels = 32
model.head.channels = 32
dataloader.train.total_batch_size = 4
optimizer.lr = 0.005
lr_multiplier = cosine_schedule(max_iter=1350, warmup=100, warmup_factor=0.01)
train.max_iter = 1350
train.eval_period = 0
train.output_dir = "output/vfnet_shapes_fast"
