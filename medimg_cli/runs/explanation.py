"""`explain.json`: how a model's heat maps are made, and whether they are of what it learnt."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from medimg_cli.runs.run import ModelCard, Run, read_model

LIMIT = 0.5
"""At most this much may the maps of a network and of the same network with all weights shuffled correlate by rank.

A map that does not rest on the weights comes to 1. Of sixteen places, maps that have nothing in common come to 0.2.
"""

_EVEN = 0.5
Method = Literal["class activation map", "gradient-weighted activations"]


class Blanked(BaseModel, frozen=True):
    """What blanking the tenth of an image with the most evidence does, beside the same shape somewhere else.

    Args:
        hottest: mean fall of the class's logit over the mean of the others'.
        elsewhere: the same, of the same shape moved.
        share: of the images in which the first is the larger, 0..1.
        interval: of `share`, 95 % (Wilson).
    """

    hottest: float
    elsewhere: float
    share: float
    interval: tuple[float, float] | None = None


class Explanation(BaseModel, frozen=True, allow_inf_nan=False):
    """What is known of a model's heat maps.

    Args:
        method: class activation map: the network's own arithmetic, adds up to its logits; else by gradients.
        layer: path of the module whose output is shown, "" where there is none.
        side: places a side of a map.
        weights_sha256: of the network that was looked at.
        images: of validation, how many were.
        seeds: of the shufflings.
        intervals: like `similarity`, 95 % intervals over images; no key where none is defined.
        similarity: what was shuffled, "head" or "all" → mean absolute Spearman correlation over images and seeds, None
            where the maps are even. Shuffling the head alone often only turns a map into its negative.
        limit: of "all".
        full: evidence that is drawn in the last colour; None where no map has any.
        blanked: None where it was not looked at.
        passed: whether heat maps are shown.
        withheld: why not; "" where they are.
    """

    version: Literal[1] = 1
    method: Method
    layer: str
    side: int
    weights_sha256: str
    images: int
    seeds: tuple[int, ...]
    similarity: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}
    limit: float = LIMIT
    full: Annotated[float, Field(gt=0)] | None = None
    blanked: Blanked | None = None
    passed: bool = False
    withheld: str = ""

    @model_validator(mode="after")
    def _passed_by_a_figure(self) -> Self:
        if self.passed and self.similarity.get("all") is None:
            raise ValueError("similarity: the check is said to be passed, and has no figure")
        return self

    @property
    def verdict(self) -> Literal["passed", "failed", "cannot be told"]:
        """Return what the check says by its intervals: both tests pass, one fails, or neither is sure.

        One asks that maps change when all weights are shuffled (rank correlation at most `limit`), the other that
        blanking the warmest places matters more than blanking others (in more than half of the images).
        """
        share = None if self.blanked is None else self.blanked.interval
        shuffled = self.intervals.get("all")
        if not self.passed or (share is not None and share[1] < _EVEN):
            return "failed"
        sure = shuffled is not None and shuffled[1] <= self.limit and share is not None and share[0] > _EVEN
        return "passed" if sure else "cannot be told"

    def in_words(self) -> str:
        """Return one line for people, without full stop."""
        if not self.passed:
            return f"no heat maps: {self.withheld}"
        return (
            f"{self.method} of {self.side} × {self.side} places; with all weights shuffled their rank correlation is "
            f"{self.similarity['all']:.2f} (at most {self.limit:g}; {self.images} validation images); check: "
            f"{self.verdict}"
        )


def withheld_for(similarity: float | None, limit: float = LIMIT) -> str:
    """Return why maps that are so like those of a shuffled network are not shown, "" where they may be."""
    if similarity is None:
        return "the maps are the same everywhere, so that nothing can be compared"
    if similarity <= limit:
        return ""
    return (
        "they do not tell what the network learnt: with all its weights shuffled they stay much the same "
        f"(rank correlation {similarity:.2f}, at most {limit:g})"
    )


def read_explanation(run: Run, card: ModelCard) -> Explanation | None:
    """Return what is known of a run's heat maps, of an ensemble the worst of its members'; None where nothing is.

    Raises:
        RunError: a file is damaged.
    """
    if card.members:
        found = [_read(Run(run.folder / member.folder), member.weights_sha256) for member in card.members]
        there = [one for one in found if one is not None]
        return combined(there) if len(there) == len(found) else None
    return _read(run, card.weights_sha256)


def combined(members: Sequence[Explanation]) -> Explanation:
    """Return what holds for the mean of several networks' maps: as much as holds for each of them."""
    first = members[0]
    worst = {
        name: None
        if any(one.similarity.get(name) is None for one in members)
        else max(one.similarity[name] or 0.0 for one in members)
        for name in first.similarity
    }
    withheld = next((one.withheld for one in members if one.withheld), "")
    if not withheld and len({one.side for one in members}) > 1:
        withheld = "its networks have maps of different sizes"
    full = [one.full for one in members if one.full is not None]
    return first.model_copy(
        update={
            "images": min(one.images for one in members),
            "similarity": worst,
            "intervals": {},
            "full": float(np.mean(full)) if full else None,
            "blanked": None,
            "passed": not withheld,
            "withheld": withheld,
        }
    )


def _read(run: Run, weights_sha256: str) -> Explanation | None:
    if not run.explanation_path.is_file():
        return None
    hint = "delete it; it is made anew where it is needed"
    found = read_model(run.explanation_path, Explanation, hint)
    return found if found.weights_sha256 == weights_sha256 else None
