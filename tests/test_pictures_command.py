"""The command that draws, unpacks and cuts colour pictures: a few faces, a tiny font of bitmaps, a few pictures."""

import io
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import colour_shape
from fontTools.fontBuilder import FontBuilder
from fontTools.misc import sstruct
from fontTools.ttLib import newTable
from fontTools.ttLib.tables import E_B_L_C_ as size_table
from fontTools.ttLib.tables import BitmapGlyphMetrics as glyph_table
from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_18
from PIL import Image

from benchmarks import pictures
from training import files


def call(monkeypatch, capsys, *words) -> tuple[object, str]:
    """The command's exit code (or last line) and what it printed."""
    monkeypatch.setattr("sys.argv", ["pictures", *map(str, words)])
    code = 0
    try:
        pictures.main()
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().out


@pytest.fixture
def drawing():
    """The two packages that draw faces, which are not in requirements.txt."""
    for name in ("python_avatars", "resvg_py"):
        pytest.importorskip(name, reason=f"no {name} here: pip install python_avatars resvg_py")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_faces_are_the_same_for_the_same_seed(tmp_path, monkeypatch, capsys, drawing):
    random.seed(5)  # whatever was drawn before
    code, out = call(monkeypatch, capsys, "faces", tmp_path / "a", "--count", 6, "--size", 48)
    assert code == 0
    assert "6 pictures in" in out
    first = contents(tmp_path / "a")
    assert sorted(first) == [f"{i:06d}.png" for i in range(6)]
    call(monkeypatch, capsys, "faces", tmp_path / "again", "--count", 6, "--size", 48)
    assert contents(tmp_path / "again") == first
    call(monkeypatch, capsys, "faces", tmp_path / "fewer", "--count", 3, "--size", 48)
    assert contents(tmp_path / "fewer") == {name: first[name] for name in sorted(first)[:3]}
    call(monkeypatch, capsys, "faces", tmp_path / "other", "--count", 6, "--size", 48, "--seed", 1)
    assert not set(contents(tmp_path / "other").values()) & set(first.values())


@pytest.mark.parametrize("size", [8, 33, 96, 1024])
def test_a_face_is_square_on_white_and_in_the_middle(tmp_path, monkeypatch, capsys, drawing, size):
    call(monkeypatch, capsys, "faces", tmp_path / "new", "--count", 1, "--size", size)
    with Image.open(tmp_path / "new" / "000000.png") as image:
        assert image.mode == "RGB"
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (size, size, 3)
    assert (pixels[0, 0] == 255).all()
    assert (pixels[0, -1] == 255).all()
    drawn = (pixels < 255).any(-1)
    assert abs((drawn * np.arange(size)).sum() / drawn.sum() - (size - 1) / 2) < 0.05 * size
    assert drawn[-1].mean() > 0.5  # the shoulders go out of the picture


@pytest.mark.parametrize("package", ["python_avatars", "resvg_py"])
def test_without_the_packages_one_line_says_how_to_install_them(tmp_path, monkeypatch, capsys, package):
    if package == "resvg_py":  # the other one is there
        monkeypatch.setitem(sys.modules, "python_avatars", type(sys)("python_avatars"))
        sys.modules["python_avatars"].Avatar = sys.modules["python_avatars"].AvatarStyle = None
    monkeypatch.setitem(sys.modules, package, None)
    code, _ = call(monkeypatch, capsys, "faces", tmp_path / "new")
    assert package in code
    assert code.endswith("pip install python_avatars resvg_py")
    assert "\n" not in code


@pytest.mark.parametrize("flags", [("--count", 0), ("--count", 1_000_001), ("--size", 7), ("--size", 1025)])
def test_a_number_of_faces_that_can_not_be(tmp_path, monkeypatch, capsys, flags):
    monkeypatch.setattr("sys.argv", ["pictures", "faces", str(tmp_path / "new"), *map(str, flags)])
    with pytest.raises(SystemExit) as stop:
        pictures.main()
    assert stop.value.code == 2
    assert f"{flags[0]} {flags[1]}: must be" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_can_not_take_them_is_one_line(tmp_path, monkeypatch, capsys, drawing):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("of someone")
    for name, reason in {
        "file": "can't be made a folder",
        "file/new": "can't be made a folder",
        "full": "not empty",
    }.items():
        code, _ = call(monkeypatch, capsys, "faces", tmp_path / name, "--count", 1)
        assert str(tmp_path / name) in code
        assert reason in code
        assert "\n" not in code
    assert contents(tmp_path / "full") == {"notes.txt": b"of someone"}

    def no_space(part, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "replace", no_space)
    code, _ = call(monkeypatch, capsys, "faces", tmp_path / "new", "--count", 1)
    assert "000000.png can't be written: No space left on device" in code
    assert contents(tmp_path / "new") == {}  # no part of a picture


