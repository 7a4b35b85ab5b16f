# A small VFNet with all its parts, trained from scratch on the synthetic shapes dataset on a CPU.
#   train_net.py --config-file configs/quick/vfnet_shapes.py --num-gpus 0
from ..common.data import detection_data
from ..common.models.vfnet import vfnet_resnet
from ..common.solver import adamw, cosine_schedule
from ..common.train import train_settings

model = vfnet_resnet(depth=18, num_classes=5, channels=64)
model.backbone.bottom_up.norm = "BN"
model.backbone.bottom_up.freeze_at = 0
model.backbone.bottom_up.stem_channels = 16
model.backbone.bottom_up.res2_channels = 16
model.head.channels = 64
model.head.num_convs = 1
model.head.init_std = 0.035

dataloader = detection_data(
    train="shapes_train",
    test="shapes_val",
    train_sizes=(160,),
    # larger than in training: most objects are small, and training on larger images takes longer
    test_size=224,
    batch_size=8,
    # workers would compete with the training for the same cores
    num_workers=0,
)
# a short memory of squared gradients: a run of 800 iterations gained 7 AP from it
optimizer = adamw(lr=0.006, weight_decay=0.05, betas=(0.9, 0.99))
lr_multiplier = cosine_schedule(max_iter=2000, warmup=100, warmup_factor=0.01)
train = train_settings(
    output_dir="output/vfnet_shapes",
    max_iter=2000,
    checkpointer={"period": 500},
    eval_period=500,
    seed=1,
)
