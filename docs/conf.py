"""Sphinx reads the book's settings from here (``make book``). Nothing that it builds asks the network."""

project = "modspec"
author = "modspec contributors"
copyright = author
html_title = "modspec"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # copies MathJax into the book
]
exclude_patterns = ["**/.ipynb_checkpoints", "verbatim"]

nb_execution_mode = "off"  # notebooks are shown as they were executed
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # the anchors that GitHub gives headings
# A page of docs/ begins with its own contents, which the book shows beside the text.
suppress_warnings = ["myst.header"]

napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_search_summary = False  # would read pages by fetch(), which browsers refuse to file://
html_show_sphinx = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "navbar_persistent": [],  # the sidebar has a search field
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "search_as_you_type": False,
}


def setup(app) -> None:
    """Have pages copied that are whole already: of modspec.pages.book's folder VERBATIM."""
    app.config.html_extra_path = [str(app.srcdir / "verbatim")] if (app.srcdir / "verbatim").is_dir() else []
