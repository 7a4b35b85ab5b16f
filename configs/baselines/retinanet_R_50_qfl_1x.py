# RetinaNet R-50 with Quality Focal Loss, 1x: published box AP 37.3 on COCO val2017
# (VarifocalNet, CVPR 2021, Table 5).
#   train_net.py --config-file configs/baselines/retinanet_R_50_qfl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.quality_focal import QualityFocalLoss

from .retinanet_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss = L(QualityFocalLoss)()
