"""The command that unpacks and cuts colour pictures: a tiny font of bitmaps, a few pictures."""

import io

import numpy as np
from conftest import colour_shape
from fontTools.fontBuilder import FontBuilder
from fontTools.misc import sstruct
from fontTools.ttLib import newTable
from fontTools.ttLib.tables import E_B_L_C_ as size_table
from fontTools.ttLib.tables import BitmapGlyphMetrics as glyph_table
from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_18
from PIL import Image

from benchmarks import pictures


def call(monkeypatch, capsys, *words) -> tuple[object, str]:
    """The command's exit code (or last line) and what it printed."""
    monkeypatch.setattr("sys.argv", ["pictures", *map(str, words)])
    code = 0
    try:
        pictures.main()
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().out


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
