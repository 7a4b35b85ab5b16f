# YOLOF R-50 on C5, 1x: published box AP 37.5 on COCO val2017 (mmdet's weights).
#   train_net.py --config-file configs/yolof/yolof_R_50_C5_1x.py --num-gpus 8
from ..common.models.yolof import yolof
from ..common.yolof import yolof_run

model = yolof()
dataloader, optimizer, lr_multiplier, train = yolof_run()
