"""Test .mat files of every version, and the exchange with a real Octave."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy
from commands import dogsim, dogsim_json, refusal
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from dogsim import Dataset, DogsimError, export_mat, import_mat, nearest
from dogsim.sources.matfile import load_variables, save_variables, texts

PATHS = ["pug/1.jpg", "pug/2.jpg", "Maltese_dog/ä.jpg"]
FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)
Octave = Callable[[str], None]


@pytest.fixture(scope="session")
def octave() -> Octave:
    program = shutil.which("octave-cli") or shutil.which("octave")
    if not program:
        pytest.skip("octave is not installed (Debian: apt-get install octave)")

    def run(code: str) -> None:
        done = subprocess.run(
            [program, "--no-gui", "--quiet", "--no-init-file", "--eval", code],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    return tmp_path / "data.mat"


def cell(*strings: str) -> Any:
    return np.array(strings, object)[:, None]


def write_73(path: Path, **variables: Any) -> None:
    """Write a file like save -v7.3 of MATLAB: a 512-byte header before the HDF5 part."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            put(file, name, value)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def put(file: Any, name: str, value: Any) -> Any:
    if isinstance(value, list):  # a column of char vectors
        refs = [put(file, f"#refs#/{name}{i}", text).ref for i, text in enumerate(value)]
        item = file.create_dataset(name, data=[refs], dtype=h5py.ref_dtype)
        kind = "cell"
    elif isinstance(value, str):
        units = np.frombuffer(value.encode("utf-16-le"), "<u2")
        item = file.create_dataset(name, data=units[:, None] if value else np.zeros(2, "u8"))
        if not value:
            item.attrs["MATLAB_empty"] = np.uint8(1)
        item.attrs["MATLAB_int_decode"] = np.int32(2)
        kind = "char"
    else:
        item = file.create_dataset(name, data=value.T)
        kind = {"float32": "single", "float64": "double"}.get(value.dtype.name, value.dtype.name)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


def check(dataset: Dataset, features: Any = FEATURES) -> None:
    np.testing.assert_array_equal(dataset.features, features)
    assert dataset.features.dtype == np.float32
    assert dataset.features.flags.c_contiguous
    assert dataset.paths == tuple(PATHS)
    assert dataset.breeds == ("Maltese dog", "pug")
    assert dataset.labels.tolist() == [1, 1, 0]
    assert dataset.recipe is None


def test_octave_finds_the_same_neighbours(octave: Octave, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(60, 16)).astype(np.float32)
    features[7] = features[30] = features[3]  # ties
    paths = tuple(f"n00000001-dög_{i % 3}/{i}.jpg" for i in range(60))
    labels = np.array([i % 3 - (i == 5) * 3 for i in range(60)], np.int32).clip(-1)
    dataset = Dataset(features, labels, paths, ("dög 0", "dög 1", "🐶 2"), root="/Bilder/größe")
    export_mat(dataset, tmp_path / "ours.mat")
    octave(f"""
        function distances = dist_calc(dataset, testset)
            distances = zeros(size(testset, 1), size(dataset, 1));
            for i = 1:size(testset, 1)
                for j = 1:size(dataset, 1)
                    difference = double(testset(i, :)) - double(dataset(j, :));
                    distances(i, j) = sqrt(sum(difference .^ 2));
                end
            end
        end
        cd('{tmp_path}'); load('ours.mat');
        assert(class(features), 'single'); assert(size(features), [60 16]);
        assert(class(labels), 'double'); assert(size(labels), [60 1]);
        assert(size(paths), [60 1]); assert(size(breeds), [3 1]);
        assert(paths{{2}}, '/Bilder/größe/n00000001-dög_1/1.jpg');
        assert(labels([5 6 7])', [2 0 1]); assert(breeds{{labels(5)}}, 'dög 1');
        assert(breeds{{3}}, '🐶 2');
        distances = dist_calc(features, features(1:20, :));
        values = zeros(20, 5); indices = zeros(20, 5);
        for i = 1:20
            [sorted, order] = sort(distances(i, :));
            values(i, :) = sorted(1:5); indices(i, :) = order(1:5);
        end
        save('-v7', 'theirs.mat', 'values', 'indices');
    """)
    theirs = loadmat(tmp_path / "theirs.mat")
    values, indices = nearest(dataset, features[:20], k=5)
    np.testing.assert_array_equal(indices + 1, theirs["indices"])
    np.testing.assert_allclose(values, theirs["values"], rtol=1e-13)


