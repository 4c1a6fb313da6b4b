"""What is due, what may run, and why the rest waits: the pure decision."""

import pytest

from ft_assets.planning.plan import Asset, Plan, Recorded, make_plan, wanted

CODE = "code-config"


def chain(**changes):
    """raw → clean → split → model → report, all current; `changes` replace fields of single assets."""
    links = [("raw", "data"), ("clean", "data"), ("split", "data"), ("model", "model"), ("report", "model")]
    found = []
    for place, (name, layer) in enumerate(links):
        inputs = (links[place - 1][0],) if place else ()
        recorded = Recorded(
            f"{name}-1", CODE, {each: f"{each}-1" for each in inputs}, "s1" if not place else None
        )
        settings = {
            "name": name, "layer": layer, "code_version": CODE, "inputs": inputs, "recorded": recorded,
            "sources": "s1" if not place else None,
        }  # fmt: skip
        found.append(Asset(**settings | changes.get(name, {})))
    return found


def plan(assets, *, in_flight=None, failed=lambda asset, wants: None, hold=lambda due: None) -> Plan:
    return make_plan(assets, in_flight=in_flight or {}, failed=failed, hold_model=hold)


def recorded(data_version="1", code_version=CODE, inputs=None, sources=None):
    return {"recorded": Recorded(data_version, code_version, inputs or {}, sources)}


def test_what_is_current_is_left_alone():
    assert plan(chain()) == Plan(followers=frozenset({"raw", "clean", "split", "model", "report"}))


def test_new_sources_run_the_data_layer_and_the_model_waits_until_the_splits_are_known():
    found = plan(chain(raw={"sources": "s2"}))
    assert found.run == ("raw", "clean", "split")
    assert found.reasons == ["raw: what its sources hold has changed"]
    assert "model" not in found.due


def test_a_changed_input_is_named_with_both_versions():
    found = plan(chain(split=recorded("split-2", inputs={"clean": "clean-1"})))
    assert found.run == ("model", "report")
    assert found.reasons == ["model: split changed from split-1 to split-2"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [("new-config", "code"), ("code-new", "configuration"), ("new-new", "code and configuration")],
)
def test_a_reason_tells_code_from_configuration(code, reason):
    assert plan(chain(report={"code_version": code})).reasons == [f"report: its {reason} changed"]


def test_what_was_made_of_nothing_yet_is_made_from_the_top():
    found = plan([Asset(**{**vars(asset), "recorded": None}) for asset in chain()])
    assert found.run == ("raw", "clean", "split") and found.reasons == ["raw: it has never been made"]
    assert found.held == {"model": "split comes first", "report": "split comes first"}


def test_an_asset_whose_input_nobody_can_make_waits_for_it():
    found = plan(chain(raw={"recorded": None, "unready": "no file matches 'x'"}, clean={"recorded": None}))
    assert found.run == ()
    assert found.held["clean"] == found.held["raw"] == "no file matches 'x'"


def test_a_file_that_still_grows_holds_back_nothing_that_does_not_need_it():
    found = plan(
        chain(
            raw={"sources": None, "unready": "a.csv is still being written"}, report={"code_version": "n-n"}
        )
    )
    assert found.run == ("report",)


def test_what_is_under_way_is_neither_started_again_nor_overtaken():
    found = plan(
        chain(raw={"sources": "s2"}, report={"code_version": "n-n"}), in_flight={"clean": "0123456789"}
    )
    assert found.run == ("raw",)
    assert found.held == {"report": "run 01234567 is making clean"}


def test_what_failed_is_not_tried_again_and_nothing_downstream_of_it_runs():
    assets = chain(clean={"code_version": "n-config"}, model={"code_version": "n-config"})
    asked = {}

    def failed(asset, wants):
        asked[asset] = wants
        return "the same failed in run 1" if asset == "clean" else None

    found = plan(assets, failed=failed)
    assert found.run == () and set(found.held) == {"clean", "model"}
    assert asked == {"clean": wanted(assets[1], {"raw": "raw-1"})}


def test_other_inputs_are_another_attempt():
    asset = chain()[1]
    again = wanted(asset, {"raw": "raw-1"})
    assert again == wanted(asset, {"raw": "raw-1"}) != wanted(asset, {"raw": "raw-2"})
    assert wanted(Asset(**{**vars(asset), "sources": "s9"}), {"raw": "raw-1"}) != again


def test_the_policy_holds_the_model_and_not_the_data():
    assets = chain(clean={"code_version": "n-config"}, report={"code_version": "n-config"})
    found = plan(assets, hold=lambda due: "not today")
    assert found.run == ("clean", "split")
    settled = plan(chain(model={"code_version": "n-config"}), hold=lambda due: f"not today: {', '.join(due)}")
    assert settled.run == () and settled.held == {"model": "not today: model"}


def test_assets_of_one_step_run_together():
    one, other = (
        Asset(name, "data", CODE, ("raw",), Recorded(name, code, {"raw": "raw-1"}), step="both")
        for name, code in (("one", CODE), ("other", "old-config"))
    )
    assert plan([chain()[0], one, other]).run == ("one", "other")


def test_a_reason_is_told_once_at_the_root():
    found = plan(chain(raw={"sources": "s2"}, clean={"code_version": "n-config"}, split={"recorded": None}))
    assert found.run == ("raw", "clean", "split") and found.reasons == [
        "raw: what its sources hold has changed"
    ]


def test_assets_of_one_step_wait_together():
    """What fails for one of them fails for all: none of them is published without the others."""
    one, other = (
        Asset(name, "data", CODE, ("raw",), Recorded(name, "old-config", {"raw": "raw-1"}), step="both")
        for name in ("one", "other")
    )
    found = plan(
        [chain()[0], one, other],
        failed=lambda asset, wants: "the same failed" if asset == "other" else None,
    )
    assert found.run == () and found.held == {"one": "the same failed", "other": "the same failed"}


def test_sources_that_cannot_be_looked_at_are_told_though_nothing_is_known_to_be_due():
    found = plan(chain(raw={"sources": None, "unready": "no file matches 'x'"}))
    assert found.run == () and found.due == {} and found.waiting == {"raw": "no file matches 'x'"}
