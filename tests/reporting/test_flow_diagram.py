"""The way of the images."""

from dataclasses import replace
from pathlib import Path

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.reporting.charts.flow_diagram import flow_chart
from tests.reporting.cohort import make_cohort


def test_what_is_found_is_what_was_left_out_and_what_is_in_use(tmp_path: Path) -> None:
    chart = flow_chart(read_dataset(make_cohort(tmp_path).workspace))
    lines = [box.lines for box in chart.boxes]
    assert lines[0] == ("241 found", "chest_xray")
    assert lines[1][0] == "1 file could not be used"
    assert lines[2] == ("1 image excluded", "1: duplicate")
    assert lines[3] == ("239 images in use", "of 239 patients")
    assert lines[4] == ("Training", "79 images", "of 79 patients", "PNEUMONIA: 40 (50.6 %)")
    assert len(chart.heads) == 6
    assert "239 images in use; of 239 patients" in chart.title


def test_nothing_left_out_draws_no_box_for_it(tmp_path: Path) -> None:
    dataset = read_dataset(make_cohort(tmp_path, patients_known=False).workspace)
    rows = dataset.rows[dataset.rows["status"] == "ok"]
    whole = replace(dataset, rows=rows, info=dataset.info.model_copy(update={"quarantined": 0}))
    chart = flow_chart(whole)
    assert [box.lines[0] for box in chart.boxes] == [
        "239 found",
        "239 images in use",
        "Training",
        "Validation",
        "Test",
    ]
    assert chart.boxes[1].lines[1] == "patients not known"


def test_boxes_stay_on_the_drawing_and_do_not_cover_one_another(tmp_path: Path) -> None:
    sources = tuple(f"/data/site_{number}" for number in range(9))
    names = tuple(f"class {number}" for number in range(9))
    cohort = make_cohort(tmp_path, sources=sources, classes=names, positive=None, per_class=2)
    chart = flow_chart(read_dataset(cohort.workspace))
    assert chart.boxes[0].lines[-1] == "and 6 sources more"
    assert chart.boxes[-1].lines[-1] == "and 5 more classes"
    for number, box in enumerate(chart.boxes):
        assert box.x >= 0 and box.x + box.width <= chart.width and box.y + box.height <= chart.height
        for other in chart.boxes[:number]:
            apart = box.x >= other.x + other.width or other.x >= box.x + box.width
            assert apart or box.y >= other.y + other.height or other.y >= box.y + box.height
