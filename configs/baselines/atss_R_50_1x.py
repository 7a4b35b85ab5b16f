# ATSS R-50 with Focal Loss, 1x: published box AP 39.3 on COCO val2017
# (VarifocalNet, CVPR 2021, Table 5).
#   train_net.py --config-file configs/baselines/atss_R_50_1x.py --num-gpus 8
from ..common.baseline import baseline_run
from ..common.models.atss import atss

model = atss()
dataloader, optimizer, lr_multiplier, train = baseline_run(warmup_factor=0.001)
