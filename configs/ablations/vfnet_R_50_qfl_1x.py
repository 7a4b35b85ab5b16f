# VFNet with quality focal loss (Table 5, column GFL).
# Published box AP: 41.1 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_qfl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.quality_focal import QualityFocalLoss

from ..vfnet_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss = L(QualityFocalLoss)()
