"""What the API answers: predictions, pictures, heatmaps, documents, and a code for everything it refuses."""

import base64
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.web.serving.worker_config import MB, Limits
from tests.dataset.layouts.workbook import write_ods, write_xlsx
from tests.web.serving import POISON, Served, dicom, encoded, png, png_with_text, serve_for_tests


@pytest.fixture
def served() -> Served:
    return serve_for_tests()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", png())
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_every_file_gets_its_entry_in_order(served: Served) -> None:
    whole = served.predict(
        ("a.png", png(255)), ("b.jpg", encoded(np.zeros((16, 16), np.uint8), "JPEG"))
    ).json()
    assert (whole["schema"], whole["command"], whole["model"]["arch"]) == (1, "predict", "small-cnn")
    light, dark = whole["predictions"]
    assert [light["path"], dark["path"]] == ["a.png", "b.jpg"]
    assert [light["label"], dark["label"]] == ["LIGHT", "DARK"]
    assert light["probabilities"] == {"DARK": 0.0, "LIGHT": 1.0}
    assert (light["decision"], dark["decision"]) == ("positive", "negative")
    assert light["prediction_set"] == ["DARK", "LIGHT"]


def test_every_frame_of_a_file_is_answered(served: Served) -> None:
    whole = served.predict(("cine.dcm", dicom((0, 224)))).json()["predictions"]
    assert [entry["path"] for entry in whole] == ["cine.dcm#frame/0", "cine.dcm#frame/1"]
    assert [entry["label"] for entry in whole] == ["DARK", "LIGHT"]


def test_what_is_no_image_harms_nothing_but_its_own_entry(served: Served) -> None:
    good, bad, poison, empty = served.predict(
        ("a.png", png()), ("b.png", b"no image at all"), ("c.png", png(POISON)), ("d.png", b"")
    ).json()["predictions"]
    assert good["status"] == "ok"
    assert [bad["status"], bad["error"], bad["label"]] == ["unreadable", "unreadable", None]
    assert "known format" in bad["message"]
    assert [poison["status"], poison["error"]] == ["unreadable", "internal"]
    assert "Doe" not in str(poison)
    assert empty["error"] == "empty"


def test_a_poisoned_image_leaves_the_rest_of_its_batch_alone(served: Served) -> None:
    uploads = [(f"{n}.png", png(POISON if n == 3 else 200)) for n in range(8)]
    entries = served.predict(*uploads).json()["predictions"]
    assert [entry["status"] for entry in entries] == ["ok"] * 3 + ["unreadable"] + ["ok"] * 4
    assert max(served.engine.batches) > 1


@pytest.mark.parametrize("path", ["/api/predict", "/api/view", "/api/heatmap", "/api/result.pdf"])
def test_archives_and_forms_without_a_file_are_refused(path: str, served: Served) -> None:
    assert served.code(path, ("a.png", zipped())) == (415, "archive")
    assert served.client.post(path, files={"lang": (None, "en")}).json()["error"] == "empty"
    assert served.client.post(path, content=b"x").json()["error"] == "bad_request"


def test_a_workbook_is_no_archive_but_a_file_that_cannot_be_read(tmp_path: Path, served: Served) -> None:
    rows = [["image", "label"], ["a.png", "SICK"]]
    for path in (write_xlsx(tmp_path / "a.xlsx", {"labels": rows}), write_ods(tmp_path / "a.ods", rows)):
        assert served.code("/api/view", (path.name, path.read_bytes())) == (422, "unreadable")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [(b"nothing", 422, "unreadable"), (png(side=40), 413, "too_many_pixels")],
    ids=["no image", "too many pixels"],
)
@pytest.mark.parametrize("path", ["/api/view", "/api/heatmap"])
def test_what_cannot_be_shown_has_its_code(path: str, data: bytes, status: int, code: str) -> None:
    served = serve_for_tests(Limits(pixels=1000, requests_per_minute=0))
    assert served.code(path, ("a.png", data)) == (status, code)


def test_too_many_pixels_are_an_entry_of_their_own() -> None:
    served = serve_for_tests(Limits(pixels=1000, requests_per_minute=0))
    big, small = served.predict(("a.png", png(side=40)), ("b.png", png(side=20))).json()["predictions"]
    assert (big["error"], small["error"]) == ("too_many_pixels", None)


