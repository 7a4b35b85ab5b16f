# VFNet R-50, 1x (12 epochs).
# Published box AP: 41.6 on COCO val2017, 41.6 on test-dev (paper and authors' repository).
#   train_net.py --config-file configs/vfnet_R_50_1x.py --num-gpus 8
from .common.data import detection_data
from .common.models.vfnet import vfnet_resnet
from .common.solver import sgd, step_schedule
from .common.train import train_settings

model = vfnet_resnet()
dataloader = detection_data()
optimizer = sgd()
lr_multiplier = step_schedule()
train = train_settings(
    init_checkpoint="detectron2://ImageNetPretrained/torchvision/R-50.pkl",
)
