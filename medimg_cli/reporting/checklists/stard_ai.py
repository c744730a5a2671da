"""STARD-AI: Sounderajah V et al. Nat Med 2025;31:3283-3289 (CC BY). 40 items in 48 rows; titles are our own."""

from medimg_cli.reporting.checklists import GUIDELINES, Guideline, Item, results
from medimg_cli.reporting.checklists import evidence as records
from medimg_cli.reporting.checklists.asking import Both, Either, FromAuthors, Graded, IfDone, Recorded

_ITEMS = (
    Item(
        "1",
        "Title: AI and a measure of accuracy",
        Graded(
            "cover", records.title_names_method, results.summary, "the title names no technology (--title)"
        ),
    ),
    Item("2", "Structured abstract", Both("cover", results.summary, "objectives", "design", "implications")),
    Item(
        "3", "Background and place in the workflow", FromAuthors("background", "intended_use", "care_setting")
    ),
    Item("4", "Aims and hypotheses", FromAuthors("objectives")),
    Item("5", "Prospective or retrospective", FromAuthors("design")),
    Item("6", "Ethics approval", FromAuthors("ethics_approval")),
    Item("7", "Eligibility of patients and of data", FromAuthors("eligibility")),
    Item("8", "How patients were found", FromAuthors("recruitment")),
    Item("9", "Setting, places and dates", FromAuthors("centres", "collection_dates")),
    Item("10", "Consecutive, random or convenience series", FromAuthors("series")),
    Item("11", "Source of the data", Both("data", records.sources, "data_sources")),
    Item("12", "Who annotated, and how", FromAuthors("annotators", "annotation_procedure")),
    Item("13", "Devices and software", Both("provenance", records.software, "acquisition")),
    Item("14", "Acquisition and preprocessing", Both("training", records.preprocessing, "acquisition")),
    Item("15a", "The index test", Recorded("training", records.architecture)),
    Item(
        "15b",
        "How the index test was developed",
        Recorded("training", records.development, otherwise="the training settings are not at hand"),
    ),
    Item("15c", "Cut-off of the index test", Recorded("threshold", results.threshold)),
    Item("15d", "Intended users and their expertise", FromAuthors("intended_users")),
    Item("16a", "Reference standard: definition", FromAuthors("reference_standard")),
    Item("16b", "Reference standard: why this one", FromAuthors("reference_rationale")),
    Item("16c", "Reference standard: cut-offs", Both("audit", records.code_book, "reference_standard")),
    Item("17a", "What the index test was told", Recorded("training", records.pixels_alone)),
    Item("17b", "What assessors of the reference were told", FromAuthors("reference_blinding")),
    Item("18", "Statistical methods", Recorded("performance", results.statistics)),
    Item("19", "Indeterminate results", Recorded("abstention", results.abstention)),
    Item("20", "Missing results", Recorded("data", records.missing_data)),
    Item(
        "21",
        "Analyses of variability",
        Recorded(
            "subgroups", results.variability, otherwise="neither subgroups nor robustness were measured"
        ),
    ),
    Item("22", "Sample size", Both("performance", results.test_size, "sample_size")),
    Item("23", "Assessment of errors and fairness", Either("subgroups", results.subgroups, "fairness")),
    Item("24", "Flow of patients", Recorded("data", records.flow)),
    Item("25", "Characteristics by part of the data", Both("data", records.counts_by_split, "patients")),
    Item("26a", "Severity in those with the disease", FromAuthors("severity")),
    Item("26b", "Other diagnoses in those without it", FromAuthors("other_diagnoses")),
    Item("27", "Time between the two tests", FromAuthors("time_interval")),
    Item("28", "Whom the data stand for", Both("performance", results.prevalence, "representativeness")),
    Item(
        "29",
        "How external data differ",
        IfDone("robustness", results.external_testing, "no external testing was done"),
    ),
    Item(
        "30",
        "Answers against the reference standard",
        Recorded(
            "performance", results.cross_tabulation, otherwise="several labels an image have no single table"
        ),
    ),
    Item("31", "Accuracy with intervals", Recorded("performance", results.accuracy)),
    Item("32", "Adverse events", FromAuthors("adverse_events")),
    Item("33", "Limitations", Both("limits", results.found_limitations, "limitations")),
    Item("34", "Implications and intended use", FromAuthors("implications", "intended_use")),
    Item("35", "Ethical considerations and fairness", FromAuthors("ethical_considerations", "fairness")),
    Item("36", "Registration", FromAuthors("registration")),
    Item("37", "Where the protocol stands", FromAuthors("protocol")),
    Item("38", "Funding", FromAuthors("funding")),
    Item("39", "Commercial interests", FromAuthors("conflicts")),
    Item(
        "40a",
        "Availability of data and code",
        Both("provenance", records.hashes, "data_availability", "code_availability"),
    ),
    Item("40b", "Outputs kept for audit", Recorded("provenance", records.stored_outputs)),
)

GUIDELINES.register("stard-ai")(
    Guideline(
        name="STARD-AI 2025",
        scope="diagnostic accuracy of artificial intelligence",
        doi="10.1038/s41591-025-03953-8",
        items=_ITEMS,
    )
)
