# VFNet R-50, multi-scale 2x (24 epochs).
# Published box AP: 44.5 on COCO val2017, 44.8 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_R_50_MS_2x.py --num-gpus 8
# With shorter sides from 640 to 800, published 44.3 on test-dev, append
#   'dataloader.train.mapper.augmentations.0.short_edge_length=[640,800]'
from .common.data import multi_scale_data
from .common.models.vfnet import vfnet_resnet
from .common.solver import sgd, step_schedule_2x
from .common.train import train_settings

model = vfnet_resnet()
dataloader = multi_scale_data()
optimizer = sgd()
lr_multiplier = step_schedule_2x()
train = train_settings(
    init_checkpoint="detectron2://ImageNetPretrained/torchvision/R-50.pkl",
    max_iter=180000,
)
