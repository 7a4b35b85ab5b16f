# VFNet Res2Net-101 (26w x 4s), multi-scale 2x (24 epochs).
# Published box AP: 49.2 on COCO val2017, 49.3 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_R2_101_MS_2x.py --num-gpus 8
# With shorter sides from 640 to 800, published 48.4 on test-dev, append
#   'dataloader.train.mapper.augmentations.0.short_edge_length=[640,800]'
# Put mmdet's ImageNet weights where train.init_checkpoint says; see MODEL_ZOO.md.
from .common.data import multi_scale_data
from .common.models.vfnet import vfnet_res2net
from .common.solver import sgd, step_schedule_2x
from .common.train import train_settings

model = vfnet_res2net()
dataloader = multi_scale_data()
optimizer = sgd()
lr_multiplier = step_schedule_2x()
train = train_settings(
    init_checkpoint="weights/res2net101_v1d_26w_4s_mmdetv2-f0a600f9.pth",
    max_iter=180000,
)
