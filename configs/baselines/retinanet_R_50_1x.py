# RetinaNet R-50 with Focal Loss, 1x: published box AP 36.5 on COCO val2017
# (VarifocalNet, CVPR 2021, Table 5).
#   train_net.py --config-file configs/baselines/retinanet_R_50_1x.py --num-gpus 8
from ..common.baseline import baseline_run
from ..common.models.retinanet import retinanet

model = retinanet()
dataloader, optimizer, lr_multiplier, train = baseline_run()
