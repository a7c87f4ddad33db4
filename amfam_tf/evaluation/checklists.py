"""Items of TRIPOD+AI and CLAIM, in our own words, and the section of the report that answers each, if any.

Sources: Collins et al. 2024 (TRIPOD+AI, 27 items with parts); Mongan et al. 2020 (CLAIM, 42 items).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TARGET = "target"
"""Stands for the section of the first target of the card."""


@dataclass(frozen=True)
class Item:
    """One item of a reporting guideline.

    Attributes:
        number: in the guideline.
        topic: what it asks for.
        section: id of the section of the report that answers it, in part or in full; None if none does.
    """

    number: str
    topic: str
    section: str | None = None


TRIPOD_AI: tuple[Item, ...] = (
    Item("1", "title names model, population and outcome"),
    Item("2", "abstract"),
    Item("3a", "medical context and earlier models"),
    Item("3b", "intended population and users", "summary"),
    Item("3c", "known health inequalities"),
    Item("4", "objectives; development or evaluation", "summary"),
    Item("5a", "source of the data and how representative they are"),
    Item("5b", "dates of the data"),
    Item("6a", "where the cases were seen"),
    Item("6b", "which cases were eligible"),
    Item("6c", "treatments"),
    Item("7", "preparation of the data, alike for all groups", "configuration"),
    Item("8a", "outcome, how and when determined", "data"),
    Item("8b", "qualification of who determined it"),
    Item("8c", "blinding of who determined it"),
    Item("9a", "choice of predictors"),
    Item("9b", "definition of predictors", "configuration"),
    Item("9c", "qualification of who measured predictors"),
    Item("10", "how the number of cases was arrived at"),
    Item("11", "missing data"),
    Item("12a", "how data were divided and used", "data"),
    Item("12b", "form and scaling of predictors", "configuration"),
    Item("12c", "type of model, how it is built and chosen", "configuration"),
    Item("12d", "differences between groups or centres"),
    Item("12e", "measures of performance and plots", "methods"),
    Item("12f", "updating of the model, such as recalibration", "calibration"),
    Item("12g", "how predictions are made in the evaluation", "methods"),
    Item("13", "class imbalance, what was done about it", "data"),
    Item("14", "fairness, what was done about it", "subgroups"),
    Item("15", "output of the model and thresholds", TARGET),
    Item("16", "differences between training and evaluation data", "data"),
    Item("17", "ethical approval and consent"),
    Item("18a", "funding"),
    Item("18b", "conflicts of interest"),
    Item("18c", "protocol"),
    Item("18d", "registration"),
    Item("18e", "access to the data"),
    Item("18f", "access to the code", "environment"),
    Item("19", "involvement of patients and the public"),
    Item("20a", "flow of cases", "data"),
    Item("20b", "characteristics of cases", "data"),
    Item("20c", "comparison of training and evaluation cases", "data"),
    Item("21", "cases and outcomes in each analysis", "data"),
    Item("22", "the model itself, so that it can be used"),
    Item("23a", "performance with intervals, also for subgroups", "classes"),
    Item("23b", "variation between groups or centres", "subgroups"),
    Item("24", "results of updating the model", "calibration"),
    Item("25", "interpretation, with fairness"),
    Item("26", "limitations", "methods"),
    Item("27a", "handling of poor or missing input"),
    Item("27b", "what users must do and know"),
    Item("27c", "next steps of research"),
)
CLAIM: tuple[Item, ...] = (
    Item("1", "title or abstract names the technique"),
    Item("2", "structured abstract"),
    Item("3", "background and clinical role"),
    Item("4", "objectives and hypotheses"),
    Item("5", "prospective or retrospective"),
    Item("6", "goal of the study"),
    Item("7", "sources of data"),
    Item("8", "which cases were eligible"),
    Item("9", "preparation of the pictures", "configuration"),
    Item("10", "parts of data that were selected", "data"),
    Item("11", "definition of data elements", "data"),
    Item("12", "removal of identities"),
    Item("13", "missing data"),
    Item("14", "definition of the reference standard"),
    Item("15", "why this reference standard"),
    Item("16", "who annotated, with which qualification"),
    Item("17", "tools of annotation"),
    Item("18", "agreement of annotators"),
    Item("19", "how the number of cases was arrived at"),
    Item("20", "how cases were assigned to partitions", "data"),
    Item("21", "on which level partitions are disjoint"),
    Item("22", "the model in detail", "configuration"),
    Item("23", "software and versions", "environment"),
    Item("24", "initial parameters", "configuration"),
    Item("25", "training in detail", "configuration"),
    Item("26", "choice of the final model", "figure-training"),
    Item("27", "ensembles"),
    Item("28", "measures of performance", "methods"),
    Item("29", "uncertainty and significance", "methods"),
    Item("30", "robustness"),
    Item("31", "explainability", "figure-network"),
    Item("32", "external data"),
    Item("33", "flow of cases", "data"),
    Item("34", "characteristics of cases in each partition", "data"),
    Item("35", "performance of the best model on all partitions"),
    Item("36", "accuracy with its precision", "classes"),
    Item("37", "analysis of failures", "errors"),
    Item("38", "limitations", "methods"),
    Item("39", "implications for practice"),
    Item("40", "registration"),
    Item("41", "access to the protocol"),
    Item("42", "funding"),
)
GUIDELINES: Mapping[str, tuple[Item, ...]] = MappingProxyType({"TRIPOD+AI (2024)": TRIPOD_AI, "CLAIM (2020)": CLAIM})
