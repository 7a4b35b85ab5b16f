"""Mistakes in configs, data and checkpoints stop a run before its first iteration, and say why."""

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from vfnet_d2.model_zoo import config_file
from vfnet_d2.training import from_lazy as lazy
from vfnet_d2.training import from_yaml as trainer
from vfnet_d2.training.launch import argument_parser

CLASSES = ["circle", "square", "triangle", "star", "cross"]


@pytest.fixture
def dataset(tmp_path):
    """A registered dataset of one grey image and one good box; the test may change its dict."""
    from PIL import Image

    path = tmp_path / "grey.png"
    Image.new("RGB", (160, 160), (90, 90, 90)).save(path)
    box = {"bbox": [10.0, 20.0, 60.0, 80.0], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1}
    item = {
        "file_name": str(path),
        "image_id": 1,
        "height": 160,
        "width": 160,
        "annotations": [box],
    }
    name = "one_grey_image"
    DatasetCatalog.register(name, lambda: [item])
    MetadataCatalog.get(name).set(thing_classes=CLASSES, evaluator_type="coco")
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def run_yaml(dataset, tmp_path, **changes):
    settings = {
        "OUTPUT_DIR": str(tmp_path / "out"),
        "DATASETS.TRAIN": f"('{dataset}',)",
        "DATASETS.TEST": "()",
        "SOLVER.MAX_ITER": 1,
        "SOLVER.IMS_PER_BATCH": 1,
        "DATALOADER.NUM_WORKERS": 0,
        **changes,
    }
    opts = [str(text) for pair in settings.items() for text in pair]
    command = ["--config-file", config_file("quick/vfnet_shapes"), "--num-gpus", "0", *opts]
    return trainer.run(argument_parser().parse_args(command))


def run_lazy(dataset, tmp_path, *changes):
    opts = [
        f"train.output_dir={tmp_path / 'out'}",
        f"dataloader.train.dataset.names={dataset}",
        "dataloader.train.num_workers=0",
        "dataloader.train.total_batch_size=1",
        "train.max_iter=1",
        "train.eval_period=0",
        *changes,
    ]
    path = config_file("quick/vfnet_shapes", suffix=".py")
    return lazy.run(argument_parser().parse_args(["--config-file", path, "--num-gpus", "0", *opts]))


def test_the_job_itself_is_sound(dataset, tmp_path):
    run_yaml(dataset, tmp_path)
    assert (tmp_path / "out" / "model_final.pth").exists()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("MODEL.ONE_STAGE.NUM_CLASSES", 7, ["is 7", "has 5 classes", "one_grey_image"]),
        ("MODEL.META_ARCHITECTURE", "RetinaNet", ["'RetinaNet'", "'OneStageRetinaNet'", "'VFNet'"]),
        ("MODEL.ONE_STAGE.HEAD.NAME", "Hed", ["HEAD.NAME is 'Hed'", "VFNetHead"]),
        ("MODEL.ONE_STAGE.MATCHER.NAME", "Atss", ["'Atss'", "ATSSMatcher"]),
        ("MODEL.ONE_STAGE.CLS_LOSS.NAME", "Vary", ["'Vary'", "VarifocalLoss", "FocalLoss"]),
        ("MODEL.ONE_STAGE.BOX_LOSS.NAME", "IoU", ["'IoU'", "GIoULoss"]),
        ("MODEL.ONE_STAGE.CANDIDATE_UNIT", "boxes", ["'boxes'", "pairs", "points"]),
        ("MODEL.ONE_STAGE.DEFORM_CONV", "fast", ["'fast'", "torchvision"]),
        ("MODEL.RESNETS.DEPTH", 51, ["51", "50"]),
        ("SOLVER.OPTIMIZER", "Adam", ["'Adam'", "AdamW", "SGD"]),
    ],
)
def test_a_wrong_value_lists_the_right_ones(dataset, tmp_path, key, value, expected):
    with pytest.raises(ValueError) as error:
        run_yaml(dataset, tmp_path, **{key: value})
    assert all(text in str(error.value) for text in expected), str(error.value)


