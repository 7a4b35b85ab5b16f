# VFNet R-50 with DCNv2, multi-scale 2x (24 epochs).
# Published box AP: 47.8 on COCO val2017, 48.0 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_R_50_DCN_MS_2x.py --num-gpus 8
# With shorter sides from 640 to 800, published 47.3 on test-dev, append
#   'dataloader.train.mapper.augmentations.0.short_edge_length=[640,800]'
from .common.models.vfnet import deformable
from .vfnet_R_50_MS_2x import dataloader, lr_multiplier, model, optimizer, train

model = deformable(model)
