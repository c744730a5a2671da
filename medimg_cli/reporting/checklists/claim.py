"""CLAIM 2024: Tejani AS et al. Radiol Artif Intell 2024;6:e240300. Its text is its publisher's: titles are ours."""

from medimg_cli.reporting.checklists import GUIDELINES, Guideline, Item, results
from medimg_cli.reporting.checklists import evidence as records
from medimg_cli.reporting.checklists.asking import Both, Either, FromAuthors, Graded, IfDone, Recorded

_ITEMS = (
    Item(
        "1",
        "Title that names the technology",
        Recorded(
            "cover",
            records.title_names_method,
            otherwise="the title names no technology, such as deep learning (--title)",
        ),
    ),
    Item("2", "Structured abstract", Both("cover", results.summary, "objectives", "design", "implications")),
    Item(
        "3",
        "Clinical background and role of the model",
        FromAuthors("background", "intended_use", "care_setting"),
    ),
    Item("4", "Aims and hypotheses", FromAuthors("objectives")),
    Item("5", "Prospective or retrospective", FromAuthors("design")),
    Item("6", "Kind of study and its task", FromAuthors("study_goal")),
    Item("7", "Where the data come from", Both("data", records.sources, "data_sources")),
    Item("8", "Who and what was eligible", FromAuthors("eligibility")),
    Item("9", "Preprocessing", Recorded("training", records.preprocessing)),
    Item("10", "Which part of the data was used", Both("data", records.excluded, "subset")),
    Item("11", "De-identification", Both("audit", records.deidentification, "deidentification")),
    Item("12", "Missing data", Both("data", records.missing_data, "missing_data")),
    Item("13", "How images were acquired", Both("data", records.acquisition, "acquisition")),
    Item("14", "Reference standard: definition", FromAuthors("reference_standard")),
    Item("15", "Reference standard: why this one", FromAuthors("reference_rationale")),
    Item("16", "Annotators", FromAuthors("annotators")),
    Item("17", "Procedure of annotation", FromAuthors("annotation_procedure")),
    Item("18", "Agreement of annotators", Both("audit", records.agreement, "annotator_variability")),
    Item("19", "How data were divided", Recorded("data", records.partition)),
    Item("20", "Level at which parts are separate", Recorded("data", records.disjointness)),
    Item("21", "Size of the test set", Both("performance", results.test_size, "sample_size")),
    Item("22", "The model", Recorded("training", records.architecture)),
    Item("23", "Software and versions", Recorded("provenance", records.software)),
    Item(
        "24",
        "Initial weights",
        Recorded("training", records.initialisation, otherwise="the training settings are not at hand"),
    ),
    Item(
        "25",
        "Training, augmentation, settings",
        Recorded("training", records.training, otherwise="the training settings are not at hand"),
    ),
    Item(
        "26",
        "How the final model was chosen",
        Recorded("training", records.selection, otherwise="the criterion is not in the records"),
    ),
    Item("27", "Ensemble", IfDone("training", records.ensemble, "one network, no ensemble")),
    Item("28", "Measures of performance", Recorded("performance", results.metrics)),
    Item("29", "Uncertainty", Recorded("performance", results.uncertainty)),
    Item(
        "30",
        "Robustness",
        Recorded("robustness", results.robustness, otherwise="not measured (medimg evaluate --robustness)"),
    ),
    Item(
        "31",
        "Explanations",
        IfDone("explanations", results.explanations, "no explanation method was applied"),
    ),
    Item(
        "32",
        "Internal testing",
        Recorded("performance", results.internal_testing, otherwise="these images took part in training"),
    ),
    Item("33", "External testing", Either("robustness", results.external_testing, "external_testing")),
    Item("34", "Registration of a trial", FromAuthors("registration")),
    Item("35", "Numbers included and excluded", Recorded("data", records.flow)),
    Item("36", "Characteristics of the patients", Both("data", records.patients, "patients")),
    Item(
        "37",
        "Performance by part and subgroup",
        Graded("subgroups", results.subgroups, results.parts, "no column to break results down by"),
    ),
    Item("38", "Accuracy with intervals", Recorded("performance", results.accuracy)),
    Item("39", "Analysis of failures", Recorded("cases", results.failures)),
    Item("40", "Limitations", Both("limits", results.found_limitations, "limitations")),
    Item("41", "Implications for practice", FromAuthors("implications")),
    Item("42", "Where the protocol stands", FromAuthors("protocol")),
    Item(
        "43",
        "Availability of software, model, data",
        Both("provenance", records.hashes, "model_availability", "data_availability", "code_availability"),
    ),
    Item("44", "Funding", FromAuthors("funding")),
)

GUIDELINES.register("claim-2024")(
    Guideline(
        name="CLAIM 2024",
        scope="artificial intelligence in medical imaging",
        doi="10.1148/ryai.240300",
        items=_ITEMS,
    )
)
