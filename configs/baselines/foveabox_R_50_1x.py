# FoveaBox R-50 with Focal Loss, 1x: published box AP 36.3 on COCO val2017
# (VarifocalNet, CVPR 2021, Table 5).
#   train_net.py --config-file configs/baselines/foveabox_R_50_1x.py --num-gpus 8
from ..common.baseline import baseline_run
from ..common.models.foveabox import foveabox

model = foveabox()
dataloader, optimizer, lr_multiplier, train = baseline_run()
