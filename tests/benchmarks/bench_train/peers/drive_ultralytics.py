"""Ultralytics classify: a model file whose backbone is torchvision's resnet18, from scratch, with its own head.

Its augmentation is a random crop and brightness: it knows neither turns nor shifts for classification. Plots are
off, which saves it time; the optimiser is what it chooses by default.
"""

from ultralytics import YOLO

from tests.benchmarks.bench_train.peers.interface import Task, model_is_trained, task, write

_MODEL = """nc: {classes}
backbone:
  - [-1, 1, TorchVision, [512, resnet18, null, True, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""


def trained(given: Task) -> YOLO:
    """Train and return the best epoch's model."""
    design = given.model.with_name("resnet18-cls.yaml")
    design.write_text(_MODEL.format(classes=len(given.classes)))
    model = YOLO(str(design), task="classify")
    model.train(
        data=str(given.train.parent),
        epochs=given.epochs,
        imgsz=given.size,
        batch=given.batch,
        seed=given.seed,
        workers=2,
        device="cpu",
        pretrained=False,
        project=str(given.out.parent),
        name="run",
        plots=False,
        scale=0.2,
        fliplr=0.0,
        auto_augment=None,
        erasing=0.0,
        hsv_h=0.0,
        hsv_s=0.0,
        hsv_v=0.2,
    )
    return YOLO(str(model.trainer.best))


def main() -> None:
    given = task(scratch_only=True)
    model = trained(given)
    model_is_trained(given)
    files = given.test_files()
    answers = model.predict([str(file) for file in files], imgsz=given.size, batch=given.batch, verbose=False)
    names = [model.names[number] for number in sorted(model.names)]
    rows = {answer.path: answer.probs.data.tolist() for answer in answers}
    write(given, files, names, [rows[str(file)] for file in files])
