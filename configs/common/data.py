"""Loaders and evaluator of a registered COCO-format dataset."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, build_detection_test_loader
from omegaconf import DictConfig, OmegaConf

from vfnet_d2.augmentation.mapper import BoxAwareMapper
from vfnet_d2.data.loading import load_dataset
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.training.loading.loader import build_training_loader


def detection_data(
    *,
    train: str = "coco_2017_train",
    test: str = "coco_2017_val",
    train_sizes: tuple[int, ...] = (800,),
    train_sampling: str = "choice",
    test_size: int = 800,
    batch_size: int = 16,
    num_workers: int = 4,
    image_format: str = "RGB",
    augmentations: tuple[DictConfig, ...] = (),
) -> DictConfig:
    """Images whose shorter side is resized, flipped half of the time in training.

    ``train_sampling`` "choice" draws one of ``train_sizes`` for each image; "range" draws from the
    lower to the upper one. ``augmentations`` follow the flip, and see the boxes.
    """
    return OmegaConf.create(
        {
            "train": L(build_training_loader)(
                dataset=L(load_dataset)(names=train, filter_empty=True),
                mapper=L(BoxAwareMapper if augmentations else DatasetMapper)(
                    is_train=True,
                    augmentations=[
                        L(T.ResizeShortestEdge)(
                            short_edge_length=train_sizes,
                            max_size=1333,
                            sample_style=train_sampling,
                        ),
                        L(T.RandomFlip)(horizontal=True),
                        *augmentations,
                    ],
                    image_format=image_format,
                ),
                total_batch_size=batch_size,
                num_workers=num_workers,
            ),
            "test": L(build_detection_test_loader)(
                dataset=L(load_dataset)(names=test, filter_empty=False),
                mapper=L(DatasetMapper)(
                    is_train=False,
                    augmentations=[
                        L(T.ResizeShortestEdge)(
                            short_edge_length=(test_size, test_size),
                            max_size=1333,
                            sample_style="choice",
                        )
                    ],
                    image_format=image_format,
                ),
                num_workers=num_workers,
            ),
            "evaluator": L(build_coco_evaluator)(
                dataset_name="${..test.dataset.names}", output_dir="${train.output_dir}"
            ),
        },
        flags={"allow_objects": True},
    )


def multi_scale_data(*, train_sizes: tuple[int, int] = (480, 960)) -> DictConfig:
    """COCO with the shorter side drawn from a range for each image, the longer at most 1333.

    The paper also has the range (640, 800).
    """
    return detection_data(train_sizes=train_sizes, train_sampling="range")
