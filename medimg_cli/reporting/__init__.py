"""The report: numbers into words, curves into paths, a page into HTML and PDF. Reads nothing from disk but
templates; every number comes from an `Evaluation`."""
