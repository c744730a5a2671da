"""A model as torch opens it: for runs whose networks have no ONNX copy."""

from pathlib import Path

from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import Opened
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import members_of
from medimg_cli.runs.explanation import read_explanation
from medimg_cli.runs.run import Run
from medimg_cli.runs.tested import tested_of, withheld_sets
from medimg_cli.training.predictor import predictor_of


def open_in_torch(place: Path) -> Opened:
    """Return the model of a run's folder, answering through torch.

    Raises:
        RunError: it cannot be used.
    """
    run = Run(place)
    predictor = predictor_of(run)
    return Opened(
        Classifier(
            predictor, references_of(members_of(run, predictor.card)), withheld_sets(run, predictor.card)
        ),
        explained=read_explanation(run, predictor.card),
        tested=tested_of(run, predictor.card),
    )
