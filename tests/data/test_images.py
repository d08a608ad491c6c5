"""Images keep their stored values, or an error names them."""

import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop

from sarbench.bench.data.files import ImageFile, open_source
from sarbench.bench.data.images import centre_crop, content_digest, decode_image, image_size
from sarbench.bench.data.unreadable_image import UnreadableImageError

GREY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
DEEP = np.arange(6 * 5, dtype=np.uint16).reshape(6, 5) * 2000
AMPLITUDE = (np.arange(30, dtype=np.float32) / 30).reshape(6, 5)


def read(path: Path) -> np.ndarray:
    return ImageFile(PurePosixPath(path.name), path, (0, 0)).read()


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF", "a.bmp"])
def test_grey_8_bit_files_keep_their_values(tmp_path: Path, name: str):
    image = read(save(tmp_path / name, GREY))
    assert image.dtype == np.uint8
    assert np.array_equal(image, GREY)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_16_bit_files_keep_their_values(tmp_path: Path, name: str):
    image = read(save(tmp_path / name, DEEP))
    assert image.dtype == np.uint16
    assert np.array_equal(image, DEEP)


def test_a_float_tiff_keeps_its_values(tmp_path: Path):
    assert np.array_equal(read(save(tmp_path / "a.tif", AMPLITUDE)), AMPLITUDE)


def test_equal_colour_channels_are_one_channel(tmp_path: Path):
    colour = np.repeat(GREY[..., None], 3, axis=2)
    assert np.array_equal(read(save(tmp_path / "a.png", colour)), GREY)
    opaque = np.concatenate([colour, np.full((6, 5, 1), 255, np.uint8)], axis=2)
    assert np.array_equal(read(save(tmp_path / "b.png", opaque)), GREY)


def test_a_grey_jpeg_stored_as_colour_is_the_grey_jpeg(tmp_path: Path):
    speckle = np.random.default_rng(0).exponential(40, (32, 32)).clip(0, 255).astype(np.uint8)
    Image.fromarray(speckle).convert("RGB").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - speckle).mean() < 5


def test_differing_colour_channels_are_refused_by_name(tmp_path: Path):
    colour = np.repeat(GREY[..., None], 3, axis=2)
    colour[2, 3, 1] += 1
    with pytest.raises(UnreadableImageError, match=r"tinted\.png: its colour channels differ"):
        read(save(tmp_path / "tinted.png", colour))


def test_16_bit_colour_is_refused(tmp_path: Path):
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + b"\x01\x02" * 3))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImageError, match="16-bit colour"):
        read(path)


def test_numpy_and_matlab_files_keep_their_values(tmp_path: Path):
    for number, array in enumerate((GREY, DEEP, AMPLITUDE)):
        np.save(tmp_path / f"{number}.npy", array)
        scipy.io.savemat(tmp_path / f"{number}.mat", {"chip": array})
        for suffix in ("npy", "mat"):
            image = read(tmp_path / f"{number}.{suffix}")
            assert image.dtype == array.dtype
            assert np.array_equal(image, array)


def test_the_amplitude_of_a_complex_image_is_its_magnitude(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.array([[3 + 4j, 0], [1j, 2]]))
    assert np.array_equal(read(tmp_path / "a.npy"), np.array([[5, 0], [1, 2]], np.float32))


def test_a_matlab_file_with_two_arrays_is_refused(tmp_path: Path):
    scipy.io.savemat(tmp_path / "a.mat", {"first": GREY, "second": DEEP, "prf": 3.0})
    with pytest.raises(UnreadableImageError, match="it holds first, second, prf"):
        read(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), np.inf), "infinite"),
        (np.full((4, 4), -3.0), r"negative values \(down to -3\)"),
        (np.full((4, 4), 1e39), "exceed float32"),
        (np.zeros((4, 4), np.int64), "type int64"),
        (np.zeros((2, 4, 4)), r"shape \(2, 4, 4\) is not an image"),
        (np.zeros((0, 4)), r"shape \(0, 4\) is not an image"),
        (np.array([{}], dtype=object), "not a plain NPY array"),
    ],
)
def test_an_array_that_is_not_amplitude_is_refused(tmp_path: Path, array: np.ndarray, cause: str):
    np.save(tmp_path / "bad.npy", array, allow_pickle=True)
    with pytest.raises(UnreadableImageError, match=rf"bad\.npy: .*{cause}"):
        read(tmp_path / "bad.npy")


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }",
         "header says 1000000 x 1000000 values of float32, but the file ends before"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 4), }", "not a plain NPY array"),
        ("(" * 900, "not a plain NPY array"),
        ("{'a': " * 900, "not a plain NPY array"),
        ("'''", "not a plain NPY array"),
    ],
)  # fmt: skip
def test_a_made_up_header_of_an_array_is_refused(header: str, cause: str, tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(npy(header))
    with pytest.raises(UnreadableImageError, match=rf"a\.npy: .*{cause}"):
        read(tmp_path / "a.npy")


def test_an_archive_of_arrays_with_the_name_of_an_array_is_refused(tmp_path: Path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=GREY)
    with pytest.raises(UnreadableImageError, match=r"a\.npy: is not a plain NPY array, but"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.mat"])
def test_the_error_names_a_truncated_image(tmp_path: Path, name: str):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, noise)
    elif name.endswith("mat"):
        scipy.io.savemat(path, {"chip": noise})
    else:
        save(path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UnreadableImageError, match=name):
        read(path)


def test_the_size_in_a_header_of_a_bomb_is_an_error_and_not_a_crash():
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "BMP")
    data = file.getvalue()[:18] + struct.pack("<2i", 60000, 60000) + file.getvalue()[26:]
    for function in (image_size, decode_image):
        with pytest.raises(UnreadableImageError, match=r"a\.bmp: cannot be decoded \(Image size"):
            function(data, "a.bmp")


