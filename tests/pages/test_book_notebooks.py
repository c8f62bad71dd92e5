"""Notebooks as pages of the book."""

from __future__ import annotations

from nbformat import NotebookNode, v4

from modspec.pages.book_notebooks import as_page, folded


def notebook() -> NotebookNode:
    progress = [v4.new_output("stream", name="stderr", text=f"\x1b[31mepoch {i} <&>\n") for i in range(3)]
    table = v4.new_output("execute_result", {"text/html": "<table></table>"}, execution_count=1)
    cells = [
        v4.new_markdown_cell("# 4 · Figures\n\nText."),
        v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("## How `alike` are they?"),
        v4.new_code_cell('save.draw(tables, "mask_overlap", figures)', outputs=[*progress, table]),
    ]
    return v4.new_notebook(cells=cells)


def test_a_page_names_its_study_once_and_links_on() -> None:
    page = as_page(notebook(), "xnli, SFT, seed 1", "[next](b.ipynb)")
    assert page.cells[0].source == "# 4 · Figures (xnli, SFT, seed 1)\n\n[next](b.ipynb)\n\nText."
    named = notebook()
    named.cells[0].source = "# 4 · Figures of xnli, seed 1"
    assert as_page(named, "xnli, SFT, seed 1", "").cells[0].source == named.cells[0].source


def test_the_given_notebook_stays_as_it_was() -> None:
    given = notebook()
    before = str(given)
    as_page(given, "xnli", "[next](b.ipynb)")
    assert str(given) == before


def test_figures_get_their_sections_heading_and_defaults_are_hidden() -> None:
    page = as_page(notebook(), "", "")
    assert page.cells[1].metadata["tags"] == ["parameters", "hide-input"]
    assert page.cells[3].metadata["mystnb"]["image"]["alt"] == "Figure mask overlap: How alike are they?"


def test_progress_is_one_box_before_what_the_cell_returned() -> None:
    box, table = folded(notebook().cells[3].outputs)
    assert box.data["text/html"] == (
        "<details><summary>Printed while it ran: 3 lines</summary>"
        "<pre>epoch 0 &lt;&amp;&gt;\nepoch 1 &lt;&amp;&gt;\nepoch 2 &lt;&amp;&gt;</pre></details>"
    )
    assert table.output_type == "execute_result"
    assert folded([v4.new_output("stream", name="stdout", text=" \n")]) == []
