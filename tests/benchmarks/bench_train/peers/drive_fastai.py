"""fastai: ImageDataLoaders and vision_learner with its own head.

From scratch one-cycle, the best epoch kept; from weights `fine_tune`: one epoch of the head, then all layers.
"""

from collections.abc import Callable

from fastai.callback.schedule import Learner  # the import adds fit_one_cycle and fine_tune
from fastai.callback.tracker import SaveModelCallback
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import default_split, model_meta, vision_learner
from torch import nn
from torchvision import models

from tests.benchmarks.bench_train.peers.image_folders import with_weights
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
    keep = [SaveModelCallback(monitor="valid_loss", fname="model")] if given.pretrained is None else []
    return vision_learner(
        data,
        _arch(given),
        pretrained=given.pretrained is not None,
        path=given.out.parent,
        model_dir=".",
        cbs=keep,
    )


def _arch(given: Task) -> Callable[..., nn.Module]:
    """Return what makes the network, and tell fastai where the body of one with weights ends."""
    if given.pretrained is None:
        made: Callable[..., nn.Module] = getattr(models, given.arch)
        return made

    def loaded(pretrained: bool) -> nn.Module:  # noqa: ARG001
        return with_weights(given)

    model_meta[loaded] = {"cut": -1, "split": default_split, "stats": imagenet_stats}
    return loaded


def main() -> None:
    given = task()
    set_seed(given.seed)
    learn = learner(given)
    if given.pretrained is None:
        learn.fit_one_cycle(given.epochs, _LEARNING_RATE)  # ends with the best epoch's weights
    else:
        learn.fine_tune(given.epochs)
        learn.save("model")
    model_is_trained(given)
    files = given.test_files()
    probabilities, _ = learn.get_preds(dl=learn.dls.test_dl(files))
    write(given, files, list(learn.dls.vocab), probabilities.tolist())
