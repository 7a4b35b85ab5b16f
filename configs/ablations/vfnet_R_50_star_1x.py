# VFNet with star convolution, without refinement: row "+ star" of Table 3.
# Published box AP: 40.7 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_star_1x.py --num-gpus 8
from ..vfnet_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.head.refinement = False