def crashes_scipy(data: bytearray, damage: str) -> None:
    """Change a MAT file of one float array so that SciPy, alone, ends the process."""
    assert data[0x88:0x90] == struct.pack("<2I", 6, 8)  # flags
    assert data[0xB0:0xB4] == struct.pack("<I", 7)  # type of the pixels
    if damage == "size of the flags":  # SciPy ignores it
        data[0x8C:0x90] = struct.pack("<I", 0x7FFFFFFF)
        data[0xB0:0xB4] = struct.pack("<I", 8)
    elif damage == "size of the matrix":  # the pixels are no longer in it
        data[0x84:0x88] = struct.pack("<I", 0xB0 - 0x88)
        data[0xB0:0xB4] = struct.pack("<I", 14)
    else:
        data[0xB0:0xB4] = struct.pack("<I", 14 if damage == "matrix as pixels" else 0x3A09)


@pytest.mark.parametrize(
    "damage",
    ["cut in its first line", "class 0", "type", "matrix as pixels", "size of the flags",
     "size of the matrix"],
)  # fmt: skip
def test_the_error_names_a_damaged_matlab_file(damage: str):
    file = io.BytesIO()
    scipy.io.savemat(file, {"a": AMPLITUDE})
    data = bytearray(file.getvalue())
    if damage == "class 0":
        data[0x90] = 0
    elif damage.startswith("cut"):
        del data[46:]
    else:
        crashes_scipy(data, damage)
    with pytest.raises(UnreadableImageError, match=r"a\.mat: is not a readable MAT file .*-v7"):
        decode_image(bytes(data), "a.mat")


def test_a_matlab_file_of_other_arrays_is_answered_with_their_names():
    file = io.BytesIO()
    scipy.io.savemat(file, {"note": "text", "parts": {"chip": AMPLITUDE}})
    with pytest.raises(UnreadableImageError, match="it holds note, parts"):
        decode_image(file.getvalue(), "a.mat")
    file = io.BytesIO()
    scipy.io.savemat(file, {"note": "text", "parts": {"chip": AMPLITUDE}, "chip": AMPLITUDE})
    np.testing.assert_array_equal(decode_image(file.getvalue(), "a.mat"), AMPLITUDE)


def test_errors_name_empty_missing_and_other_files(tmp_path: Path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UnreadableImageError, match=r"empty\.png: the file is empty"):
        read(tmp_path / "empty.png")
    with pytest.raises(UnreadableImageError, match=r"text\.png: is not an image"):
        read(tmp_path / "text.png")
    with pytest.raises(UnreadableImageError, match=r"notes\.txt: not one of the formats"):
        read(tmp_path / "notes.txt")
    with pytest.raises(UnreadableImageError, match=r"absent\.png.*No such file"):
        read(tmp_path / "absent.png")


@pytest.mark.parametrize("rows", [3, 54, 127, 128, 129, 131, 173])
@pytest.mark.parametrize("columns", [60, 93, 128, 139, 172, 193])
def test_the_centre_crop_is_that_of_the_papers_code(rows: int, columns: int):
    image = np.random.default_rng(rows).integers(0, 255, (rows, columns), np.uint8)
    expected = center_crop(torch.from_numpy(image)[None], [128, 128])[0].numpy()
    assert np.array_equal(centre_crop(image, 128), expected)


def test_equal_images_in_different_formats_have_equal_content(tmp_path: Path):
    np.save(tmp_path / "a.npy", GREY)
    assert content_digest(read(tmp_path / "a.npy")) == content_digest(GREY)
    assert content_digest(GREY) != content_digest(GREY.reshape(5, 6))
    assert content_digest(GREY) != content_digest(GREY + 1)


