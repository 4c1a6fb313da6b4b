"""The policy of a task as a user writes it."""

import pytest
from pydantic import ValidationError

from ft_assets.planning.config import PolicyConfig


def test_nothing_trains_unasked():
    assert PolicyConfig().retrain == "manual"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"retrain": "schedule"}, "needs cron"),
        ({"retrain": "on_change", "cron": "0 3 * * *"}, "cron has no meaning with retrain: on_change"),
        ({"cron": "@daily"}, "cron has no meaning with retrain: manual"),
        ({"min_new_rows": 5}, "min_new_rows has no meaning with retrain: manual"),
        ({"max_per_day": 2}, "max_per_day has no meaning"),
        ({"retrain": "schedule", "cron": "every night"}, "no cron expression"),
        ({"retrain": "schedule", "cron": "0 3 * * *", "timezone": "Europe/Berlim"}, "unknown time zone"),
        ({"retrain": "on_change", "timezone": "../etc/passwd"}, "unknown time zone"),
        ({"retrain": "always"}, "on_change"),
        ({"retrain": "on_change", "max_per_day": 0}, "greater than or equal to 1"),
        ({"max_age_days": {"checkpont": 3}}, "checkpoint"),
        ({"max_age_days": {"checkpoint": 0}}, "greater than or equal to 0.01"),
        ({"retrains": "manual"}, "did you mean 'retrain'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        PolicyConfig.model_validate(given)


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 8-18 * * mon-fri", "@daily", " 0 3 * * 1 "])
def test_usual_cron_expressions_are_taken(cron):
    assert PolicyConfig(retrain="schedule", cron=cron, timezone="Europe/Berlin").cron == cron.strip()