@pytest.mark.parametrize("version", ["-v6", "-v7"])
@pytest.mark.parametrize(
    ("features", "paths"),
    [
        ("single(x)", "{'pug/1.jpg'; 'pug/2.jpg'; 'Maltese_dog/ä.jpg'}"),
        ("x'", "{'pug/1.jpg', 'pug/2.jpg', 'Maltese_dog/ä.jpg'}"),
        ("int16(x)", "{'pug\\1.jpg', 'pug\\2.jpg', 'Maltese_dog\\ä.jpg'}"),
    ],
)
def test_import_of_a_file_saved_by_octave(
    octave: Octave, mat: Path, version: str, features: str, paths: str
) -> None:
    octave(f"""
        x = reshape(0:11, 4, 3)'; features = {features}; paths = {paths};
        net.name = 'resnet50'; eyes = speye(3); k = 20; labels = {{'a', 1}}; f = @(x) x + 1;
        save('{version}', '{mat}', 'net', 'features', 'eyes', 'paths', 'k', 'labels');
    """)
    check(import_mat(mat))


@pytest.mark.parametrize("kind", ["-hdf5", "-text"])
def test_octaves_own_formats_are_rejected(octave: Octave, mat: Path, kind: str) -> None:
    octave(f"features = eye(2); paths = {{'a'; 'b'}}; save('{kind}', '{mat}');")
    with pytest.raises(DogsimError, match=r"in Octave: save -v7"):
        import_mat(mat)


@pytest.mark.parametrize("features", [FEATURES, FEATURES.T.astype(np.float64)])
def test_version_73(mat: Path, features: Any) -> None:
    write_73(mat, k=np.ones((1, 1)), features=features, paths=PATHS, labels=["x"])
    check(import_mat(mat))


def test_version_73_text(mat: Path) -> None:
    write_73(mat, paths=["", "\U0001f436/ü.jpg", "a "], one="pug/1.jpg")
    values = load_variables(mat, ["paths", "one"])
    assert texts(values["paths"], "paths") == ["", "\U0001f436/ü.jpg", "a "]
    assert texts(values["one"], "one") == ["pug/1.jpg"]
    with h5py.File(mat, "r+") as file:
        file["paths"].attrs["MATLAB_class"] = np.bytes_("string")
        put(file, "features", np.eye(3))
    with pytest.raises(DogsimError, match=r"paths is a string .* paths = cellstr\(paths\)"):
        import_mat(mat)


def test_version_73_with_values_in_another_file(mat: Path) -> None:
    write_73(mat, features=FEATURES, paths=PATHS)
    with h5py.File(mat, "a") as file, h5py.File(mat.with_name("other"), "w") as other:
        file.move("features", "moved")
        file.copy("moved", other, "features")
        file["features"] = h5py.ExternalLink("other", "/features")
    with pytest.raises(DogsimError, match="values of features are in another file"):
        import_mat(mat)


def test_char_matrix(mat: Path) -> None:
    savemat(mat, {"features": FEATURES, "paths": np.array(PATHS)})
    check(import_mat(mat))


def test_square_features_are_rows(mat: Path) -> None:
    features = np.arange(9.0).reshape(3, 3)
    savemat(mat, {"features": features, "paths": cell(*PATHS[:2], "Maltese_dog/a.jpg")})
    np.testing.assert_array_equal(import_mat(mat).features, features)


def test_one_image(mat: Path) -> None:
    savemat(mat, {"features": np.ones((5, 1)), "paths": "pug/1.jpg"})
    dataset = import_mat(mat)
    assert (dataset.features.shape, dataset.paths) == ((1, 5), ("pug/1.jpg",))


