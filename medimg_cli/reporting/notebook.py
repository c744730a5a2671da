"""An evaluation as a notebook shows it."""

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.reporting.charts.curves import precision_recall_chart, roc_chart
from medimg_cli.reporting.charts.matrix_charts import confusion_matrix
from medimg_cli.reporting.content import STATEMENT
from medimg_cli.reporting.page import page_environment
from medimg_cli.reporting.verdict import headline, leakage_line


def evaluation_html(evaluation: Evaluation) -> str:
    """Return headline, confusion matrix and ROC curve as one piece of HTML that loads nothing; every text is escaped."""
    return (
        page_environment()
        .get_template("notebook.html")
        .render(
            headline=headline(evaluation),
            matrix=confusion_matrix(evaluation.confusion),
            curve=roc_chart(evaluation) or precision_recall_chart(evaluation),
            leakage=leakage_line(evaluation.leakage),
            statement=STATEMENT,
        )
    )
