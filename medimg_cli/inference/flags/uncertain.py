"""Images for which more than one class remains, or none."""

from medimg_cli.inference.flags import FLAGS, Evidence, Flag


def is_raised(evidence: Evidence) -> bool:
    """Return whether the set of classes probable enough to be named is not a single one."""
    return evidence.prediction_set is not None and len(evidence.prediction_set) != 1


FLAGS.register("uncertain")(
    Flag("More than one class is probable enough to be named, or none is.", is_raised)
)
