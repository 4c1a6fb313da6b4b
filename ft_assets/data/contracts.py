"""What must hold at each data stage: the list of expectations, and what running them has found.

Here: names, severities, descriptions, advice: light, because the code location makes one check of each
expectation when it loads. Running them with Great Expectations is `contract_runner`, imported when needed.
A critical expectation that fails keeps the stage from being published; a warning does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from ft_assets.data.config import CleaningConfig, ContractsConfig, OwnCheck, SettableCheck, Severity

if TYPE_CHECKING:
    from ft_assets.data.examples import StageTables
    from ft_assets.data.remembered import Memory

__all__ = ["STAGES", "CheckOutcome", "Expectation", "Severity", "expectations", "run"]

Frame = Literal["rows", "counts", "schema", "files", "corrections"]

STAGES = (
    "raw_examples",
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
)


@dataclass(frozen=True)
class Expectation:
    """One rule of a stage's contract.

    Attributes:
        stage: The stage (asset) that it belongs to.
        name: Unique within the stage; letters, digits and underscores.
        description: What holds when it passes.
        severity: Whether its failure blocks.
        advice: What to do when it fails.
        type: Class in `great_expectations.expectations`.
        kwargs: Its arguments.
        frame: What it looks at: `rows` (one line an example, with flags), `counts` (one line of numbers about
            the stage), `schema` (no lines; one column "name: type" for each column of the table), `files`
            (one line a source file) or `corrections` (one line a text that is corrected, or an id that no row has).
        cleaning: What the flag is computed by, where it depends on the task's settings.
        mostly: Share of the rows for which it must hold. (What Great Expectations judges are different values, so the
            share is ours to count.)
    """

    stage: str
    name: str
    description: str
    severity: Severity
    advice: str
    type: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    frame: Frame = "rows"
    cleaning: CleaningConfig | None = None
    mostly: float = 1.0


@dataclass(frozen=True)
class CheckOutcome:
    """What an expectation has found. Counts and ids, never a row's text.

    Attributes:
        name: The expectation's name.
        passed: Whether it holds.
        severity: Whether its failure blocks.
        description: What holds when it passes.
        checked: Rows (or columns, labels, numbers) looked at.
        unexpected: How many of them break the rule.
        example_ids: At most 20 of the rows that break it.
        advice: What was found and what to do; empty when it passed.
    """

    name: str
    passed: bool
    severity: Severity
    description: str
    checked: int
    unexpected: int
    example_ids: list[str]
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def expectations(
    stage: str,
    labels: Sequence[str] | None,
    contracts: ContractsConfig | None = None,
    cleaning: CleaningConfig | None = None,
    *,
    rated: bool = False,
) -> list[Expectation]:
    """The contract of a stage.

    Args:
        stage: One of `STAGES`.
        labels: The task's label names; None: the model writes, and labels are answers.
        contracts: Limits that are a matter of taste.
        cleaning: Its length limits are part of the cleaned stage's contract.
        rated: Whether labels are ratings: then rows with one text are merged by the labelled stage alone.

    Raises:
        ValueError: there is no such stage, or a check of the task's own has the name of another one.
    """
    make = _Maker(
        stage,
        None if labels is None else list(labels),
        contracts or ContractsConfig(),
        cleaning or CleaningConfig(),
        rated,
    )
    by_stage = {"raw_examples": make.raw, "cleaned_examples": make.cleaned, "labeled_examples": make.labeled}
    if stage not in STAGES:
        raise ValueError(f"unknown stage '{stage}': one of {', '.join(STAGES)}")
    made = by_stage.get(stage, make.split)()
    own = [make.own(check) for check in make.contracts.expect if check.stage == stage]
    if taken := {each.name for each in made} & {each.name for each in own}:
        raise ValueError(f"contracts.expect: {stage} has a check '{min(taken)}' already: choose another name")
    return [*made, *own]


def run(
    expected: Sequence[Expectation],
    tables: StageTables,
    splits: Mapping[str, StageTables] | None = None,
    memory: Memory | None = None,
) -> list[CheckOutcome]:
    """Run a stage's expectations with Great Expectations; its first import in a process costs about 5 s.

    Args:
        expected: Expectations of one stage.
        tables: What the stage has made.
        splits: For a split stage, all splits by name (`train`, `validation`, `test`), to look for overlap.
        memory: What was found of the same texts before.

    Returns:
        One outcome for each expectation, in the order given. An expectation that could not be computed (a
        column is missing) has failed.
    """
    from ft_assets.data import contract_runner

    return contract_runner.run(expected, tables, splits, memory)


@dataclass(frozen=True)
class _Maker:
    stage: str
    labels: list[str] | None
    contracts: ContractsConfig
    cleaning: CleaningConfig
    rated: bool

    def raw(self) -> list[Expectation]:
        return [
            *self._common("check the sources"),
            self._rule(
                "files_readable",
                "every file could be read",
                "warning",
                "the reason of each stands in the quarantine (rule unreadable_file): mend the file or its settings in "
                "`sources`, or take it away",
                "ExpectColumnValuesToBeInSet",
                frame="files",
                column="readable",
                value_set=[True],
            ),
            self._quarantined("the file, line and reason of each"),
        ]

    def cleaned(self) -> list[Expectation]:
        low, high = self.cleaning.min_chars, self.cleaning.max_chars
        merged = self._flag(
            "duplicates_merged", "first_of_text_and_label", "no text stands twice with the same label"
        )
        return [
            *self._common("check the quarantine for why no row was left"),
            self._not_null("text", "every example has a text"),
            self._rule(
                "text_length",
                f"texts have {low} to {high} characters",
                "critical",
                "cleaning should have refused these rows: report it as a fault of the project",
                "ExpectColumnValuesToBeBetween",
                column="chars",
                min_value=low,
                max_value=high,
            ),
            self._flag("text_decodable", "no_replacement", "no text holds a lost character (U+FFFD)"),
            *self._impersonal(),
            *([] if self.rated else [merged]),
            self._quarantined("the reason of each, and set `cleaning:` in the task"),
        ]

    def own(self, check: OwnCheck) -> Expectation:
        """What the task expects by itself."""
        column, of = check.column, "text" if check.column in ("chars", "words") else check.column
        if check.between is not None:
            low, high = check.between
            limits = {"min_value": low, "max_value": high}
            kind = "ExpectColumnValuesToBeBetween"
            kwargs: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
            told = " and ".join(
                f"at {'least' if name == 'min_value' else 'most'} {limit:g}" for name, limit in kwargs.items()
            )
            said = f"each text has {told} {'characters' if column == 'chars' else 'words'}"
        elif check.matches is not None:
            kind, kwargs = "ExpectColumnValuesToMatchRegex", {"regex": check.matches}
            said = f"each {of} matches {check.matches}"
        elif check.in_set is not None:
            kind, kwargs = "ExpectColumnValuesToBeInSet", {"value_set": check.in_set}
            said = f"each {of} is one of {', '.join(check.in_set)}"
        else:
            kind, kwargs = "ExpectColumnValuesToNotBeInSet", {"value_set": check.not_in_set}
            said = f"no {of} is one of {', '.join(check.not_in_set or [])}"
        if check.mostly < 1:
            said += f", in {100 * check.mostly:g} % of the rows at least"
        made = self._rule(check.name, said, check.severity, check.advice, kind, column=column, **kwargs)
        return replace(made, mostly=check.mostly)

    def _impersonal(self) -> list[Expectation]:
        kinds = self.cleaning.personal_data
        if not kinds:
            return []
        description = f"no text, answer or label holds personal data of the kinds {', '.join(kinds)}"
        return [replace(self._flag("no_personal_data", "impersonal", description), cleaning=self.cleaning)]

    def labeled(self) -> list[Expectation]:
        if self.labels is None:
            return [
                *self._common("check the quarantine for why no row was left"),
                self._not_null("text", "every example has a prompt"),
                self._answered(),
                self._not_null("cluster", "every example has a cluster"),
                *self._near(),
            ]
        return [
            *self._common("compare `labels:` in the task with the unknown values in the stage's summary"),
            self._not_null("text", "every example has a text"),
            *self._labels(self.labels, "critical"),
            self._present(self.labels, "warning"),
            self._not_null("cluster", "every example has a cluster"),
            self._flag("texts_unique", "first_of_text", "no text stands twice, whatever its label and group"),
            *self._near(),
            self._rule(
                "corrections_used",
                "every correction is of a row that is there",
                "warning",
                "these rows are no longer in the sources, or were refused before labelling: `explain` tells. The "
                "corrections stay in their file, and hold once the rows are back",
                "ExpectColumnValuesToBeInSet",
                frame="corrections",
                column="used",
                value_set=[True],
            ),
            self._quarantined("the reason of each, and the stage's unknown values"),
        ]

    def _near(self) -> list[Expectation]:
        if self.cleaning.near_duplicates.action == "ignore":
            return []
        limit = self.contracts.max_cluster
        small = self._rule(
            "near_duplicate_clusters_small",
            f"no cluster that near duplicates have made holds more than {limit:.0%} of the rows",
            "warning",
            "it lands in one split as a whole: look at the largest ones in the summary. Where a form is filled in "
            "again and again, raise `cleaning: {near_duplicates: {threshold: …}}`, or merge or ignore them there",
            "ExpectColumnValuesToBeBetween",
            frame="counts",
            column="largest_near_cluster",
            min_value=0,
            max_value=limit,
        )
        if self.labels is None:
            return [small]
        agree = self._rule(
            "near_duplicate_labels_agree",
            "texts that are nearly the same (similarity 0.9 and more) have the same label",
            "warning",
            "one of two labels is likely to be wrong: look at the rows",
            "ExpectColumnValuesToBeInSet",
            column="near_agree",
            value_set=[True],
        )
        return [small, agree]

    def _leaks(self) -> list[Expectation]:
        near, limit = self.cleaning.near_duplicates, self.contracts.max_shared_passages
        found = []
        if near.action != "ignore":
            description = (
                f"no text has a near duplicate (similarity {near.threshold:g} and more) in another split"
            )
            flag = self._flag("no_shared_near_duplicates", "near_only_here", description)
            found.append(replace(flag, cleaning=self.cleaning))
            if self.labels is None:
                description = "no conversation goes on in another split"
                found.append(self._flag("no_shared_conversations", "conversation_only_here", description))
        if self.stage != "train_split":
            found.append(
                self._rule(
                    "few_shared_passages",
                    f"at most {limit:.0%} of the texts have 13 words in a row that also stand in train",
                    "warning",
                    "what a model has read it may know by heart: look at the rows; what repeats itself by nature (a "
                    "licence, a signature, a form) tells nothing",
                    "ExpectColumnValuesToBeBetween",
                    frame="counts",
                    column="sharing_a_passage",
                    min_value=0,
                    max_value=limit,
                )
            )
        return found

    def split(self) -> list[Expectation]:
        severity: Severity = "critical" if self.stage == "train_split" else "warning"
        classes: list[Expectation] = [self._answered()]
        if self.labels is not None:
            classes = [
                *self._labels(self.labels, severity),
                self._present(self.labels, severity),
                self._balanced(),
            ]
        return [
            *self._common(
                "add data; new clusters go where the shares in `splits:` are not met yet; where near duplicates have "
                "made one cluster of most rows (see labeled_examples), set `cleaning: {near_duplicates: …}`"
            ),
            self._not_null("text", "every example has a text"),
            *classes,
            self._flag("no_shared_ids", "id_only_here", "no example is in two splits"),
            self._flag("no_shared_clusters", "cluster_only_here", "no cluster is in two splits"),
            self._flag("no_shared_texts", "text_only_here", "no text (normalised) is in two splits"),
            *self._leaks(),
            self._rule(
                "all_rows_assigned",
                "each labelled example is in one of the three splits, or quarantined",
                "critical",
                "rows were lost between labelling and splits: report it as a fault of the project",
                "ExpectColumnPairValuesToBeEqual",
                frame="counts",
                column_A="rows_of_all",
                column_B="rows_in_splits",
            ),
            self._quarantined("which splits each row belongs to at once"),
        ]

    def _balanced(self) -> Expectation:
        limit = self.contracts.max_label_deviation
        return self._rule(
            "label_balance",
            f"the share of each label is within {limit:g} of its share in all rows",
            "warning",
            "with few or unequal clusters this happens, and what is recorded is not drawn again: add rows, read the "
            "metrics of each class, or draw all anew (`python -m ft_assets ledger reset`), with another test set",
            "ExpectColumnValuesToBeBetween",
            frame="counts",
            column="largest_deviation",
            min_value=0,
            max_value=limit,
        )

    def _answered(self) -> Expectation:
        return self._rule(
            "answers_present",
            "every example has an answer, or none has (plain texts)",
            "warning",
            "rows without an answer are plain texts, all of which is learnt: if that is not meant, look at the forms "
            "that raw_examples shows",
            "ExpectColumnValuesToBeInSet",
            column="answered",
            value_set=[True],
        )

    def _rule(
        self,
        name: str,
        description: str,
        severity: Severity,
        advice: str,
        type: str,
        *,
        frame: Frame = "rows",
        **kwargs: Any,
    ) -> Expectation:
        severity = self.contracts.severity.get(cast(SettableCheck, name), severity)
        return Expectation(self.stage, name, description, severity, advice, type, kwargs, frame)

    def _common(self, when_empty: str) -> list[Expectation]:
        fault = "report it as a fault of the project"
        return [
            self._rule(
                "schema",
                "the table has the columns and types of its stage",
                "critical",
                fault,
                "ExpectTableColumnsToMatchOrderedList",
                frame="schema",
                column_list=_columns(self.stage),
            ),
            self._rule(
                "rows_conserved",
                "rows in = kept + merged + quarantined + erased",
                "critical",
                f"rows were lost or made up: {fault}",
                "ExpectColumnPairValuesToBeEqual",
                frame="counts",
                column_A="rows_in",
                column_B="rows_accounted_for",
            ),
            self._rule(
                "has_rows",
                "at least one row is left",
                "critical",
                when_empty,
                "ExpectColumnValuesToBeBetween",
                frame="counts",
                column="rows_kept",
                min_value=1,
            ),
            self._not_null("example_id", "every example has an id"),
            self._rule(
                "ids_unique",
                "no example_id stands twice",
                "critical",
                fault,
                "ExpectColumnValuesToBeInSet",
                column="id_unique",
                value_set=[True],
            ),
        ]

    def _labels(self, labels: list[str], severity: Severity) -> list[Expectation]:
        count = len(labels)
        return [
            self._not_null("label", "every example has a label"),
            self._rule(
                "label_set",
                "every label is one of the task's",
                "critical",
                "labelling should have refused these rows: report it as a fault of the project",
                "ExpectColumnValuesToBeInSet",
                column="label",
                value_set=labels,
            ),
            self._rule(
                "at_least_two_classes",
                "at least two labels occur",
                severity,
                "there is nothing to tell apart: add examples of other labels, or correct `labels:`",
                "ExpectColumnUniqueValueCountToBeBetween",
                column="label",
                min_value=2,
            ),
            self._rule(
                "as_many_rows_as_classes",
                f"there are at least as many rows as classes ({count})",
                severity,
                "add examples",
                "ExpectColumnValuesToBeBetween",
                frame="counts",
                column="rows_kept",
                min_value=count,
            ),
        ]

    def _present(self, labels: list[str], severity: Severity) -> Expectation:
        return self._rule(
            "every_class_present",
            f"each of the {len(labels)} labels occurs",
            severity,
            "add examples of the missing labels, or take them out of `labels:` in the task",
            "ExpectColumnDistinctValuesToContainSet",
            column="label",
            value_set=labels,
        )

    def _not_null(self, column: str, description: str) -> Expectation:
        return self._rule(
            f"{column}_present",
            description,
            "critical",
            "the stage should have refused these rows: report it as a fault of the project",
            "ExpectColumnValuesToBeInSet",
            column=f"{column}_filled",
            value_set=[True],
        )

    def _flag(self, name: str, column: str, description: str) -> Expectation:
        advice = (
            "look at the rows' clusters (the group column of the task): what belongs together needs one group"
            if name == "no_shared_texts"
            else "the stage should have prevented it: report it as a fault of the project"
        )
        return self._rule(
            name,
            description,
            "critical",
            advice,
            "ExpectColumnValuesToBeInSet",
            column=column,
            value_set=[True],
        )

    def _quarantined(self, look_at: str) -> Expectation:
        limit = self.contracts.max_quarantined
        return self._rule(
            "few_rows_quarantined",
            f"at most {limit:.0%} of the rows were refused",
            "warning",
            f"look into the quarantine: {look_at}",
            "ExpectColumnValuesToBeBetween",
            frame="counts",
            column="quarantined_share",
            min_value=0,
            max_value=limit,
        )


_TEXTS = ("context: string", "text: string")
_LABELLED = ("label: string", "group: string", "time: timestamp[us, tz=UTC]", "split: string")
_COLUMNS = {
    "raw_examples": [
        "source: string",
        "file: string",
        "row: int64",
        *_TEXTS,
        *_LABELLED,
    ],
    "cleaned_examples": [*_TEXTS, "text_key: string", *_LABELLED],
    "labeled_examples": [
        *_TEXTS,
        "text_key: string",
        *_LABELLED,
        "cluster: string",
        "disagreement: double",
        "corrected: string",
    ],
}


def _columns(stage: str) -> list[str]:
    """The columns as the contract states them: on purpose not those that the code writes by."""
    return ["example_id: string", *_COLUMNS.get(stage, [*_TEXTS, "label: string", "cluster: string"])]