def test_lazy_number_of_classes(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"model\.num_classes is 7, but dataset 'one_grey_image'"):
        run_lazy(dataset, tmp_path, "model.num_classes=7")


def test_lazy_model_of_another_project(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"the config.s model is of class Identity"):
        run_lazy(
            dataset,
            tmp_path,
            'model={_target_: "torch.nn.Identity"}',
        )


def test_missing_dataset_names_path_and_root(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        run_yaml("coco_2017_train", tmp_path, **{"MODEL.ONE_STAGE.NUM_CLASSES": 80})
    assert "instances_train2017.json does not exist" in str(error.value)
    assert "DETECTRON2_DATASETS" in str(error.value)


def test_a_missing_test_set_stops_before_the_training(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"instances_val2017\.json does not exist"):
        run_yaml(dataset, tmp_path, **{"DATASETS.TEST": "('coco_2017_val',)"})
    with pytest.raises(FileNotFoundError, match=r"instances_val2017\.json does not exist"):
        run_lazy(dataset, tmp_path, "dataloader.test.dataset.names=coco_2017_val")
    assert not list((tmp_path / "out").glob("*.pth"))


def test_an_unknown_test_set_stops_before_the_training(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"'shapes_vall', which is unknown; .*'coco_2017_val'"):
        run_yaml(dataset, tmp_path, **{"DATASETS.TEST": "('shapes_vall',)"})
    assert not list((tmp_path / "out").glob("*.pth"))


def test_the_test_set_has_the_model_s_classes_too(dataset, tmp_path):
    MetadataCatalog.get("of_two").set(thing_classes=["cat", "dog"])
    DatasetCatalog.register("of_two", list)
    try:
        with pytest.raises(ValueError, match="is 5, but dataset 'of_two' has 2 classes"):
            run_yaml(dataset, tmp_path, **{"DATASETS.TEST": "('of_two',)"})
    finally:
        DatasetCatalog.remove("of_two")
        MetadataCatalog.remove("of_two")
    assert not list((tmp_path / "out").glob("*.pth"))


def test_missing_image_is_counted_and_named(dataset, tmp_path):
    (tmp_path / "grey.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 1 images are missing, first .*grey\.png"):
        run_yaml(dataset, tmp_path)


def test_missing_checkpoint(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth does not exist; set MODEL\.WEIGHTS"):
        run_yaml(dataset, tmp_path, **{"MODEL.WEIGHTS": "nowhere.pth"})


@pytest.mark.parametrize("shape", [(3,), (64, 3, 3, 3)])
def test_checkpoint_of_another_model(dataset, tmp_path, shape):
    # A foreign name; and one of our names with another shape.
    name = "roi_heads.weight" if len(shape) == 1 else "head.cls_pred.weight"
    torch.save({"model": {name: torch.zeros(shape)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError) as error:
        run_yaml(dataset, tmp_path, **{"MODEL.WEIGHTS": tmp_path / "other.pth"})
    assert "fits no parameter of VFNet" in str(error.value)
    assert name in str(error.value)


def test_more_gpus_than_there_are():
    from vfnet_d2.training.launch import launch

    arguments = argument_parser().parse_args(["--num-gpus", "99"])
    with pytest.raises(ValueError, match="--num-gpus 99, but"):
        launch(print, arguments)


def test_evaluation_without_weights(tmp_path):
    command = ["--config-file", config_file("quick/vfnet_shapes"), "--num-gpus", "0", "--eval-only"]
    arguments = argument_parser().parse_args([*command, "OUTPUT_DIR", str(tmp_path)])
    with pytest.raises(ValueError, match=r"need trained weights: set MODEL\.WEIGHTS"):
        trainer.run(arguments)