@pytest.mark.parametrize(
    ("paths", "root", "below", "breeds"),
    [
        (["a.jpg", "pug/b.jpg"], "", ["a.jpg", "pug/b.jpg"], [None, "pug"]),
        (["./a.jpg", "x/../b.jpg"], "", ["./a.jpg", "x/../b.jpg"], [None, None]),
        (
            [r"C:\dogs\n02085620-Chihuahua\1.jpg", r"C:\dogs\toy_terrier\1.jpg"],
            "C:/dogs",
            ["n02085620-Chihuahua/1.jpg", "toy_terrier/1.jpg"],
            ["Chihuahua", "toy terrier"],
        ),
        ([r"C:\a.jpg", r"D:\pug\b.jpg"], "", ["C:/a.jpg", "D:/pug/b.jpg"], [None, "pug"]),
        (["/d/pug/1.jpg", "/d/pug/2.jpg"], "/d", ["pug/1.jpg", "pug/2.jpg"], ["pug", "pug"]),
        (["/pug/1.jpg", "/d/e/2.jpg"], "/", ["pug/1.jpg", "d/e/2.jpg"], ["pug", "e"]),
        (["/a/pug/1.jpg", "b/2.jpg"], "", ["/a/pug/1.jpg", "b/2.jpg"], ["pug", "b"]),
        ([r"\\lab\dogs\pug\1.jpg", "//lab/cats/2"], "//lab", ["dogs/pug/1.jpg", "cats/2"], None),
        (["/d/pug/a\\b.jpg", "/d/x/y/c.jpg"], "/d", ["pug/a\\b.jpg", "x/y/c.jpg"], ["pug", "y"]),
    ],
)
def test_root_and_breed_are_taken_from_paths(
    mat: Path, paths: list[str], root: str, below: list[str], breeds: list[str | None] | None
) -> None:
    savemat(mat, {"features": np.eye(2), "paths": cell(*paths)})
    dataset = import_mat(mat)
    assert (dataset.root, list(dataset.paths)) == (root, below)
    if breeds:
        assert [dataset.breed(0), dataset.breed(1)] == [name or "unknown" for name in breeds]


def test_round_trip(four: Dataset, mat: Path) -> None:
    for labels, breeds in (([1, 0, -1, 1], ("whippet", "pug")), ([-1] * 4, ())):
        given = replace(four, labels=np.array(labels, np.int32), breeds=breeds, root="/dogs")
        export_mat(given, mat)
        again = import_mat(mat)
        np.testing.assert_array_equal(again.features, given.features)
        np.testing.assert_array_equal(again.labels, given.labels)
        assert (again.paths, again.breeds, again.root) == (given.paths, breeds, "/dogs")


