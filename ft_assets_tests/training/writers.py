"""Trainings of tiny models that write, as the tests want them: few rows, one thread, what was said."""

from ft_assets.training.config import PromptConfig, TrainingConfig
from ft_assets.training.text_generation import train_language_model


def train_writer(base, train, output, *, validation=None, said=None, mask=str, cache=None, **settings):
    """Train on the rows of a file into a new folder; the messages are added to `said`. Returns the result."""
    output.mkdir()
    return train_language_model(
        base_model=base,
        train=train,
        validation=validation,
        task_type="text-generation",
        prompt=PromptConfig(),
        config=TrainingConfig(**{"batch_size": 8, "epochs": 1, "threads": 1} | settings),
        output=output,
        report=(said if said is not None else []).append,
        mask=mask,
        base_model_name="somebody/model",
        cache=cache,
    )
