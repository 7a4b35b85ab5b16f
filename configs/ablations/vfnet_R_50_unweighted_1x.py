# Varifocal loss whose positives are not weighted by their IoU q (Table 2).
# Published box AP: 41.2 on COCO val2017 (VarifocalNet, CVPR 2021).
#   train_net.py --config-file configs/ablations/vfnet_R_50_unweighted_1x.py --num-gpus 8
from ..vfnet_R_50_1x import dataloader, lr_multiplier, model, optimizer, train

model.cls_loss.iou_weighted = False
