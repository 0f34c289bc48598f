"""Every chapter with the paper profile, a few clips and steps each.

The corpora are made up, since nobody may pass the real ones on, and a random encoder stands in for
the published small.en. It takes minutes, so it is left out unless asked for: ``make slow``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import made_up_corpora
import pytest
import torch

from lowser_lib.course import runner
from lowser_lib.encoders import WhisperEncoder, dimensions_of
from lowser_lib.experiments import profiles, records
from lowser_lib.experiments.chapters import Chapter, find_chapters, read_notebook

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = find_chapters(ROOT / "notebooks")


def write_random_small(file: Path) -> Path:
    """A checkpoint in OpenAI's format with small.en's encoder, drawn; of the decoder a trace."""
    encoder = WhisperEncoder.random("small.en", seed=0)
    decoder = {"n_vocab": 51864, "n_text_ctx": 448, "n_text_state": 768, "n_text_head": 12,
               "n_text_layer": 12}  # fmt: skip
    state = {name: tensor.half() for name, tensor in encoder.state_dict().items()}
    state["decoder.positional_embedding"] = torch.zeros(448, 768, dtype=torch.half)
    dims = {**asdict(dimensions_of("small.en")), **decoder}
    torch.save({"dims": dims, "model_state_dict": state}, file)
    return file


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[runner.RunSettings]:
    """A trial of the paper profile in a home of its own; what one chapter makes, the next finds."""
    folder = tmp_path_factory.mktemp("paper")
    corpora = made_up_corpora.build(folder / "corpora")
    encoder = write_random_small(folder / "small.en.random.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(corpora))
        yield runner.RunSettings(
            notebooks=ROOT / "notebooks",
            output=folder / "out",
            results=folder / "results",
            profile=f"paper-trial:{encoder}",
            progress=False,
        )


def printed(notebook: Path) -> str:
    """All that an executed notebook has printed."""
    outputs = [one for cell in read_notebook(notebook).cells for one in cell.get("outputs", [])]
    return "".join(one.text for one in outputs if one.output_type == "stream")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
def test_chapter_runs_with_the_paper_profile(
    chapter: Chapter, settings: runner.RunSettings
) -> None:
    one = runner.RunSettings(**{**settings.__dict__, "chapters": [chapter.number]})
    report = runner.run(one, say=lambda line: None)
    assert [str(result.failure) for result in report.failed] == []
    assert report.profile == "paper-trial"
    (result,) = report.chapters
    kept = records.load_records(settings.results, "paper-trial")
    assert {f"{chapter.number}-{name}" for name in result.metrics} <= {each.stem for each in kept}
    assert not (settings.results / "paper").exists()
    if chapter.number == "03":  # the chapter in which the encoder and all corpora meet
        (transfer,) = [each for each in kept if each.stem == "03-transfer"]
        assert set(transfer.corpora) == set(profiles.PAPER.labelled)
        assert transfer.config["precision"] == "bf16-mixed"
        said = printed(settings.output / chapter.path.name)
        assert "Whisper encoder from the file small.en.random.pt" in said
        assert "a trial" in said
