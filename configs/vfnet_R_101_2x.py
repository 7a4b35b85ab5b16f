# VFNet R-101, 2x (24 epochs).
# Published box AP: 43.5 on COCO val2017, 43.9 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_R_101_2x.py --num-gpus 8
# Put torchvision's ImageNet weights where train.init_checkpoint says; see MODEL_ZOO.md.
from .common.data import detection_data
from .common.models.vfnet import vfnet_resnet
from .common.solver import sgd, step_schedule_2x
from .common.train import train_settings

model = vfnet_resnet(depth=101)
dataloader = detection_data()
optimizer = sgd()
lr_multiplier = step_schedule_2x()
train = train_settings(
    init_checkpoint="weights/resnet101-63fe2227.pth",
    max_iter=180000,
)
