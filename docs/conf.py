"""The site: https://www.sphinx-doc.org/en/master/usage/configuration.html.

sphinx-build -W -n --keep-going docs build/site
sphinx-build -W -n --keep-going -D notebooks=FOLDER docs build/site    # with executed lessons
"""

import sys
from pathlib import Path

import tomllib

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "docs")]

import dogsim
from extension.reference import file_names

URLS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["urls"]

project = "dogsim"
author = copyright = "The dogsim developers"
version = release = dogsim.__version__
source_code = URLS["Source"]  # of this project's extension

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "extension",
]
exclude_patterns = ["extension", "_templates", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
highlight_language = "none"
suppress_warnings = ["mystnb.unknown_mime_type"]  # progress bars of Keras

# Pages are ordinary Markdown, which GitHub renders as well.
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"

# The docstrings are in NumPy's style, with names in single backticks.
default_role = "public"
autosummary_generate = True
autosummary_filename_map = file_names(dogsim)
autodoc_typehints = "none"  # types are in the text of the docstrings, for readers
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_preprocess_types = True
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "dogsim"
html_baseurl = URLS["Documentation"]
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "icon_links": [
        {"name": "Source code", "url": URLS["Source"], "icon": "fa-brands fa-github"},
    ],
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars: dict[str, list[str]] = {"index": [], "gallery/index": []}
