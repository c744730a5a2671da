"""fastai: ImageDataLoaders and vision_learner with its own head, one-cycle, the best epoch kept."""

from fastai.callback.schedule import Learner  # the import adds fit_one_cycle
from fastai.callback.tracker import SaveModelCallback
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from torchvision import models

from tests.benchmarks.bench_train.peers.interface import Task, model_is_trained, task, write

_LEARNING_RATE = 1e-3  # what fit_one_cycle takes by default


def learner(given: Task) -> Learner:
    data = ImageDataLoaders.from_folder(
        given.train.parent,
        train=given.train.name,
        valid=given.val.name,
        bs=given.batch,
        item_tfms=Resize(given.size, method=ResizeMethod.Squish),
        batch_tfms=aug_transforms(do_flip=False, max_rotate=10, max_warp=0.0, max_lighting=0.2),
        num_workers=2,
    )
    return vision_learner(
        data,
        getattr(models, given.arch),
        pretrained=False,
        path=given.out.parent,
        model_dir=".",
        cbs=[SaveModelCallback(monitor="valid_loss", fname="model")],
    )


def main() -> None:
    given = task(scratch_only=True)
    set_seed(given.seed)
    learn = learner(given)
    learn.fit_one_cycle(given.epochs, _LEARNING_RATE)  # ends with the best epoch's weights
    model_is_trained(given)
    files = given.test_files()
    probabilities, _ = learn.get_preds(dl=learn.dls.test_dl(files))
    write(given, files, list(learn.dls.vocab), probabilities.tolist())