@pytest.mark.parametrize("labels", [[[1], [2], [3]], [[0.5], [1], [1]], [[1], [2]]])
def test_labels_that_do_not_fit_are_reported(
    mat: Path, labels: list[list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    breeds = cell("b", "c")
    savemat(
        mat, {"features": FEATURES, "paths": np.array(PATHS), "labels": labels, "breeds": breeds}
    )
    check(import_mat(mat))
    assert "The breeds are taken from the folders of the images." in capsys.readouterr().err


@given(
    st.lists(
        st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]))
    )
)
def test_any_text_is_restored(strings: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mat"
        save_variables(path, {"one": np.ones((2, 2))}, {"strings": strings})
        values = load_variables(path, ["strings", "one"])
    assert texts(values["strings"], "strings") == strings
    np.testing.assert_array_equal(values["one"], np.ones((2, 2)))


GOOD = {"features": FEATURES, "paths": cell("a", "b", "c")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": None}, r"has the variables paths. Expected features too"),
        ({"paths": None}, r"has the variables features. Expected paths too"),
        ({"paths": cell("a", "b")}, r"features 3 x 4 and 2 paths"),
        ({"paths": np.empty((0, 1), object)}, r"features 3 x 4 and 0 paths"),
        ({"features": np.empty((3, 0))}, r"features 3 x 0 and 3 paths"),
        ({"features": cell("a", "b", "c")}, r"features is 3 x 1 cell"),
        ({"features": np.array(["abc", "def"])}, r"features is 2 char"),
        ({"features": FEATURES + 1j}, r"features is 3 x 4 complex"),
        ({"features": csc_matrix(np.eye(3))}, r"features is 3 x 3 sparse matrix"),
        ({"features": np.ones((3, 2, 2))}, r"features is 3 x 2 x 2 float64"),
        ({"features": {"a": 1}}, r"features is 1 x 1 struct"),
        ({"features": np.array([[1, 2], [3, np.nan], [5, 6]])}, r"NaN or infinity for image 2"),
        ({"features": np.array([[1], [2], [1e39]])}, r"NaN or infinity for image 3"),
        ({"paths": np.ones((3, 1))}, r"paths is 3 x 1 float64"),
        ({"paths": np.array([["a"], [1], ["c"]], object)}, r"paths is 3 x 1 cell"),
    ],
)
def test_bad_input(mat: Path, changes: dict[str, Any], reason: str) -> None:
    variables = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    savemat(mat, variables)
    out = mat.with_name("out.h5")
    result = dogsim("import-mat", mat, out, code=1)
    assert re.search(reason, result.stderr), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_not_a_mat_file(four: Dataset, mat: Path) -> None:
    with pytest.raises(DogsimError, match="There is no file"):
        import_mat(mat)
    with pytest.raises(DogsimError, match="There is no file"):
        import_mat(mat.parent)
    for content in (b"", b"no", b"features = 1\n" * 100, bytes(1000)):
        mat.write_bytes(content)
        with pytest.raises(DogsimError, match=r"version 5, 7 or 7.3|variables \(none\)"):
            import_mat(mat)
    four.save(mat)
    with pytest.raises(DogsimError, match="not saved by MATLAB"):
        import_mat(mat)


