# Varifocal loss with gamma 3.0 and the paper's alpha for it, 1.0 (Table 2).
# Published box AP: 41.3 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_gamma3p0_1x.py --num-gpus 8
from ..vfnet_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss.alpha = 1.0
model.cls_loss.gamma = 3.0
