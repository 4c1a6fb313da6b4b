"""From a GGUF file to a model folder. The tiny Llama is written as llama.cpp's converter would write it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ft_assets.errors import UserError
from ft_assets.training.checkpoint import load_language_model, load_tokenizer
from ft_assets.training.gguf import behaviour, convert_gguf, difference
from ft_assets_tests.tiny_gguf import build_tiny_gguf, tiny_llama
from ft_assets_tests.tiny_models import CHATML

# fp32 rounding of logits of about 5: the same weights, loaded by another class.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder that a Q4_1 file became, and the facts."""
    folder = tmp_path_factory.mktemp("gguf")
    file = build_tiny_gguf(folder / "tiny.Q4_1.gguf", kind="Q4_1")
    # None of these is part of the model.
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "tokenizer_config.json").write_text(
        '{"chat_template": "no", "auto_map": {"AutoTokenizer": "x.Own"}}'
    )
    (folder / "chat_template.jinja").write_text("no")
    (folder / "adapter_config.json").write_text("{}")
    (folder / "output").mkdir()
    return folder / "output", convert_gguf(file, folder / "output", lambda message: None)


def test_a_file_becomes_a_folder_of_safetensors_and_json(converted: tuple[Path, dict[str, Any]]) -> None:
    output, facts = converted
    assert {path.name for path in output.iterdir()} == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    model = load_language_model(output)
    assert facts["parameters"] == sum(each.numel() for each in model.parameters())
    assert (facts["quantization"], facts["license"], facts["pre_tokenizer"]) == (
        "Q4_1",
        "apache-2.0",
        "smollm",
    )
    assert (facts["vocabulary"], facts["tied_embeddings"], facts["values_left_out"]) == (261, True, 0)
    assert facts["max_logit_difference"] == 0 and facts["tokens_compared"] > 100
    assert {each.dtype for each in model.parameters()} == {torch.float32}


def test_what_lies_beside_the_file_is_not_looked_at(converted: tuple[Path, dict[str, Any]]) -> None:
    assert (converted[0] / "chat_template.jinja").read_text() == CHATML
    assert load_tokenizer(converted[0]).chat_template == CHATML


def test_nothing_in_the_folder_names_a_place_or_a_quantization(
    converted: tuple[Path, dict[str, Any]],
) -> None:
    for path in converted[0].glob("*.json"):
        text = path.read_text()
        assert "/tmp" not in text and "gguf" not in text.lower() and "quantization" not in text, path.name


def test_the_weights_are_those_of_the_file(tmp_path: Path) -> None:
    """In fp32 the file holds the model as it was: the folder computes what that one does."""
    (tmp_path / "output").mkdir()
    convert_gguf(build_tiny_gguf(tmp_path / "m.gguf"), tmp_path / "output", lambda message: None)
    tokenizer = load_tokenizer(tmp_path / "output")
    found = behaviour(load_language_model(tmp_path / "output"), tokenizer)
    assert difference(behaviour(tiny_llama(), tokenizer), found) < ROUNDING


def test_the_same_file_gives_the_same_folder(converted: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    file = build_tiny_gguf(tmp_path / "other_name.gguf", kind="Q4_1")
    convert_gguf(file, tmp_path / "output", lambda message: None)
    first = {path.name: path.read_bytes() for path in converted[0].iterdir()}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir()}


def test_a_chat_is_rendered_and_read_with_its_marks(converted: tuple[Path, dict[str, Any]]) -> None:
    tokenizer = load_tokenizer(converted[0])
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "the box"}], add_generation_prompt=True, return_dict=False
    )
    assert ids.count(259) == 3 and ids.count(260) == 2  # system, user and assistant begin; two of them end
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (259, 260, 260)
    assert tokenizer.model_max_length == 128
    config = json.loads((converted[0] / "generation_config.json").read_text())
    assert (config["eos_token_id"], config["pad_token_id"]) == (260, 260)


def test_digits_stand_alone_where_the_model_has_learnt_them_so(tmp_path: Path) -> None:
    """`smollm` in llama.cpp: a digit ends what stands before it, so that two line ends stay together."""
    pieces = {}
    for pre in ("smollm", "gpt-2"):
        (tmp_path / pre).mkdir()
        convert_gguf(build_tiny_gguf(tmp_path / f"{pre}.gguf", pre=pre), tmp_path / pre, lambda message: None)
        backend = load_tokenizer(tmp_path / pre).backend_tokenizer
        pieces[pre] = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str("a\n\n12")]
    assert pieces == {"smollm": ["a", "ĊĊ", "1", "2"], "gpt-2": ["a", "Ċ", "Ċ", "12"]}


def test_no_token_lies_outside_the_embedding(converted: tuple[Path, dict[str, Any]]) -> None:
    """transformers adds one to a vocabulary that lacks it."""
    tokenizer = load_tokenizer(converted[0])
    assert len(tokenizer) == 261
    assert max(tokenizer("the end<|endoftext|><|im_end|>")["input_ids"]) == 260


def test_an_unknown_way_to_split_is_told(tmp_path: Path) -> None:
    messages: list[dict[str, Any]] = []
    (tmp_path / "output").mkdir()
    convert_gguf(build_tiny_gguf(tmp_path / "m.gguf", pre="of-my-own"), tmp_path / "output", messages.append)
    assert any("'of-my-own' is not known" in message["text"] for message in messages)


@pytest.mark.parametrize(
    ("settings", "what", "do"),
    [
        ({"architecture": "martian"}, "of the architecture 'martian'", "transformers reads from GGUF"),
        (
            {"without": "blk.1.ffn_up.weight"},
            r"lacks 1 weights of its model, such as .*layers\.1\.mlp\.up_proj",
            "another",
        ),
        ({"bos": 5000}, "cannot be read as a language model", "architecture"),
        (
            {"template": "{{ messages[0].nothing.there }}"},
            "template cannot be rendered: UndefinedError",
            "another file",
        ),
    ],
    ids=["architecture", "weights", "special token", "template"],
)
def test_a_file_that_cannot_be_converted(
    tmp_path: Path, settings: dict[str, Any], what: str, do: str
) -> None:
    file = build_tiny_gguf(tmp_path / "m.gguf", **settings)
    (tmp_path / "output").mkdir()
    with pytest.raises(UserError, match=what) as error:
        convert_gguf(file, tmp_path / "output", lambda message: None)
    assert do in error.value.do


def test_two_models_that_differ_are_told_apart(converted: tuple[Path, dict[str, Any]]) -> None:
    tokenizer = load_tokenizer(converted[0])
    model = tiny_llama()
    before = behaviour(model, tokenizer)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3] *= -1  # one row of one matrix
    with pytest.raises(
        RuntimeError, match=r"the converted model is another one: logits differ by up to 0\.\d"
    ):
        difference(before, behaviour(model, tokenizer))


def test_two_tokenizers_that_differ_are_told_apart(converted: tuple[Path, dict[str, Any]]) -> None:
    model, tokenizer = tiny_llama(), load_tokenizer(converted[0])
    before = behaviour(model, tokenizer)
    for change in ({"ids": [[1]]}, {"chat": "hello"}, {"special": {"bos": 1}}):
        with pytest.raises(RuntimeError, match=f"another one: {next(iter(change))} differ"):
            difference(before, dataclasses.replace(before, **change))


def test_a_model_that_computes_no_numbers_is_refused(converted: tuple[Path, dict[str, Any]]) -> None:
    model, tokenizer = tiny_llama(), load_tokenizer(converted[0])
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(UserError, match="no numbers"):
        behaviour(model, tokenizer)
