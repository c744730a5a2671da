"""TRIPOD+AI: Collins GS et al. BMJ 2024;385:e078378 (CC BY). 27 items in 52 rows; titles are our own."""

from medimg_cli.reporting.checklists import GUIDELINES, Guideline, Item, results
from medimg_cli.reporting.checklists import evidence as records
from medimg_cli.reporting.checklists.asking import Both, Either, FromAuthors, Graded, IfDone, Never, Recorded

_NO_CENTRES = "no column names the centre"
_NOT_UPDATED = "the model was not changed after this evaluation"
_ITEMS = (
    Item(
        "1",
        "Title: kind of study, population, outcome",
        Graded(
            "cover",
            None,
            records.title_names_outcome,
            "whether population and kind of study stand there is for the authors to see to",
        ),
    ),
    Item("2", "Structured abstract", Both("cover", results.summary, "objectives", "design", "implications")),
    Item("3a", "Health care context, earlier models", FromAuthors("background")),
    Item("3b", "Patients, purpose and users", FromAuthors("intended_use", "care_setting", "intended_users")),
    Item("3c", "Known inequalities in health", FromAuthors("inequalities")),
    Item("4", "Aims: development, evaluation or both", FromAuthors("objectives")),
    Item(
        "5a",
        "Sources of the data, and whom they stand for",
        Both("data", records.sources, "data_sources", "representativeness"),
    ),
    Item("5b", "Dates", FromAuthors("collection_dates")),
    Item("6a", "Setting and centres", FromAuthors("centres")),
    Item("6b", "Eligibility", FromAuthors("eligibility")),
    Item("6c", "Treatments", FromAuthors("treatments")),
    Item("7", "Preparation and quality of the data", Recorded("training", records.preprocessing)),
    Item("8a", "Outcome: definition and reason", FromAuthors("reference_standard", "reference_rationale")),
    Item("8b", "Outcome: who assessed it", FromAuthors("annotators")),
    Item("8c", "Outcome: blinding", FromAuthors("reference_blinding")),
    Item("9a", "Choice of predictors", Recorded("training", records.pixels_alone)),
    Item(
        "9b", "Predictors: definition and measurement", Both("training", records.preprocessing, "acquisition")
    ),
    Item("9c", "Predictors: who assessed them", Never("pixels are measured, nobody judges them")),
    Item("10", "Sample size", Both("performance", results.test_size, "sample_size")),
    Item("11", "Missing data", Both("data", records.missing_data, "missing_data")),
    Item("12a", "How data were divided and used", Recorded("data", records.partition)),
    Item("12b", "How predictors entered the model", Recorded("training", records.preprocessing)),
    Item(
        "12c",
        "The model and how it was built",
        Recorded("training", records.development, otherwise="the training settings are not at hand"),
    ),
    Item(
        "12d",
        "Differences between centres: method",
        Recorded("subgroups", records.clusters, otherwise=_NO_CENTRES),
    ),
    Item("12e", "Measures of performance", Recorded("performance", results.statistics)),
    Item(
        "12f",
        "Updating after evaluation",
        IfDone("provenance", records.updated, _NOT_UPDATED),
    ),
    Item("12g", "How predictions were computed", Recorded("training", results.prediction)),
    Item(
        "13",
        "Classes of unequal size",
        Recorded("training", records.imbalance, otherwise="the training settings are not at hand"),
    ),
    Item("14", "Fairness: approach", Either("subgroups", results.subgroups, "fairness")),
    Item("15", "Output and threshold", Recorded("threshold", results.threshold)),
    Item(
        "16", "Training data against test data", Both("robustness", results.shift, "eligibility", "centres")
    ),
    Item("17", "Ethics approval and consent", FromAuthors("ethics_approval", "consent")),
    Item("18a", "Funding", FromAuthors("funding")),
    Item("18b", "Competing interests", FromAuthors("conflicts")),
    Item("18c", "Protocol", FromAuthors("protocol")),
    Item("18d", "Registration", FromAuthors("registration")),
    Item("18e", "Availability of the data", FromAuthors("data_availability")),
    Item("18f", "Availability of the code", Both("provenance", records.software, "code_availability")),
    Item("19", "Patients and public", FromAuthors("patient_involvement")),
    Item("20a", "Flow of patients, with outcomes", Recorded("data", records.flow)),
    Item("20b", "Characteristics of the patients", Both("data", records.patients, "patients")),
    Item(
        "20c",
        "Comparison with the training data",
        Recorded("robustness", results.shift, otherwise="not compared in this evaluation"),
    ),
    Item("21", "Patients and outcomes in each analysis", Recorded("data", records.counts_by_split)),
    Item(
        "22", "The whole model, for others to use", Both("provenance", records.hashes, "model_availability")
    ),
    Item("23a", "Performance with intervals", Recorded("performance", results.accuracy)),
    Item(
        "23b",
        "Differences between centres: results",
        Recorded("subgroups", records.clusters, otherwise=_NO_CENTRES),
    ),
    Item(
        "24",
        "Results of updating",
        IfDone("provenance", records.updated, _NOT_UPDATED),
    ),
    Item("25", "Interpretation", FromAuthors("interpretation")),
    Item("26", "Limitations", Both("limits", results.found_limitations, "limitations")),
    Item("27a", "Poor or missing input", Both("authors", records.unreadable, "input_handling")),
    Item("27b", "What users must do and know", FromAuthors("intended_users")),
    Item("27c", "Next steps", FromAuthors("further_research")),
)

GUIDELINES.register("tripod-ai")(
    Guideline(
        name="TRIPOD+AI 2024",
        scope="prediction models",
        doi="10.1136/bmj-2023-078378",
        items=_ITEMS,
    )
)
