"""torchvision loads beside this torch, without a warning."""

import subprocess
import sys

import pytest


@pytest.mark.slow  # networks of torchvision are built, and imported with warnings as errors, by other tests
def test_torchvision_can_be_imported_and_builds_a_classifier() -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from medimg_cli.training.networks.torchvision_door import torchvision\n"
        "torchvision.models.get_model('squeezenet1_1', weights=None, num_classes=2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
