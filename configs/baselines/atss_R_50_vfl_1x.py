# ATSS R-50 with Varifocal Loss, 1x: published box AP 40.2 on COCO val2017
# (VarifocalNet, CVPR 2021, Table 5). The centerness branch stays, also
# at test time, as the authors trained it.
#   train_net.py --config-file configs/baselines/atss_R_50_vfl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.varifocal import VarifocalLoss

from .atss_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss = L(VarifocalLoss)()
