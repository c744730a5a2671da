"""Numbers with intervals; knows no file and no image."""
