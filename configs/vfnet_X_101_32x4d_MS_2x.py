# VFNet ResNeXt-101-32x4d, multi-scale 2x (24 epochs).
# Published box AP: 47.4 on COCO val2017, 47.6 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_X_101_32x4d_MS_2x.py --num-gpus 8
# With shorter sides from 640 to 800, published 46.7 on test-dev, append
#   'dataloader.train.mapper.augmentations.0.short_edge_length=[640,800]'
# Put mmdet's ImageNet weights where train.init_checkpoint says; see MODEL_ZOO.md.
from .common.data import multi_scale_data
from .common.models.vfnet import vfnet_resnet
from .common.solver import sgd, step_schedule_2x
from .common.train import train_settings

model = vfnet_resnet(depth=101, num_groups=32, width_per_group=4)
dataloader = multi_scale_data()
optimizer = sgd()
lr_multiplier = step_schedule_2x()
train = train_settings(
    init_checkpoint="weights/resnext101_32x4d-a5af3160.pth",
    max_iter=180000,
)
