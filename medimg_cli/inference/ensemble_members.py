"""The networks that a run's answer is made of."""

from medimg_cli.errors import RunError
from medimg_cli.runs.run import ModelCard, Run


def members_of(run: Run, card: ModelCard) -> list[tuple[Run, ModelCard]]:
    """Return the networks that answer: the run's own, or an ensemble's members.

    Raises:
        RunError: a member is missing, or is not the one that the ensemble was made of.
    """
    if not card.members:
        return [(run, card)]
    found = []
    for member in card.members:
        own = Run(run.folder / member.folder)
        own_card = own.read_card()
        if own_card.weights_sha256 != member.weights_sha256:
            raise RunError(
                f"{own.card_path} is not the member this ensemble was made of", "restore it, or train again"
            )
        found.append((own, own_card))
    return found


def without_copy(run: Run, card: ModelCard) -> list[tuple[Run, ModelCard]]:
    """Return those of `members_of` that have no ONNX copy."""
    return [
        (own, own_card)
        for own, own_card in members_of(run, card)
        if own_card.onnx_sha256 is None or not own.onnx_path.is_file()
    ]
