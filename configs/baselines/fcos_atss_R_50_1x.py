# FCOS+ATSS R-50 with Focal Loss, 1x, trained like VFNet: published box AP 39.2 on COCO val2017
# (VarifocalNet, CVPR 2021, Tables 1 and 3).
#   train_net.py --config-file configs/baselines/fcos_atss_R_50_1x.py --num-gpus 8
from ..common.models.atss import fcos_atss
from ..vfnet_R_50_1x import dataloader, lr_multiplier, optimizer, train

model = fcos_atss()
