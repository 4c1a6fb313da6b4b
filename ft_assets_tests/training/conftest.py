"""Rows that the tests of models that write share, as files and as tokens."""

import pyarrow.parquet as pq
import pytest

from ft_assets.training.checkpoint import load_tokenizer
from ft_assets.training.config import PromptConfig, TrainingConfig
from ft_assets.training.conversations import Encoder
from ft_assets.training.sequences import encode_rows, read_conversations
from ft_assets_tests.tiny_models import recipe_table


@pytest.fixture(scope="session")
def recipes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    pq.write_table(recipe_table(48), folder / "train.parquet")
    pq.write_table(recipe_table(16, seed=1), folder / "validation.parquet")
    return folder


@pytest.fixture
def encoder(tiny_llama_dir):
    return Encoder(load_tokenizer(tiny_llama_dir))


@pytest.fixture
def recipe_rows(recipes, encoder):
    read = read_conversations(recipes / "train.parquet", PromptConfig())
    return encode_rows(read, encoder, 256, TrainingConfig(), "train")