@pytest.mark.parametrize("write", ["5", "7", "7.3"])
def test_cut_short(mat: Path, write: str) -> None:
    if write == "7.3":
        write_73(mat, features=FEATURES, paths=PATHS)
    else:
        savemat(mat, GOOD, do_compression=write == "7")
    whole = mat.read_bytes()
    lengths = range(0, len(whole) - 8, max(1, len(whole) // 60))
    for length in lengths:
        mat.write_bytes(whole[:length])
        with pytest.raises(DogsimError) as caught:
            import_mat(mat)
        assert "\n" not in str(caught.value)


def test_any_byte_may_be_wrong(mat: Path) -> None:
    """88 is the type of an element that made scipy crash the process."""
    savemat(mat, {"features": np.eye(2), "paths": cell("pug/1.jpg", "x/2.jpg")})
    whole = mat.read_bytes()
    for position in range(124, len(whole)):
        mat.write_bytes(whole[:position] + b"\x58" + whole[position + 1 :])
        with suppress(DogsimError):
            import_mat(mat)


def test_a_wrong_type_or_size_is_reported(mat: Path) -> None:
    savemat(mat, {"features": np.eye(2), "paths": cell("pug/1.jpg", "x/2.jpg")})
    whole = mat.read_bytes()
    text = whole.index(b"pug/1.jpg") - 8
    cells = whole.index(b"paths") - 12
    for position, value, message in (
        (text, 88, "text has the type 88"),
        (text + 4, 255, "an element is longer than its place"),
        (cells + 2, 255, "a variable is incomplete"),
        (cells + 3, 255, "a variable has the size"),
        (128, 3, "a variable has the type 3"),
    ):
        mat.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
        with pytest.raises(DogsimError, match=f"{message}.*damaged, cut short, or not a .mat file"):
            import_mat(mat)


def test_values_are_those_of_scipy(mat: Path) -> None:
    numbers: dict[str, Any] = {
        name: np.arange(6).reshape(2, 3).astype(name)
        for name in ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c16")
    }
    others: dict[str, Any] = {"b": np.array([[True, False]]), "none": np.empty((0, 3))}
    text = {"s": "pug", "m": np.array(["ab", "c"]), "nothing": "", "c": cell("a", "", "é犬")}
    for compressed in (False, True):
        savemat(mat, numbers | others | text, do_compression=compressed)
        check_values(mat, loadmat(mat))


@pytest.mark.parametrize("name", ["6.1_SOL2", "6.5.1_GLNX86", "7.1_GLNX86", "7.4_GLNX86"])
def test_values_of_files_that_matlab_wrote(name: str) -> None:
    """The files come with scipy; SOL2 was a system of the other byte order."""
    folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
    kinds = ("double", "complex", "matrix", "minus", "multi", "string", "stringarray", "cell")
    files = [folder / f"test{kind}_{name}.mat" for kind in (*kinds, "emptycell")]
    files = [file for file in files if file.exists()]
    if not files:
        pytest.skip("this scipy comes without its tests")
    for file in files:
        check_values(file, loadmat(file))


def check_values(file: Path, expected: dict[str, Any]) -> None:
    names = [name for name in expected if not name.startswith("__")]
    values = load_variables(file, names)
    for name in names:
        check_equal(values[name], expected[name])


def check_equal(received: NDArray[Any], expected: NDArray[Any]) -> None:
    assert received.shape == expected.shape
    if expected.dtype != object:
        np.testing.assert_array_equal(received, expected)
        return
    for cell, other in zip(received.ravel(), expected.ravel(), strict=True):
        check_equal(cell, other)


def test_too_large_to_export(four: Dataset, mat: Path) -> None:
    n = 2**18
    many = np.broadcast_to(np.float32(0), (n, 2048))
    dataset = Dataset(many, np.zeros(n, np.int32), ("a.jpg",) * n, ("pug",))
    mat.write_text("older")
    with pytest.raises(DogsimError, match=r"2,147,483,648 bytes of features.*h5read"):
        export_mat(dataset, mat)
    assert mat.read_text() == "older"
    with pytest.raises(DogsimError, match="There is no folder"):
        export_mat(four, mat.parent / "none" / "x.mat")


def test_command_line(four: Dataset, tmp_path: Path) -> None:
    first, exported, second = (str(tmp_path / name) for name in ("a.h5", "a.mat", "b.h5"))
    four.save(first)
    assert dogsim_json("export-mat", first, exported)["file"] == exported
    result = dogsim_json("import-mat", exported, second)
    assert (result["dataset"], result["images"], result["breeds"]) == (second, 4, 2)
    assert Dataset.open(second).paths == four.paths
    result = dogsim("import-mat", exported, second)
    assert result.stdout == f"{second}: 4 images of 2 breeds\n"
    assert result.stderr == "Breeds: pug, whippet.\n"


def test_breeds_follow_the_same_rule_as_folders(mat: Path) -> None:
    """Spelling makes no difference, and two classes with the same name stay separate."""
    paths = ["n02012849-crane/1", "n03126707-crane/1", "Pug/1", "pug/2"]
    savemat(mat, {"features": np.eye(4), "paths": cell(*paths)})
    dataset = import_mat(mat)
    assert dataset.breeds == ("Pug", "crane (n02012849)", "crane (n03126707)")
    assert dataset.labels.tolist() == [1, 2, 0, 0]


def test_files_of_other_commands_are_not_replaced(four: Dataset, tmp_path: Path) -> None:
    data, mat = tmp_path / "d.h5", tmp_path / "d.mat"
    four.save(data)
    before = data.read_bytes()
    assert "is also read by this command" in refusal("export-mat", data, data)
    savemat(mat, {"features": np.eye(4), "paths": cell("a", "b", "c", "d")})
    assert "--force" in refusal("export-mat", data, mat)
    assert "--force" in refusal("import-mat", mat, data)
    assert data.read_bytes() == before
    dogsim("export-mat", data, mat, "--force")
    dogsim("export-mat", data, mat)  # made by the same command
    dogsim("import-mat", mat, data, "--force")
    dogsim("import-mat", mat, data)
    assert Dataset.open(data).paths == four.paths


def test_emoji(four: Dataset, mat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_mat(replace(four, breeds=("pug", "\U0001f436")), mat)
    assert "import-mat read it, scipy does not" in capsys.readouterr().err
    assert import_mat(mat).breeds == ("pug", "\U0001f436")
