# VFNet ResNeXt-101-64x4d with DCNv2, multi-scale 2x (24 epochs).
# Published box AP: 50.4 on COCO val2017, 50.8 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_X_101_64x4d_DCN_MS_2x.py --num-gpus 8
# With shorter sides from 640 to 800, published 49.9 on test-dev, append
#   'dataloader.train.mapper.augmentations.0.short_edge_length=[640,800]'
# Put mmdet's ImageNet weights where train.init_checkpoint says; see MODEL_ZOO.md.
from .common.models.vfnet import deformable
from .vfnet_X_101_64x4d_MS_2x import dataloader, lr_multiplier, model, optimizer, train

model = deformable(model)