def test_archives_and_folders_list_the_same_images(tmp_path: Path):
    folder = tmp_path / "plain"
    (folder / "ship").mkdir(parents=True)
    save(folder / "ship" / "1.png", GREY)
    save(folder / "2.png", GREY + 1)
    (folder / "readme.txt").write_text("not an image")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder, ".")
    seen = []
    for source in (folder, tmp_path / "a.zip", tmp_path / "a.tar.gz"):
        with open_source(source) as files:
            seen.append([(str(file.relative), file.read().tolist()) for file in files])
    assert seen[0] == [("2.png", (GREY + 1).tolist()), ("ship/1.png", GREY.tolist())]
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]


@pytest.mark.parametrize("member", ["../out.png", "/out.png", "a/../../out.png", "..\\out.png"])
def test_an_archive_member_with_a_path_out_of_the_archive_is_refused(tmp_path: Path, member: str):
    place = tmp_path / "inside"
    place.mkdir()
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        archive.writestr(member, b"x")
    with tarfile.open(place / "b.tar", "w") as archive:
        info = tarfile.TarInfo(member)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    for name in ("a.zip", "b.tar"):
        refused = pytest.raises(UnreadableImageError, match="leads out of it")
        with refused, open_source(place / name):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize("damage", ["none", "checksum", "empty header", "cut", "two in a row"])
def test_a_tar_that_is_cut_or_damaged_loses_no_image_quietly(
    tmp_path: Path, damage: str, suffix: str
):
    file, ends = io.BytesIO(), []
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number in range(4):
            archive.add(save(tmp_path / f"{number}.png", GREY), f"{number}.png")
            (tmp_path / f"{number}.png").unlink()
            ends.append(archive.offset)
    data = bytearray(file.getvalue())
    if damage == "checksum":
        data[ends[1] + 140 : ends[1] + 180] = bytes(40)
    elif damage == "empty header":
        data[ends[1] : ends[1] + 512] = bytes(512)
    elif damage == "cut":
        del data[ends[1] :]
    elif damage == "two in a row":
        data *= 2
    (tmp_path / f"a.{suffix}").write_bytes(gzip.compress(data) if suffix == "tar.gz" else data)
    if damage == "none":
        with open_source(tmp_path) as files:
            assert len(files) == 4
        return
    with (
        pytest.raises(UnreadableImageError, match=rf"a\.{suffix}: .*cut or damaged; make or fetch"),
        open_source(tmp_path),
    ):
        pass


def zip_of(compression: int = zipfile.ZIP_STORED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a.npy", bytes(300))
    return bytearray(file.getvalue())


def tar_of(mtime: str) -> bytearray:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("a.npy")
        info.pax_headers = {"mtime": mtime}
        archive.addfile(info)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("name", ["xz", "lzma", "name", "no name", "version", "inf", "nan"])
def test_the_error_names_an_archive_that_python_cannot_read(tmp_path: Path, name: str):
    if name in ("inf", "nan"):
        data = tar_of(name)
    elif name == "xz":
        data = bytearray(lzma.compress(tar_of("1.5")))
        data[40:80] = b"\xff" * 40
    else:
        data = zip_of(zipfile.ZIP_LZMA if name == "lzma" else zipfile.ZIP_STORED)
        entry = data.rindex(b"PK\x01\x02")
        if name == "lzma":
            data[44:50] = b"\xff" * 6
        elif name == "name":
            data[entry + 8 : entry + 10] = struct.pack("<H", 0x800)  # UTF-8
            data[entry + 46] = 0xFF
        elif name == "no name":
            data[entry + 28 : entry + 30] = bytes(2)
            data[entry + 30 : entry + 32] = struct.pack("<H", 5)  # its letters are an extra field
        else:
            data[entry + 6] = 99
    path = tmp_path / ("a.tar.xz" if name == "xz" else "a.tar" if len(name) == 3 else "a.zip")
    path.write_bytes(data)
    with (
        pytest.raises(UnreadableImageError, match=r"a\.npy in .*a\.|a\.\S+: not a readable"),
        open_source(path) as files,
    ):
        files[0].read()


def test_the_error_names_a_damaged_archive(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with (
        pytest.raises(UnreadableImageError, match=r"a\.zip: not a readable archive"),
        open_source(tmp_path),
    ):
        pass


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path):
    save(tmp_path / "1.png", GREY)
    (tmp_path / "again").symlink_to(tmp_path)
    with open_source(tmp_path) as files:
        assert [str(file.relative) for file in files] == ["1.png"]


def test_the_real_samples_of_every_data_set_are_read(real_data: Path):
    with open_source(real_data / "format_samples") as files:
        images = {file.relative.name: file.read() for file in files}
    assert len(images) == 40
    assert {image.dtype.name for image in images.values()} == {"uint8"}
    assert images["01806.jpg"].shape == (256, 256)  # stored as colour
    assert images["HB19389.jpeg"].shape == (178, 177)
