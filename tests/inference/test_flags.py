"""The contract every flag keeps, run over the whole shelf."""

import pkgutil

import pytest

import medimg_cli.inference.flags
from medimg_cli.inference.flags import FLAGS, Evidence, raised

FILES = sorted(module.name for module in pkgutil.iter_modules(medimg_cli.inference.flags.__path__))


def test_every_file_of_the_shelf_is_one_flag_named_after_it() -> None:
    assert sorted(name.replace("-", "_").rstrip("?") for name in FLAGS.names()) == FILES


@pytest.mark.parametrize("name", FLAGS.names())
def test_every_flag_says_in_one_sentence_what_it_means(name: str) -> None:
    meaning = FLAGS.get(name).meaning
    assert meaning[0].isupper()
    assert meaning.endswith(".")
    assert ". " not in meaning


@pytest.mark.parametrize("chosen", [None, ("SICK",)])
def test_without_a_reference_and_with_one_class_nothing_is_raised(chosen: tuple[str, ...] | None) -> None:
    assert raised(Evidence(chosen, None)) == ()


@pytest.mark.parametrize("chosen", [(), ("SICK", "WELL")])
def test_no_class_and_several_are_uncertain(chosen: tuple[str, ...]) -> None:
    assert raised(Evidence(chosen, None)) == ("uncertain",)
