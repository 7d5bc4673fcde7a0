"""Methods from outside: folders, programs, networks and functions of others, judged beside our models."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from pipeline.config import OutsideMethod, Project, parse_project
from pipeline.errors import ConfigError
from pipeline.operations import outside, outside_judging
from pipeline.operations.outside import JudgedPicture, TooSlow, Unusable, checked, method_version, names_of, source_of

SIDE = 24
DOMAINS = '[domains.ordinary]\nqueries = [{ text = "a" }]\n[domains.shallow]\nqueries = [{ text = "b" }]\n'
HALF = """
import sys
from PIL import Image
Image.open(sys.argv[1]).point(lambda level: level // 2).save(sys.argv[2])
"""


def target(identifier: str = "flickr:12345", cut: outside.Cut | None = None) -> JudgedPicture:
    rgb = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return JudgedPicture(identifier, rgb, names_of(identifier, "https://live.example/1/12345_0123456789ab_h.jpg"), cut)


def project(tmp_path: Path, methods: str) -> Project:
    return parse_project(DOMAINS + methods, tmp_path / "bokehflow.toml")


@pytest.mark.parametrize(
    ("methods", "why"),
    [
        ('name = "phone"', "exactly one of folder, command, onnx, callable; this has none"),
        ('name = "phone"\nfolder = "a"\nonnx = "b"', "this has folder and onnx"),
        ('name = "phone"\nfolder = "a\\u0000b"', "has a NUL character"),
        ('name = "input"\nfolder = "a"', "another meaning"),
        ('name = "phone"\ncommand = "blur {input}"', "must name {input} and {output}"),
        ('name = "phone"\ncommand = "blur \'{input} {output}"', "cannot be read"),
        ('name = "phone"\ncallable = "blur"', "package.module:function"),
        (
            'name = "phone"\nfolder = "a"\n[[evaluation.methods]]\nname = "phone"\nfolder = "b"',
            "two methods are called phone",
        ),
        ('name = "phone"\nfolders = "a"', "time_limit_s"),
    ],
)
def test_what_is_no_method_is_refused_with_its_line(tmp_path: Path, methods: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"bokehflow.toml:\d+: evaluation.methods") as refused:
        project(tmp_path, f"[[evaluation.methods]]\n{methods}\n")
    assert why in str(refused.value)


def test_files_are_looked_for_beside_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(HALF)
    methods = project(
        tmp_path,
        '[[evaluation.methods]]\nname = "a"\nfolder = "pictures"\n'
        '[[evaluation.methods]]\nname = "b"\ncommand = "python half.py {input} {output}"\n'
        '[[evaluation.methods]]\nname = "c"\ncallable = "half:run"\n'
        '[[evaluation.methods]]\nname = "d"\ncallable = "numpy:flip"\n',
    ).evaluation.methods
    assert methods[0].folder == str(tmp_path / "pictures")
    assert methods[1].command == f"python {tmp_path / 'half.py'} '{{input}}' '{{output}}'"
    assert methods[2].callable == f"{tmp_path / 'half.py'}:run"
    assert methods[3].callable == "numpy:flip"


def test_words_of_a_command_that_can_be_no_files_stay_words(tmp_path: Path) -> None:
    words = f"sh -c '{'true; ' * 100}' ~no-such-user-here {{input}} {{output}}"
    (method,) = project(tmp_path, f'[[evaluation.methods]]\nname = "a"\ncommand = "{words}"\n').evaluation.methods
    assert method.command is not None
    assert "~no-such-user-here" in method.command
    assert len(method_version(method)) == 16


@pytest.mark.parametrize("name", ["flickr_12345.png", "12345.jpg", "12345_0123456789ab_h.PNG", "12345_fedcba987654_b.webp"])
def test_pictures_of_a_folder_are_found_by_id_and_by_file_name(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (SIDE, SIDE), (9, 200, 60)).save(tmp_path / name)
    found = source_of(OutsideMethod(name="a", folder=str(tmp_path))).picture(target())
    assert found.shape == (SIDE, SIDE, 3)
    assert abs(int(found[3, 3, 1]) - 200) < 6


def test_the_studys_folder_gives_its_translations_alone(tmp_path: Path) -> None:
    images = tmp_path / "results" / "cyclegan" / "test_latest" / "images"
    images.mkdir(parents=True)
    for end, level in (("real_A", 10), ("fake_B", 20), ("rec_A", 30), ("real_B", 40), ("fake_A", 50)):
        Image.new("RGB", (SIDE, SIDE), (level, level, level)).save(images / f"12345_0123456789ab_h_{end}.png")
    source = source_of(OutsideMethod(name="a", folder=str(tmp_path / "results" / "cyclegan")))
    assert source.picture(target())[0, 0].tolist() == [20, 20, 20]
    assert source.left_over([]) == []


def test_what_is_wrong_with_a_folder_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "flickr_1.png").write_bytes(b"no picture")
    Image.new("RGB", (SIDE, SIDE // 2)).save(tmp_path / "flickr_2.png")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "3.png")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "flickr_3.png")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "flickr_4444x.png")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "holiday.png")
    source = source_of(OutsideMethod(name="a", folder=str(tmp_path)))
    said = {}
    for number in (1, 2, 3, 4444):
        with pytest.raises(Unusable) as refused:
            source.picture(JudgedPicture(f"flickr:{number}", target().rgb, names_of(f"flickr:{number}", None)))
        said[number] = str(refused.value)
    assert "flickr_1.png cannot be read" in said[1]
    assert said[2] == "flickr_2.png is 24×12 px, not square"
    assert said[3] == "several pictures: flickr_3.png, 3.png"
    assert said[4444] == "no picture of that name"
    assert source.left_over(["flickr:4444"]) == ["flickr_4444x.png (meant as flickr:4444?)", "holiday.png"]


def test_files_of_any_name_and_kind_are_left_over_and_stop_nothing(tmp_path: Path) -> None:
    Image.fromarray(target().rgb).save(tmp_path / "12345.png")
    strange = [b"a\nb.png", b"c\\d.png", b"\xff.png", "é<b>.png".encode()]
    for name in strange:
        (tmp_path / os.fsdecode(name)).touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    method = OutsideMethod(name="a", folder=str(tmp_path))
    source = source_of(method)
    assert (source.picture(target()) == target().rgb).all()
    assert set(source.left_over([])) == {"a\nb.png", "c\\d.png", "\\xff.png", "é<b>.png", "pipe.png", "link.png"}
    assert method_version(method) == method_version(method)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="there is no folder"):
        source_of(OutsideMethod(name="a", folder=str(tmp_path / "none"))).picture(target())


def test_a_whole_photo_is_cut_as_the_dataset_was(tmp_path: Path) -> None:
    Image.new("RGB", (2 * SIDE, SIDE)).save(tmp_path / "12345.png")
    found = source_of(OutsideMethod(name="a", folder=str(tmp_path))).picture(target(cut=lambda whole: whole[:, :SIDE]))
    assert found.shape == (SIDE, SIDE, 3)


def command(tmp_path: Path, text: str, **more: object) -> outside.MethodPictures:
    (tmp_path / "run.py").write_text(text)
    line = f"{sys.executable} {tmp_path / 'run.py'} {{input}} {{output}}"
    return source_of(OutsideMethod.model_validate({"name": "a", "command": line, **more}))


def test_a_program_gets_a_picture_and_gives_one(tmp_path: Path) -> None:
    assert (command(tmp_path, HALF).picture(target()) == target().rgb // 2).all()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys; print('no model at\\n /x', file=sys.stderr); sys.exit(3)", "code 3: no model at /x"),
        ("pass", "wrote no picture"),
        ("import sys; open(sys.argv[2], 'w').write('x')", "cannot be read"),
        ("import sys; from PIL import Image; Image.new('RGB', (5, 7)).save(sys.argv[2])", r"gave the shape \(7, 5, 3\)"),
        ("import os, sys; sys.exit('leaked' if 'FLICKR_API_KEY' in os.environ else 'kept')", "code 1: kept"),
        ("import time; time.sleep(60)", "longer than 1 s"),
        (
            "import os, sys; [os.write(1, b'x' * 9 + b' ') for _ in range(100000)]; sys.exit('the end')",
            "code 1: .*x the end$",
        ),
    ],
)
def test_what_a_program_does_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", "secret")
    with pytest.raises(Unusable, match=why):
        command(tmp_path, text, time_limit_s=1 if "sleep" in text else 30).picture(target())


def test_a_program_that_is_too_slow_again_and_again_is_asked_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Slow:
        is_run = True

        def picture(self, target: JudgedPicture) -> np.ndarray:
            asked.append(target.identifier)
            if target.identifier in ("p1", "p3", "p4", "p5", "p6"):
                raise TooSlow("too slow")
            return target.rgb

        def left_over(self, missing: Sequence[str]) -> list[str]:
            return []

    ids = [f"p{number}" for number in range(9)]
    bench = SimpleNamespace(trial=SimpleNamespace(photos=SimpleNamespace(ids=ids), scenes=None, judged_px=8))
    monkeypatch.setattr(outside_judging, "source_of", lambda _: Slow())
    monkeypatch.setattr(outside_judging, "_targets", lambda _: (JudgedPicture(one, target().rgb) for one in ids))
    arguments = (
        OutsideMethod(name="a", command="x {input} {output}"),
        "v",
        tmp_path,
        cast("outside_judging.OutsideTrial", bench),
    )
    given, _, account = outside_judging._gathered(*arguments)
    assert asked == ids[:6]
    assert given.ids == {"p0", "p2"}
    assert "not asked: 3 pictures before" in account.problems["p6"]
    ids.reverse()
    given, _, _ = outside_judging._gathered(*arguments)
    assert given.ids == {"p8", "p7", "p0", "p2"}, "what was made before is kept"


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(Unusable, match="cannot be started"):
        source_of(OutsideMethod(name="a", command="no-such-program {input} {output}")).picture(target())


def test_a_function_is_called_and_checked(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "def run(x): return x // 2\ndef grey(x): return x[..., 0]\ndef real(x): return x / 255\n"
        "def bad(x): raise KeyError('k')\ndef ends(x): raise SystemExit(2)\ndef ragged(x): return [[1], [2, 3]]\n"
    )
    named = {name: f"{tmp_path / 'half.py'}:{name}" for name in ("run", "grey", "real", "bad", "ends", "ragged", "none")}
    sources = {name: OutsideMethod(name="a", callable=value) for name, value in named.items()}
    assert (source_of(sources["run"]).picture(target()) == target().rgb // 2).all()
    for name, why in (("grey", "gave the shape"), ("real", "type float64"), ("bad", "KeyError: 'k'"), ("none", "be loaded"),
                      ("ends", "SystemExit: 2"), ("ragged", "gave no picture")):  # fmt: skip
        with pytest.raises(Unusable, match=why):
            source_of(sources[name]).picture(target())


def network(path: Path, shape: list[int | str], scale: float = 0.5, made: tuple[str, ...] = ("y",)) -> OutsideMethod:
    from onnx import TensorProto, helper, save

    given, *results = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", *made))
    factor = helper.make_tensor("f", TensorProto.FLOAT, [], [scale])
    nodes = [helper.make_node("Mul", ["x", "f"], [name]) for name in made]
    graph = helper.make_graph(nodes, "g", [given], results, [factor])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return OutsideMethod(name="a", onnx=str(path))


@pytest.mark.parametrize("shape", [["b", 3, "h", "w"], ["b", "h", "w", 3]])
def test_a_network_is_run_whichever_way_its_channels_lie(tmp_path: Path, shape: list[int | str]) -> None:
    found = source_of(network(tmp_path / "half.onnx", shape)).picture(target())
    assert np.abs(found.astype(float) - target().rgb / 2).max() <= 1


def test_a_network_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="takes"):
        source_of(network(tmp_path / "a.onnx", ["b", 4, "h", "w"]))
    with pytest.raises(Unusable, match="cannot run on 24×24 px"):
        source_of(network(tmp_path / "b.onnx", [1, 3, 8, 8])).picture(target())
    with pytest.raises(Unusable, match="set `values`"):
        source_of(network(tmp_path / "c.onnx", ["b", 3, "h", "w"], 200.0)).picture(target())
    with pytest.raises(Unusable, match=r"e\.onnx has 1 input and 2 outputs; one of each is needed"):
        source_of(network(tmp_path / "e.onnx", ["b", 3, "h", "w"], made=("y", "z")))
    (tmp_path / "d.onnx").write_bytes(b"no network")
    with pytest.raises(Unusable, match="cannot be loaded"):
        source_of(OutsideMethod(name="a", onnx=str(tmp_path / "d.onnx")))


def test_the_version_follows_files_and_words(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("1")
    methods = {
        "folder": OutsideMethod(name="a", folder=str(tmp_path / "pictures")),
        "command": OutsideMethod(name="a", command=f"python {script} {{input}} {{output}}"),
        "callable": OutsideMethod(name="a", callable=f"{script}:run"),
    }
    before = {kind: method_version(method) for kind, method in methods.items()}
    assert before == {kind: method_version(method) for kind, method in methods.items()}
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / "1.png")
    script.write_text("22")
    assert all(method_version(method) != before[kind] for kind, method in methods.items())
    other = OutsideMethod(name="a", command=f"python -O {script} {{input}} {{output}}")
    assert method_version(other) != method_version(methods["command"])


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(Unusable):
        checked(None, (2, 2, 3))
    assert checked(np.zeros((2, 2, 3), np.uint8), (2, 2, 3)).shape == (2, 2, 3)
