"""evaluate: what stands around the figures: usefulness, baselines, shift, near duplicates in other splits."""

import json
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pandas as pd
import pytest

from medimg_cli.audit.duplicates import near_duplicates
from medimg_cli.audit.duplicates.across_splits import keep_pairs, pairs_path
from medimg_cli.audit.duplicates.near_duplicates import ALTERATIONS, Pair
from medimg_cli.audit.measurements.measurements import measure_images, measurements_path
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.evaluation.evaluation import Evaluation, read_evaluation
from medimg_cli.images.readers import read_image
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.files import sealed
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


@pytest.fixture
def own(trained: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the trained workspace that a test may change, as if nobody had audited it."""
    copytree(trained.root, tmp_path / "own", ignore=ignore_patterns("audit"))
    return Workspace(tmp_path / "own")


def evaluated(workspace: Workspace, *options: str) -> Evaluation:
    assert medimg(workspace.root, "evaluate", *options) == 0
    found = read_evaluation(find_run(workspace, "first"), "test")
    assert found is not None
    return found


def test_usefulness_baselines_and_shift_stand_beside_the_figures(trained: Workspace) -> None:
    found = read_evaluation(find_run(trained, "first"), "test")
    assert found is not None
    assert found.decision_curves is not None and found.baselines is not None and found.shift is not None
    assert len(found.decision_curves.by_class["SPOT"].thresholds) == 50
    assert [row.name for row in found.baselines.rows] == ["majority class"]
    assert found.baselines.absent.endswith("differs between images of training")
    rows = {row.name for row in found.shift.rows}
    assert rows == {"share of SPOT", "width (px)", "height (px)", "mean intensity", "spread of the intensity"}


def test_metadata_in_the_manifest_are_learnt_from_but_the_column_of_the_labels_is_not(own: Workspace) -> None:
    rows = pd.read_csv(own.manifest_path, dtype=str, keep_default_na=False)
    rows["site"] = ["A" if label == "SPOT" else "B" for label in rows["label"]]
    rows["verdict"] = ["1" if label == "SPOT" else "2" for label in rows["label"]]
    rows.to_csv(own.manifest_path, index=False)
    info = own.dataset_path.read_text().replace('"reading": {', '"reading": {"label_col": "verdict",')
    own.dataset_path.write_text(json.dumps(sealed(json.loads(info))))
    found = evaluated(own, "--decision-range", "0.1,0.3")
    assert found.baselines is not None and found.decision_curves is not None
    assert found.baselines.rows[1].uses == ("site",)
    assert found.baselines.rows[1].metrics["recall"].value == 1
    assert "images may not matter" in found.baselines.rows[1].remark
    assert len(found.decision_curves.by_class["SPOT"].thresholds) == 21


def measured(workspace: Workspace) -> pd.DataFrame:
    """Return usable rows with their pixel hashes, measured as an audit does."""
    usable = read_dataset(workspace).usable
    table = measure_images(workspace, usable, read_image, SilentProgress()).table
    return usable.join(table[["pixel_sha256"]], on="image_id").reset_index(drop=True)


def test_near_duplicates_that_an_audit_found_are_told_and_stop_nothing(own: Workspace) -> None:
    assert evaluated(own).leakage.near_duplicates is None
    rows = measured(own)
    here, there = (rows.index[rows["split"] == split][0] for split in ("test", "train"))
    keep_pairs(own, rows["pixel_sha256"].tolist(), [Pair(int(here), int(there), 0.93, "")])
    found = evaluated(own)
    assert found.leakage.near_duplicates == 1
    assert any("1 image looks like an image of another split" in warning for warning in found.warnings)
    keep_pairs(own, rows["pixel_sha256"].tolist(), [])
    found = evaluated(own)
    assert found.leakage.near_duplicates == 0
    assert not any("near duplicates" in warning for warning in found.warnings)


def test_the_option_searches_and_keeps_what_it_measures_for_an_audit(
    own: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The turned ones take seconds.
    monkeypatch.setattr(near_duplicates, "_alterations", lambda _: ALTERATIONS[:1])
    found = evaluated(own, "--near-duplicates")
    assert found.leakage.near_duplicates == 0
    assert pairs_path(own).is_file()
    kept = np.load(measurements_path(own))["text_regions"].tobytes()
    assert kept.split(b"\0") == [b"not searched"] * 60, (
        "no text was looked for, and an audit must still do so"
    )
    assert evaluated(own).leakage.near_duplicates == 0