def test_limits_of_size_and_number() -> None:
    served = serve_for_tests(
        Limits(file_bytes=MB, request_bytes=2 * MB, files=3, images=4, requests_per_minute=0)
    )
    noise = np.random.default_rng(0).integers(0, 255, (1200, 900), np.uint8)
    large = encoded(noise, "BMP")
    assert len(large) > MB
    assert served.code("/api/predict", ("a.bmp", large)) == (413, "too_large")
    most = large[: MB - 1]
    assert served.code("/api/predict", *[(f"{n}", most) for n in range(3)]) == (413, "too_large")
    assert served.code("/api/predict", *[(f"{n}", png()) for n in range(4)]) == (413, "too_many")
    assert served.code("/api/predict", ("a.dcm", dicom((1, 2, 3, 4, 5)))) == (413, "too_many")
    assert served.predict(("a.dcm", dicom((1, 2, 3, 4)))).status_code == 200


def test_a_view_is_pixels_and_nothing_of_the_header(served: Served) -> None:
    answer = served.client.post("/api/view", files={"file": ("x.dcm", dicom((100, 124, 200)))})
    assert answer.status_code == 200
    assert b"Doe" not in answer.content
    assert b"4711" not in answer.content
    assert opened(answer.content).info == {}
    told = {name: answer.headers[f"x-{name}"] for name in ("frames", "frame", "grey", "modality")}
    assert told == {"frames": "3", "frame": "1", "grey": "1", "modality": "CT"}
    assert (answer.headers["x-window-centre"], answer.headers["x-window-width"]) == ("100", "200")
    level = opened(answer.content).getpixel((3, 3))
    assert level == 128  # 124 - 24 is the centre of the window


def test_a_modality_that_is_no_code_is_not_told(served: Served) -> None:
    answer = served.client.post("/api/view", files={"file": ("x.dcm", dicom(modality="Doe^Jane"))})
    assert "x-modality" not in answer.headers


def test_window_inversion_frame_and_size_of_a_view(served: Served) -> None:
    def view(data: bytes, **fields: str) -> Image.Image:
        answer = served.client.post("/api/view", files={"file": ("x", data)}, data=fields)
        assert answer.status_code == 200, answer.text
        return opened(answer.content)

    assert view(dicom((24, 224)), frame="1", centre="400", width="800").getpixel((0, 0)) == 64
    assert view(dicom((24, 224)), frame="0").getpixel((0, 0)) == 0
    assert view(png(200), invert="1").getpixel((0, 0)) == 55
    assert view(png(100), centre="100", width="50").getpixel((0, 0)) == 128
    assert view(png(200, 300, width=400), max_px="100").size == (100, 75)


@pytest.mark.parametrize(
    "fields",
    [
        {"centre": "40"},
        {"centre": "a", "width": "1"},
        {"centre": "nan", "width": "1"},
        {"centre": "1", "width": "0"},
        {"centre": "1", "width": "1e400"},
        {"frame": "-1"},
        {"frame": "1"},
        {"max_px": "9" * 30},
    ],
)
def test_a_view_that_makes_no_sense_is_refused(fields: dict[str, str], served: Served) -> None:
    assert served.code("/api/view", ("a.png", png()), **fields) == (400, "bad_request")


def test_similar_training_images_are_shown_with_their_label_or_a_reason(served: Served) -> None:
    answer = served.client.post("/api/similar", files={"file": ("x", png())}).json()
    (case,) = answer["cases"]
    assert (case["label"], case["likeness"]) == ("LIGHT", 0.9)
    assert Image.open(io.BytesIO(base64.b64decode(case["picture"]))).size == (4, 4)
    assert served.code("/api/similar", ("x", png(0))) == (409, "no_similar")
    assert served.code("/api/similar", ("x", b"GIF")) == (422, "unreadable")


def test_a_heatmap_is_a_picture_or_a_reason(served: Served) -> None:
    answer = served.client.post("/api/heatmap", files={"file": ("x", png())}, data={"label": "LIGHT"})
    assert opened(answer.content).mode == "RGB"
    assert served.code("/api/heatmap", ("x", png()), label="DARK") == (409, "no_heatmap")
    assert served.code("/api/heatmap", ("x", png()), label="CAT") == (400, "bad_request")


def test_rows_of_text_are_covered_in_every_picture(served: Served) -> None:
    upload = ("a.png", png_with_text())
    shown = served.client.post("/api/view", files={"file": upload}, data={"text": "show"})
    assert shown.headers["x-covered"] == "0"
    assert opened(shown.content).getextrema()[1] == 255
    view = served.client.post("/api/view", files={"file": upload})
    assert int(view.headers["x-covered"]) >= 1
    heat = served.client.post("/api/heatmap", files={"file": upload})
    document = served.client.post("/api/result.pdf", files={"files": upload})
    drawn = base64.b64decode(document.content.split(b"base64,")[1].split(b'"')[0])
    for data in (view.content, heat.content, drawn):
        assert opened(data).convert("L").getextrema() == (40, 40)


