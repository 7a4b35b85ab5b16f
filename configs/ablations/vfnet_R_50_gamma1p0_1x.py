# Varifocal loss with gamma 1.0 and the paper's alpha for it, 0.5 (Table 2).
# Published box AP: 41.2 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_gamma1p0_1x.py --num-gpus 8
from ..vfnet_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss.alpha = 0.5
model.cls_loss.gamma = 1.0
