# YOLOF R-50 on C5 with Quality Focal Loss, 1x: no published figure. The IoU is that
# of an anchor's box with the object of the anchor's last pair.
#   train_net.py --config-file configs/yolof/yolof_R_50_C5_qfl_1x.py --num-gpus 8
from detectron2.config import LazyCall as L

from vfnet_d2.losses.quality_focal import QualityFocalLoss

from ..common.models.yolof import yolof
from ..common.yolof import yolof_run

model = yolof()
model.cls_loss = L(QualityFocalLoss)()
dataloader, optimizer, lr_multiplier, train = yolof_run()
