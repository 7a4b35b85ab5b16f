# Raw VFNet, no star and no refinement, with varifocal loss: row "+ VFL" of Table 3.
# Published box AP: 40.1 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_raw_vfl_1x.py --num-gpus 8
from .vfnet_R_50_star_1x import dataloader, lr_multiplier, model, optimizer, train

model.head.star = False
