"""From decoded images to predictions: probabilities, decision, and what a reader should know of the image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medimg_cli.errors import RunError
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.flags import Comparison, Evidence, raised
from medimg_cli.inference.flags.out_of_distribution import NAME as UNLIKE
from medimg_cli.inference.flags.out_of_distribution import exceeded
from medimg_cli.inference.image_features import Measured, measure
from medimg_cli.inference.ood_reference import COLOUR, CONTENT, LAYOUT, TEXTURE, References
from medimg_cli.inference.predictor import NO_NUMBER, Predictor
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard

_WORDS = {
    CONTENT: "what the network sees in it",
    LAYOUT: "where it is light and dark",
    TEXTURE: "its grey values, sharpness and texture",
    COLOUR: "its colour",
}


@dataclass(frozen=True)
class Prepared:
    """One image on its way to the network.

    Args:
        pixels: (H, W, C), made by the model's recipe.
        measured: what the flags need; None where the model has no reference.
    """

    pixels: Pixels
    measured: Measured | None = None


class Classifier:
    """A model that also says what its answers are worth.

    An image unlike all that the model learnt from is refused: it gets no label and no decision but that a person has to
    look. No other flag changes an answer; in particular a positive never becomes anything else because it is uncertain.

    Args:
        predictor: answers.
        references: of its networks; None where the model was trained before there were any.
        withheld: class → why a set that leaves it out is not given, by `runs.tested.withheld_sets`.
        again: opens the same model in another process, to which networks cannot be sent.

    Raises:
        RunError: the card contradicts itself.
    """

    def __init__(
        self,
        predictor: Predictor,
        references: References | None = None,
        withheld: Mapping[str, str] | None = None,
        again: "Callable[[], Classifier] | None" = None,
    ) -> None:
        self.predictor = predictor
        self.card: ModelCard = predictor.card
        self.references = references
        self.withheld = withheld or {}
        self.again = again
        sets = self.card.sets
        if sets is not None and set(sets.least) != set(self.card.classes):
            raise RunError("the model's prediction sets are of other classes than its own", "train again")

    def __reduce__(self) -> "tuple[Callable[..., Classifier], tuple[Callable[[], Classifier]]]":
        if self.again is None:
            raise TypeError("nobody said where this model can be opened again")
        return _opened_by, (self.again,)

    @property
    def remark(self) -> str:
        """Return one sentence on what this model cannot tell of an image, "" where it can tell all there is."""
        lacking = [] if self.references else ["flags, and none is refused as unlike the training"]
        lacking += [] if self.card.sets or self.card.answers == "sigmoid" else ["prediction sets"]
        remarks = [
            f"sets that leave out {name} are withheld: such a set {why}"
            for name, why in self.withheld.items()
        ]
        if lacking:
            remarks.append(
                f"the run was trained without what these need: {', '.join(lacking)}; train again to have them"
            )
        return "; ".join(remarks)

    def prepare(self, image: DecodedImage) -> Prepared:
        """Return what judging needs of one image; called in threads, one image each."""
        recipe = self.card.recipe
        pixels = recipe.apply(image)
        measured = measure(image, pixels, recipe) if self.references else None
        return Prepared(pixels, measured)

    def __call__(self, prepared: Sequence[Prepared]) -> list[Prediction]:
        """Return a prediction for each image; what else is in the batch does not change it."""
        if not prepared:
            return []
        pixels: Pixels = np.stack([one.pixels for one in prepared])  # type: ignore[assignment]
        answer = self.predictor.answer(pixels)
        return [
            self.prediction(one, row, [of_network[place] for of_network in answer.features])
            for place, (one, row) in enumerate(zip(prepared, answer.probabilities, strict=True))
        ]

    def with_maps(self, prepared: Prepared) -> tuple[Prediction, NDArray[np.float32] | None]:
        """Return the prediction of one image and its class maps (C, h, w), None where the model gives none."""
        answer = self.predictor.answer(prepared.pixels[None].copy(), maps=True)
        features = [of_network[0] for of_network in answer.features]
        prediction = self.prediction(prepared, answer.probabilities[0], features)
        return prediction, None if answer.maps is None else answer.maps[0]

    def prediction(
        self, prepared: Prepared, probabilities: NDArray[np.float64], features: Sequence[NDArray[np.float32]]
    ) -> Prediction:
        """Return the prediction of one image that the networks have answered.

        Args:
            probabilities: (C,), calibrated.
            features: of each network (D,), in the order of the members.
        """
        card = self.card
        if not np.isfinite(probabilities).all():
            message = f"{NO_NUMBER}. No answer is given"
            return Prediction("refused", None, None, dict.fromkeys(card.classes), "refer", message=message)
        chosen = None
        if card.sets is not None:
            pairs = zip(card.classes, probabilities.tolist(), strict=True)
            chosen = tuple(name for name, value in pairs if value >= card.sets.least[name])
        decided = decide(probabilities[None], card.labels, card.threshold, card.thresholds)
        comparison = None
        if self.references is not None and prepared.measured is not None:
            unlikeness = self.references.unlikeness(prepared.measured, features)
            comparison = Comparison(prepared.measured, unlikeness, self.references)
        flags = raised(Evidence(chosen, comparison))
        sure = probabilities.max() if card.labels.several else probabilities[decided.called[0]]
        answer = Prediction(
            status="ok",
            label=decided.names[0],
            confidence=float(sure),
            probabilities=dict(zip(card.classes, probabilities.tolist(), strict=True)),
            decision=decided.decisions[0] or None,
            prediction_set=None if chosen is None or self.withheld.keys() - chosen else chosen,
            flags=flags,
        )
        return _refused(answer, comparison.unlikeness) if comparison and UNLIKE in flags else answer


def _opened_by(again: Callable[[], Classifier]) -> Classifier:
    return again()


def _refused(prediction: Prediction, unlikeness: Mapping[str, float]) -> Prediction:
    """Return an answer taken back; the probabilities stay for the record, and `uncertain` says nothing of them."""
    beyond = {name: unlikeness[name] for name in exceeded(unlikeness)}
    why = [f"{_WORDS[name]} ({value:.1f} times the limit)" for name, value in beyond.items()]
    return replace(
        prediction,
        status="refused",
        label=None,
        confidence=None,
        decision="refer",
        prediction_set=None,
        flags=tuple(name for name in prediction.flags if name != "uncertain"),
        message=f"unlike the images this model learnt from, by {'; by '.join(why)}. No answer is given",
        unlike=beyond,
    )
