from pathlib import Path

from dogsim.plumbing.javascript import bundle


def test_modules_come_once_and_before_those_that_import_them(tmp_path: Path) -> None:
    texts = {
        "page.js": 'import { a } from "./a.js";\nimport {\n  b,\n} from "./b.js";\nrun(a, b);\n',
        "a.js": 'import { b } from "./b.js";\nexport const a = b;\n',
        "b.js": "export async function b() {}\n",
        "unused.js": "unused();\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    modules = {name: tmp_path / name for name in texts}
    expected = "async function b() {}\nconst a = b;\nrun(a, b);\n"
    assert bundle(modules, "page.js") == expected


def test_modules_may_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport function a() {}\n')
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport function b() {}\n')
    modules = {name: tmp_path / name for name in ("a.js", "b.js")}
    assert bundle(modules, "a.js") == "function b() {}\nfunction a() {}\n"
