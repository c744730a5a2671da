"""NIfTI volumes: slices as a radiologist looks at them, whatever way the scanner stored them."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.images.readers import frame_count, read_content, read_image

nibabel: Any = pytest.importorskip("nibabel")

# (R, A, S): a voxel's value tells where it is; 6 wide, 5 deep, 4 high.
WHERE = np.arange(120, dtype=np.int16).reshape(6, 5, 4)


def save(path: Path, samples: NDArray[Any], affine: NDArray[Any] | None = None, **header: Any) -> Path:
    image = nibabel.Nifti1Image(samples, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def read(path: Path, member: str = "", **options: Any) -> DecodedImage:
    return read_image(f"{path.as_posix()}{member}", ReadOptions(**options))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "no suffix.nii.gz"])
def test_slices_are_frames_and_the_middle_one_is_read(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, WHERE, cal_min=0, cal_max=119)
    assert frame_count(path.as_posix()) == 4
    image = read(path)
    assert image.facts == {"frame": "3 of 4", "window": "cal_min 0, cal_max 119"}
    assert np.array_equal(image.pixels, read(path, "#frame/2").pixels)
    # The first row is the front, the first column the patient's right.
    assert np.array_equal(image.pixels[..., 0], np.rint(WHERE[::-1, ::-1, 2].T / 119 * 255).astype(np.uint8))
    with pytest.raises(UnreadableImage, match="no frame/4; its slices are frame/0 to frame/3"):
        read(path, "#frame/4")


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SAL", "ASR"])
def test_however_it_is_stored_the_picture_is_the_same(tmp_path: Path, axes: str) -> None:
    upright = nibabel.Nifti1Image(WHERE, np.eye(4))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(upright.affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    stored = upright.as_reoriented(turn)
    axis = next(index for index, letter in enumerate(axes) if letter in "SI")
    stored.header.set_dim_info(slice=axis)
    nibabel.save(stored, tmp_path / "turned.nii.gz")
    expected = save(tmp_path / "upright.nii", WHERE)
    for number in range(4):
        turned = read(tmp_path / "turned.nii.gz", f"#frame/{number}")
        assert np.array_equal(turned.pixels, read(expected, f"#frame/{number}").pixels)


@pytest.mark.parametrize(
    ("axes", "first"),
    [
        ("ASR", WHERE[0, ::-1, ::-1].T),
        ("RSA", WHERE[::-1, 0, ::-1].T),
    ],  # sagittal: front left; coronal: right left
)
def test_the_third_stored_axis_is_the_one_of_slices(tmp_path: Path, axes: str, first: NDArray[Any]) -> None:
    upright = nibabel.Nifti1Image(WHERE, np.eye(4))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(upright.affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    path = tmp_path / "a.nii"
    stored = upright.as_reoriented(turn)
    stored.header["cal_max"] = 119
    nibabel.save(stored, path)
    assert np.array_equal(read(path, "#frame/0").pixels[..., 0], np.rint(first / 119 * 255).astype(np.uint8))


def test_ct_has_the_window_of_ct_and_others_the_range_of_the_volume(tmp_path: Path) -> None:
    values = np.linspace(-1000, 1500, 1000).reshape(10, 10, 10).astype(np.int16)
    image = read(save(tmp_path / "ct.nii", values))
    assert image.facts["window"] == "center 40, width 400: values as of CT"
    magnetic = read(save(tmp_path / "mr.nii", (values + 1000).astype(np.int16)))
    assert magnetic.facts["window"].startswith("percentiles 0.5-99.5: ")
    assert magnetic.facts["window"].endswith(" of the volume")
    given = read(tmp_path / "mr.nii", window=(500, 1000), bits=16)
    assert given.facts["window"] == "500,1000 (given)"
    assert given.pixels.dtype == np.uint16


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(WHERE, np.eye(4))
    image.header.set_slope_inter(2.0, -100.0)
    image.header["cal_min"], image.header["cal_max"] = -100, 138
    nibabel.save(image, tmp_path / "a.nii")
    # nibabel scales on saving too: the numbers that a user asks for are what matters.
    values = np.asanyarray(nibabel.load(tmp_path / "a.nii").dataobj)[::-1, ::-1, 0].T
    expected = np.rint(np.clip((values + 100) / 238, 0, 1) * 255)
    assert np.abs(read(tmp_path / "a.nii", "#frame/0").pixels[..., 0].astype(int) - expected).max() <= 1


def test_a_series_of_volumes_is_one_after_the_other(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.stack([WHERE, WHERE + 100], -1), cal_max=219)
    assert frame_count(path.as_posix()) == 8
    first, second = read(path, "#frame/1"), read(path, "#frame/5")
    assert np.abs(second.pixels.astype(int) - first.pixels - 100 / 219 * 255).max() <= 1


def test_colour_stays_colour(tmp_path: Path) -> None:
    colours = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"] = WHERE
    image = read(save(tmp_path / "a.nii", colours), "#frame/0")
    assert np.array_equal(image.pixels[..., 0], WHERE[::-1, ::-1, 0].T)
    assert image.pixels[..., 1:].max() == 0


def test_a_packed_volume_larger_than_a_buffer_is_read_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-500, 500, (90, 80, 20)).astype(np.int16)
    packed, plain = save(tmp_path / "a.nii.gz", noise), save(tmp_path / "b.nii", noise)
    assert frame_count(packed.as_posix()) == 20
    assert np.array_equal(read(packed, "#frame/19").pixels, read(plain, "#frame/19").pixels)


def test_a_volume_inside_an_archive_is_read_too(tmp_path: Path) -> None:
    data = save(tmp_path / "a.nii.gz", WHERE).read_bytes()
    image = read_content(io.BytesIO(data), "a.nii.gz", "frame/1", ReadOptions())
    assert np.array_equal(image.pixels, read(tmp_path / "a.nii.gz", "#frame/1").pixels)


def test_complex_blank_and_damaged_volumes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="samples of type complex64"):
        read(save(tmp_path / "c.nii", WHERE.astype(np.complex64)))
    with pytest.raises(UnreadableImage, match="finite"):
        read(save(tmp_path / "n.nii", np.full((4, 4, 4), np.nan, np.float32)))
    for name in ("t.nii", "t.nii.gz"):
        content = save(
            tmp_path / name, np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
        ).read_bytes()
        for kept in range(60, len(content) - 8, 200):
            (tmp_path / f"cut{kept}.nii").write_bytes(content[:kept])
            with pytest.raises(UnreadableImage):
                read(tmp_path / f"cut{kept}.nii")


def test_a_volume_that_claims_more_than_it_could_hold_is_refused(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((2000, 2000, 700))
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = bytes(header.binaryblock) + bytes(4)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UnreadableImage, match="the header says a volume of 2000x2000x700"):
        read(tmp_path / "a.nii.gz")


def test_without_nibabel_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.nii", WHERE)
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(UnreadableImage, match=r"pip install 'medimg\[nifti\]'"):
        read(path)


def test_the_middle_of_a_series_is_the_middle_slice_of_a_volume(tmp_path: Path) -> None:
    series = np.stack([WHERE + 1000 * moment for moment in range(4)], axis=-1)
    image = read(save(tmp_path / "a.nii", series, cal_max=4000))
    assert image.facts["frame"] == "11 of 16"  # of 4 volumes of 4 slices: of the third, the third
    assert np.array_equal(image.pixels, read(tmp_path / "a.nii", "#frame/10").pixels)


def test_a_gzip_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    content = bytearray(save(tmp_path / "a.nii.gz", WHERE).read_bytes())
    content[-6] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(UnreadableImage, match="CRC"):
        read(tmp_path / "a.nii.gz")


def test_voxels_that_are_no_number_are_counted(tmp_path: Path) -> None:
    samples = WHERE.astype(np.float32)
    samples[0, :2, 2], samples[1, 0, 2] = np.nan, np.inf
    image = read(save(tmp_path / "a.nii", samples, cal_max=119))
    assert image.facts["window"] == "cal_min 0, cal_max 119; 3 samples are no finite number"


def test_an_orientation_that_is_a_guess_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = nibabel.Nifti1Image(WHERE, None)
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    assert "no orientation" in read(path).facts["note"]
    content = bytearray(path.read_bytes())
    for spoilt in (-2.0, np.nan):  # pixdim[1]
        content[80:84] = np.float32(spoilt).tobytes()
        path.write_bytes(content)
        assert "no orientation" in read(path).facts["note"]
    assert capfd.readouterr().err == ""
    assert "note" not in read(save(tmp_path / "b.nii", WHERE)).facts
    assert "not square" in read(save(tmp_path / "c.nii", WHERE, np.diag([1, 2, 1, 1]))).facts["note"]
    assert "note" not in read(save(tmp_path / "d.nii", WHERE, np.diag([1, 1, 3, 1]))).facts


def test_forms_that_lead_to_different_sides_are_said(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(WHERE, np.eye(4))
    image.set_qform(np.eye(4), 1)
    image.set_sform(np.diag([-1, 1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    note = read(tmp_path / "a.nii").facts["note"]
    assert note == "qform leads to RAS, sform to LAS: sform is taken"


def test_a_range_that_would_show_one_grey_is_skipped_and_said(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", WHERE, cal_min=5000, cal_max=6000)
    image = read(path)
    assert image.pixels.min() < image.pixels.max()
    assert image.facts["note"] == "cal_min 5000, cal_max 6000 skipped, every sample beyond it"
    assert read(path, window=(9000, 10)).facts["window"] == "9000,10 (given), every sample beyond it"


def test_transparent_voxels_lie_on_black(tmp_path: Path) -> None:
    colours = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
    colours["R"], colours["A"][3:] = 200, 255
    image = read(save(tmp_path / "a.nii", colours), "#frame/0")
    assert image.pixels[0, :, 0].tolist() == [200, 200, 200, 0, 0, 0]
    assert image.facts["note"] == "transparency on black"
