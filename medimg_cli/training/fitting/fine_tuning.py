"""Training in two phases: the head alone on features that are computed once, then the whole network from there."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.fitting.loop import fit
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.trainer import Fit, Snapshot
from medimg_cli.training.normalise import Prepare
from medimg_cli.workspace.progress import Progress

_HEAD, _ALL = 1.0, 2.0


def fine_tune(
    network: nn.Module,
    train: PixelBatches,
    val: PixelBatches,
    prepare: Prepare,
    plan: TrainingPlan,
    progress: Progress,
    learn_head: Callable[[Callable[[Fit, Snapshot], None], Snapshot | None], Fit],
    on_epoch: Callable[[Fit, Snapshot], None],
    resume: Snapshot | None,
) -> Fit:
    """Train the head of `network` by `learn_head`, then all of it by `plan`, and return the best epoch of both.

    In the first phase batch statistics stand still, as the features are those of the network in use. In the second
    they adapt to the images. The history numbers the epochs of both in one row; its column `phase` tells them apart.

    Args:
        learn_head: (on_epoch, resume) → what training the head alone came to.
        on_epoch, resume: as of `loop.fit`; a state of the first phase says so.

    Raises:
        KeyboardInterrupt, RunError: as of `loop.fit`.
    """
    before = None
    if resume is None or resume.get("of_head"):
        before = _of_head(
            learn_head(
                lambda found, state: on_epoch(_of_head(found), state | {"of_head": True}),
                resume,
            )
        )
        before.state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        if before.interrupted or before.broken or before.out_of_time:
            return before
        resume = None
        slower = "" if plan.layer_decay == 1 else f", first ones slowest (x {plan.layer_decay:g} a third)"
        progress.note(
            f"the head is trained (epoch {before.best_epoch} of {len(before.history)}); now all layers learn{slower}"
        )
    return fit(
        network,
        train,
        val,
        prepare,
        plan,
        progress,
        on_epoch=lambda found, state: on_epoch(_in_phase(found, _ALL), state),
        resume=resume,
        before=before,
    )


def _of_head(found: Fit) -> Fit:
    """Return what the head's training has come to as the beginning of a longer one, which is not over with it."""
    return replace(_in_phase(found, _HEAD), earlier=len(found.history))


def _in_phase(found: Fit, phase: float) -> Fit:
    """Write the phase into the last epoch's row, which the saved state shares."""
    if found.history:
        found.history[-1]["phase"] = phase
    return found
