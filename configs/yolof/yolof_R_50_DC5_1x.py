# YOLOF R-50 on DC5, 1x: published box AP 39.2 on COCO val2017
# (github.com/chensnathan/YOLOF, whose recipe this is).
#   train_net.py --config-file configs/yolof/yolof_R_50_DC5_1x.py --num-gpus 8
from ..common.models.yolof import yolof_dc5
from ..common.yolof import yolof_dc5_run

model = yolof_dc5()
dataloader, optimizer, lr_multiplier, train = yolof_dc5_run()