def test_a_document_names_nobody_and_says_when_it_cannot_be_made(served: Served) -> None:
    answer = served.client.post("/api/result.pdf", files={"files": ("Doe_Jane_1980-02-03.png", png(200))})
    assert answer.headers["content-type"] == "application/pdf"
    assert b"Doe" not in answer.content
    assert served.code("/api/result.pdf", ("a", png()), lang="vi") == (503, "internal")


def test_names_are_masked_shortened_and_without_their_folders(served: Served) -> None:
    names = [
        "C:\\scans\\Doe_Jane_1980-02-03.png",
        "../../etc/passwd",
        "x" * 500 + ".png",
        "a\r\nb.png",
        "ä.png",
    ]
    entries = served.predict(*[(name, png()) for name in names]).json()["predictions"]
    masked, passwd, long, broken, umlaut = (entry["path"] for entry in entries)
    assert masked == "xxx_xxxx_####-##-##.png"
    assert passwd == "passwd"
    assert len(long) == 80
    assert "\n" not in broken
    assert umlaut == "ä.png"


def test_unknown_addresses_and_methods_answer_as_json(served: Served) -> None:
    assert served.client.get("/nowhere").json()["error"] == "not_found"
    assert served.client.get("/api/predict").status_code == 405
    assert served.client.get("/static/../gate.py").status_code == 404


def test_the_model_and_the_description_of_the_api(served: Served) -> None:
    assert served.client.get("/api/model").json()["threshold"]["achieved_recall"] == 0.96
    paths = served.client.get("/openapi.json").json()["paths"]
    assert {"/api/predict", "/api/view", "/api/heatmap", "/api/result.pdf", "/api/model"} <= set(paths)
    docs = served.client.get("/docs").text
    assert "/api/predict" in docs
    assert "http" not in docs.replace("http://127.0.0.1:8000", "")  # nothing is loaded from elsewhere


def test_figures_of_requests_and_images(served: Served) -> None:
    served.predict(("a.png", png()), ("b.png", b"no"))
    served.client.get("/wp-admin")
    text = served.client.get("/metrics").text
    assert 'medimg_requests_total{route="/api/predict",status="200"} 1' in text
    assert 'medimg_requests_total{route="other",status="404"} 1' in text
    assert 'medimg_request_seconds_count{route="/api/predict"} 1' in text
    assert "medimg_images_total 1\n" in text
    assert "medimg_images_refused_total 1\n" in text
    assert "medimg_upload_bytes 0\n" in text
    assert "wp-admin" not in text


def test_every_answer_has_a_number_and_headers_that_load_nothing_from_elsewhere(served: Served) -> None:
    first, second = served.client.get("/healthz"), served.client.get("/nowhere")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for answer in (first, second):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_several_files_are_answered_as_one_exam(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    point = {
        "value": 0.7,
        "rule": "given",
        "split": "",
        "achieved_recall": None,
        "achieved_specificity": None,
    }
    exams = {"source": "folder", "pooling": "max", "why": "", "threshold": point, "thresholds": {}}
    facts = {**served.engine.facts, "answers": "softmax", "exams": exams}
    uploads = (("a.png", png(10)), ("b.png", png(200)), ("c.png", png(30)))
    assert served.code("/api/predict", *uploads, exam="1") == (400, "bad_request")
    monkeypatch.setattr(served.engine, "facts", facts)
    exam = served.predict(*uploads, data={"exam": "1", "said": "1"}).json()["exam"]
    assert (exam["decision"], exam["label"], exam["images"]) == ("positive", "LIGHT", 3)
    assert (exam["driven_by"], exam["driven_by_index"]) == ("b.png", 1)
    assert "78.4%" in exam["said"]["en"]["headline"] and "70.0%" in exam["said"]["en"]["headline"]
    partly = served.predict(
        ("a.png", png(10)), ("b.png", b"no image"), data={"exam": "1", "said": "1"}
    ).json()
    assert partly["exam"]["decision"] == "refer"
    assert partly["exam"]["said"]["en"]["headline"].startswith("Not all images were answered")
    assert "exam" not in served.predict(*uploads).json()


def test_the_view_of_a_volume_is_the_slice_that_predict_reads(served: Served) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = nibabel.Nifti1Image(np.arange(8 * 8 * 5, dtype=np.int16).reshape(8, 8, 5), np.eye(4))
    upload = ("a.nii", volume.to_bytes())
    view = served.client.post("/api/view", files={"file": upload})
    named = served.client.post("/api/view", files={"file": upload}, data={"frame": "2"})
    assert (view.headers["x-frames"], view.headers["x-frame"]) == ("5", "2")
    assert view.content == named.content