def test_ctrl_c_says_that_the_folder_is_not_complete(tmp_path, monkeypatch, capsys):
    def stopped(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "faces", stopped)
    code, _ = call(monkeypatch, capsys, "faces", tmp_path / "new")
    assert code == f"pictures.py: stopped: {tmp_path / 'new'} has only a part of the pictures"


def colour_font(images: dict[str, Image.Image], path) -> None:
    """A font whose glyphs are PNGs, in the tables CBDT and CBLC."""
    builder = FontBuilder(unitsPerEm=1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *images])
    builder.setupCharacterMap({ord(name): name for name in images})
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *images], (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupMaxp()
    builder.setupPost()
    font, glyphs = builder.font, {}
    for name, image in images.items():
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        glyph = cbdt_bitmap_format_18(b"", font)
        glyph.imageData, glyph.metrics = (
            buffer.getvalue(),
            ones(glyph_table.BigGlyphMetrics(), glyph_table.bigGlyphMetricsFormat),
        )
        glyphs[name] = glyph
    strike, index = size_table.Strike(), size_table.eblc_index_sub_table_1(b"", font)
    strike.bitmapSizeTable = size = size_table.BitmapSizeTable()
    ones(size, size_table.bitmapSizeTableFormatPart1)
    ones(size, size_table.bitmapSizeTableFormatPart2)
    size.hori = size.vert = ones(size_table.SbitLineMetrics(), size_table.sbitLineMetricsFormat)
    index.names, index.indexFormat, index.imageFormat = list(images), 1, 18
    strike.indexSubTables = [index]
    font["CBDT"], font["CBLC"] = newTable("CBDT"), newTable("CBLC")
    font["CBDT"].version = font["CBLC"].version = 3.0
    font["CBDT"].strikeData, font["CBLC"].strikes = [glyphs], [strike]
    font.save(path)


def ones(record, layout: str):
    """A record of the font format whose fields are all 1."""
    for name in sstruct.getformat(layout)[1]:
        setattr(record, name, 1)
    return record


def test_the_pictures_of_a_font(tmp_path, monkeypatch, capsys):
    images = {name: colour_shape((20, 16), i).convert("RGBA") for i, name in enumerate("abc")}
    colour_font(images, tmp_path / "font.ttf")
    code, out = call(monkeypatch, capsys, "emoji", tmp_path / "new", "--font", tmp_path / "font.ttf")
    assert code == 0
    assert "3 pictures" in out
    for name, image in images.items():
        with Image.open(tmp_path / "new" / f"{name}.png") as found:
            assert found.tobytes() == image.tobytes()


def test_no_such_font_is_one_line_with_the_way_out(tmp_path, monkeypatch, capsys):
    (tmp_path / "text.ttf").write_text("no font")
    for name in ("missing.ttf", "text.ttf"):
        code, _ = call(monkeypatch, capsys, "emoji", tmp_path / "new", "--font", tmp_path / name)
        assert "apt install fonts-noto-color-emoji" in code
        assert name in code
        assert "\n" not in code


def test_pieces_of_pictures(tmp_path, monkeypatch, capsys):
    sources = tmp_path / "sources" / "deeper"
    sources.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 100, 3), np.uint8)
    noise[:, 50:] = 200  # plain: 48 to 64 holds both, what follows is of one colour
    Image.fromarray(noise).save(sources / "a.png")
    (sources / "again.png").symlink_to(sources / "a.png")
    Image.fromarray(noise[:20]).save(sources / "small.png")
    (sources / "drawing.svg").write_text("<svg/>")
    (sources / "notes.txt").write_text("no picture")
    flags = ("--size", 16, "--rows", 4)
    code, out = call(monkeypatch, capsys, "pieces", tmp_path / "new", tmp_path / "sources", *flags)
    assert code == 0
    assert "skipped 1 files that Pillow can't read (.svg)" in out
    assert "skipped 1 pictures below 64 pixels and 8 pieces" in out
    assert "16 pictures" in out
    found = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "new").iterdir())]
    assert len(found) == 16
    assert (found[5] == noise[16:32, 16:32]).all()

    code, _ = call(monkeypatch, capsys, "pieces", tmp_path / "new", tmp_path / "sources", *flags)
    assert "is not empty: name a new folder" in code
    assert len(list((tmp_path / "new").iterdir())) == 16

    code, _ = call(monkeypatch, capsys, "pieces", tmp_path / "newer", tmp_path / "nowhere")
    assert "apt install plasma-workspace-wallpapers" in code


def test_a_large_picture_is_made_smaller_first():
    squares = pictures.cut(Image.new("RGB", (300, 160)), 16, 2)
    assert len(squares) == 2 * 3
    assert {square.size for square in squares} == {(16, 16)}
