"""Where trainings run: devices, precisions, and what is recorded of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from lowser_lib.training import (
    PRECISIONS,
    Execution,
    fast_bf16,
    loop,
    make_fabric,
    one_thread,
    precision_of,
)
from lowser_lib.training.loop import repeatable


class NoFabric:
    """Notes what it is asked for, where there is no GPU to make a fabric for."""

    def __init__(self, **options: Any) -> None:
        self.options = options


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_that_only_emulates_bf16_does_not_get_it(
    native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or native

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(loop, "Fabric", NoFabric)
    for precision in ("auto", "bf16-if-fast"):
        fabric: Any = make_fabric(precision=precision)
        assert fabric.options == {"accelerator": "cuda", "devices": 1, "precision": expected}


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16", None])
def test_a_processor_gets_bf16_on_request_where_it_multiplies_it(
    flag: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {"avx2": True, "avx512_bf16": False} | ({flag: True} if flag else {})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: result)
    assert fast_bf16("cpu") == (flag is not None) and not fast_bf16("mps")
    asked = precision_of(make_fabric("cpu", "bf16-if-fast"))
    assert asked == ("bf16-mixed" if flag else "32-true")
    assert precision_of(make_fabric("cpu", "auto")) == "32-true"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_fabric_says_its_precision(precision: str) -> None:
    assert precision_of(make_fabric("cpu", precision)) == precision


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"precision must be one of 'auto', .*, not 'float32'"):
        make_fabric(precision="float32")


def test_by_default_nothing_is_kept_or_shown() -> None:
    default = Execution()
    assert (default.checkpoint, default.resume, default.progress) == (None, False, False)
    with pytest.raises(AttributeError):
        default.resume = True  # type: ignore[misc]


@pytest.mark.parametrize(("device", "asked"), [("cuda", True), ("cuda", False), ("cpu", True)])
def test_a_gpu_repeats_exactly_where_that_is_asked_for(device: str, asked: bool) -> None:
    fabric = SimpleNamespace(device=torch.device(device))
    asking = Execution(cast(Any, fabric), deterministic=asked)
    with pytest.raises(ZeroDivisionError), repeatable(asking):
        assert torch.are_deterministic_algorithms_enabled() == (device == "cuda" and asked)
        _ = 1 / 0
    assert not torch.are_deterministic_algorithms_enabled()


def test_one_thread_on_a_processor_and_the_others_back_afterwards() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError), one_thread(make_fabric("cpu")):
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == 2
