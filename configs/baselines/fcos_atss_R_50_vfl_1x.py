# FCOS+ATSS R-50 with Varifocal Loss, 1x: no published figure.
#   train_net.py --config-file configs/baselines/fcos_atss_R_50_vfl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.varifocal import VarifocalLoss

from .fcos_atss_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss = L(VarifocalLoss)()
