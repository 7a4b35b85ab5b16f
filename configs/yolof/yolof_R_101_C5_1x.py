# YOLOF R-101 on C5, 1x: published box AP 39.8 on COCO val2017
# (github.com/chensnathan/YOLOF).
#   train_net.py --config-file configs/yolof/yolof_R_101_C5_1x.py --num-gpus 8
from ..common.models.yolof import yolof
from ..common.yolof import yolof_run

model = yolof(depth=101)
dataloader, optimizer, lr_multiplier, train = yolof_run(depth=101)
