# Raw VFNet, no star and no refinement, with focal loss: first row of Table 3.
# Published box AP: 39.0 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_raw_fl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.focal import FocalLoss

from .vfnet_R_50_raw_vfl_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss = L(FocalLoss)()
