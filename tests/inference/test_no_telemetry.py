"""What medimg stands on calls nobody: ONNX Runtime would, and would keep an identifier of the machine."""

import subprocess
import sys
from pathlib import Path

from medimg_cli.workspace.workspace import Workspace


def test_a_model_in_use_leaves_no_identifier_behind(trained: Workspace, tmp_path: Path) -> None:
    run = next(path.parent for path in trained.runs_dir.rglob("model.onnx"))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from medimg_cli.inference.load import open_classifier\n"
        "assert open_classifier(Path(sys.argv[1])) is not None"
    )
    repository = Path(__file__).resolve().parents[2]
    places = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), str(tmp_path))
    environment = {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", **places}
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.rglob("*")) == []
