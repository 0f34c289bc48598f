"""Typed results are found, and what is no result is left alone."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from typed_numbers import code_problems, markdown_problems, problems

TYPED = [
    "Fine-tuning reaches a macro-F1 of .547 on Urdu.",
    "Fine-tuning reaches a macro-F1 of 0.57 on Urdu.",
    "Accuracy falls from 74 to 41 % for women.",
    "The gap is 33 percentage points.",
    "Pre-training gains 3.4 points over the yardstick.",
    "With augmentation it is 2 points better.",
    "- UAR: 0.61 ± 0.02",
    "For women it is right in 82 % of the clips.",
    "Take τ = 0.07. Recall then rises to .81.",
    "Guessing gives 0.25. The recall of sad is .31.",
    "Gong et al. (2025) report an F1 of .547 for Urdu, ours is .61.",
    "Gong et al. (2025) did this first. Here the F1 is .61.",
    "The paper trains for ten epochs. Macro-F1 rises by 4 points.",
    "| method | Urdu |\n|---|---|\n| baseline | 0.51 |",
    "| method | Urdu |\n|---|---|\n| baseline | 54.7 |",
    "| method | Urdu |\n|---|---|\n| baseline | **51 %** |",
    "| method | Urdu |\n|---|---|\n| baseline | 0.51 ± 0.03 |",
    "| method | Urdu |\n|---|---|\n| Gong et al. 2025 | .547 |\n| baseline | .51 |",
    "<!-- made up -->\nA vendor reports 94 % accuracy.\n\nOur model has 88 % accuracy.",
]
FINE = [
    "Guessing gives about 0.25 UAR.",
    "The 95 % interval of macro-F1 is drawn over speakers.",
    "Does anybody reach a UAR of 0.50?",
    "Gong et al. (2025) report an F1 of .547 for URDU and .750 for EmoDB.",
    "The paper's headline is a gain of up to 10 points UAR.",
    "At τ = 0.996 the score of an old clip counts less.",
    "A gap of 0.35 s between two words is heard better.",
    "p = .0625 is no better than luck.",
    "In a corpus that is 86 % male, recall of women hangs on a few clips.",
    "The aim: at least 5 points better on two corpora.",
    "wav2vec 2.0 beats no one in chapter 03.",
    "Scores: see `f1 = 0.61` and $F_1 = 0.61$ in the [record](results/0.61.json).",
    "Suppose, made up for the sake of it, a recall of .80 for one class.",
    "<!-- made up -->\nA vendor reports 94 % accuracy.",
    "| corpus | licence | clips |\n|---|---|---|\n| URDU | CC BY 4.0 | 400 |",
    "| method | Gong et al. 2025 |\n|---|---|\n| baseline | .547 |",
    "| method | Urdu |\n|---|---|\n| Gong et al. 2025 | .547 |",
    "## References\n\n- Somebody. *Better than 90.5 % accuracy.* arXiv 2506.02059.",
]
TYPED_CODE = [
    "scores = [0.61, 0.58, 0.55]",
    "plots.bars({'baseline': 0.61, 'BYOL': 0.58, 'ours': 0.55})",
    "table = pd.DataFrame([['baseline', 0.61], ['BYOL', 0.58], ['ours', 0.55]])",
    "f1 = dict(ur=0.61, de=0.58, bn=0.55)",
    "f1 = np.array([54.7, 65.3, 75.1])",
    "if True:\n    gains = (-0.61, 0.58, 0.55)",
    "def show():\n    return [0.61, 0.58, 0.55]",
    "print('macro-F1 of BYOL: 0.61')",
    "ax.set_title(f'{name} gains 3 points')",
    "rows = '''ur 0.61\nde 0.58\nbn 0.55'''",
]
FINE_CODE = [
    "TEMPERATURES = (1.0, 0.3, 0.07, 0.02, 0.005)",
    "plots.bars(scores, limits=(0.1, 0.5, 0.9))",
    "low, high = np.quantile(found, [0.025, 0.975])",
    "preset = [Mixup((0.1, 0.5)), Noise((0.2, 0.3))]",
    "toy = np.array([0.06, 0.02, 0.05])  # six differences, made up",
    "theirs = [0.547, 0.750, 0.63]  # Gong et al. (2025), table 2",
    "print(f'macro-F1 {score:.2f}, of {95} %')",
    "print('better than 0.25, which is guessing')",
    "# Gong et al. (2025)\ntheirs = [0.547, 0.750, 0.63]",
    "tables = {share: draw(share) for share in (0.5, 0.65, 0.86)}",
    "places = [0.0, 1.0, 2.0, 3.0]",
    "this is no Python = [0.1, 0.2, 0.3",
]


@pytest.mark.parametrize("text", TYPED)
def test_typed_result_in_markdown_is_found(text: str) -> None:
    assert len(markdown_problems(text)) == 1


@pytest.mark.parametrize("text", FINE)
def test_what_is_no_typed_result_may_stand(text: str) -> None:
    assert markdown_problems(text) == []


@pytest.mark.parametrize("source", TYPED_CODE)
def test_typed_result_in_code_is_found(source: str) -> None:
    assert len(code_problems(source)) == 1


@pytest.mark.parametrize("source", FINE_CODE)
def test_settings_and_marked_figures_in_code_may_stand(source: str) -> None:
    assert code_problems(source) == []


def test_each_row_and_sentence_is_named() -> None:
    table = "| a | b |\n|---|---|\n| x | .51 |\n| y | .52 |\n\nF1 is .61. Recall is .62."
    found = markdown_problems(table)
    assert len(found) == 4
    assert found[1] == "a row of a table with typed figures: | y | .52 |"
    assert found[3] == "a typed result: Recall is .62."


def test_a_notebook_names_its_cells() -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("x = 1"),
        nbformat.v4.new_markdown_cell("The F1 is .61."),
        nbformat.v4.new_code_cell("f1 = [0.61, 0.58, 0.55]"),
        nbformat.v4.new_raw_cell("The F1 is .61."),
    ]
    assert problems(nbformat.v4.new_notebook(cells=cells)) == [
        "cell 3: a typed result: The F1 is .61.",
        "code cell 2: a literal of results: [0.61, 0.58, 0.55]",
    ]


def test_a_figure_planted_in_a_chapter_is_found() -> None:
    folder = Path(__file__).parents[2] / "notebooks"
    notebook = nbformat.read(str(folder / "00_start_here.ipynb"), as_version=4)
    before = problems(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source += "\n\nThe baseline's macro-F1 is 0.61 here.\n"
    markdown = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    # All but the last, whose section of references is not read.
    assert len(problems(notebook)) >= len(before) + markdown - 1
