# RepPoints (moment, GN in neck and head) R-50 with Varifocal Loss, 1x: published box AP 39.7 on
# COCO val2017 (VarifocalNet, CVPR 2021, Table 5).
#   train_net.py --config-file configs/baselines/reppoints_R_50_vfl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.varifocal import VarifocalLoss

from .reppoints_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss = L(VarifocalLoss)()
